"""The kit can fail: a layer broken on purpose, in one way, is caught by the check that is for it, with its message."""

from __future__ import annotations

import re

import numpy as np
import pytest

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer
from caffepy.proto import caffe_pb2
from caffepy.testing import CHECKS, case, check_gradient, check_layer


@register_layer("KitSquare")
class Square(Layer):
    """y[n, c, :] = w[c] * x[n, c, :]^2 + b; correct: what the broken ones below differ from."""

    bottoms = (1, 1)
    tops = (1, 1)
    in_place = False

    def setup(self, bottom, top):
        """Two learnable blobs: w (C,) and b (1,)."""
        filler = caffe_pb2.FillerParameter(type="uniform", min=0.5, max=1.5)
        self.add_blob((bottom[0].shape[1],), filler)
        self.add_blob((1,), caffe_pb2.FillerParameter(type="constant"))
        self.product = Blob(self.backend)

    def reshape(self, bottom, top):
        """Top as bottom."""
        top[0].reshape(*bottom[0].shape)
        self.product.reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        """Square, scale, shift."""
        x, y = bottom[0].data, top[0].data
        self.xp.multiply(x, x, out=y)
        y *= self.blobs[0].data[:, None]
        y += self.blobs[1].data

    def backward(self, top, propagate_down, bottom):
        """All three diffs."""
        self.backward_blobs(top, bottom)
        if propagate_down[0]:
            self.backward_bottom(top, bottom)

    def backward_blobs(self, top, bottom):
        """Diffs of w and b, added."""
        x, dy, product = bottom[0].data, top[0].diff, self.product.data
        if self.param_propagate_down[0]:
            self.xp.multiply(x, x, out=product)
            product *= dy
            self.blobs[0].diff[...] += product.sum(axis=(0, 2))
        if self.param_propagate_down[1]:
            self.blobs[1].diff[...] += dy.sum()

    def backward_bottom(self, top, bottom):
        """Diff of x, overwritten."""
        dx = bottom[0].diff
        self.xp.multiply(bottom[0].data, top[0].diff, out=dx)
        dx *= self.blobs[0].data[:, None]
        dx *= 2


def _reference(bottoms, blobs):
    return [blobs[0][:, None] * bottoms[0] ** 2 + blobs[1]]


SHAPE = (2, 3, 5)
GOOD = case('type: "KitSquare"', [SHAPE], reference=_reference)


def broken(**changes):
    """A case of a subclass of Square in which attributes and methods are replaced."""
    register_layer("KitBroken")(type("Broken", (Square,), {"__module__": __name__, **changes}))
    return case('type: "KitBroken"', [SHAPE], reference=_reference)


def failing(setting):
    """The names of the checks that fail, and the whole message."""
    with pytest.raises(AssertionError) as caught:
        check_layer(setting)
    text = str(caught.value)
    lines = re.findall(r"^  ((?:cpu \w+(?:, )?)+):", text, re.M)
    return {name.removeprefix("cpu ") for line in lines for name in line.split(", ")}, text


def test_a_correct_layer_passes():
    check_layer(GOOD)
    check_layer(GOOD, "cpu")
    check_gradient(GOOD)
    check_gradient(GOOD, exhaustive=True)


def forward_wrong_value(self, bottom, top):
    Square.forward(self, bottom, top)
    top[0].data[1, 2, 3] += 0.5


def forward_misses_last(self, bottom, top):
    kept = top[0].data[-1].copy()
    Square.forward(self, bottom, top)
    top[0].data[-1] = kept


def forward_adds_to_stale(self, bottom, top):
    y = top[0].data
    kept = y.copy()
    Square.forward(self, bottom, top)
    y += 0 * kept


def forward_reads_old_scratch(self, bottom, top):
    shape = bottom[0].shape
    self.backend.scratch(shape)[...] = 0
    Square.forward(self, bottom, top)
    # The arena is anybody's again at the next call.
    top[0].data[...] += self.backend.scratch(shape)


def forward_counts_calls(self, bottom, top):
    Square.forward(self, bottom, top)
    self.calls = getattr(self, "calls", 0) + 1
    top[0].data[...] *= self.calls


def forward_writes_bottom(self, bottom, top):
    bottom[0].data[...] *= 2
    Square.forward(self, bottom, top)


def forward_writes_blob(self, bottom, top):
    Square.forward(self, bottom, top)
    self.blobs[1].data[...] *= 2


def forward_in_float16(self, bottom, top):
    Square.forward(self, bottom, top)
    if self.backend.dtype == np.float32:
        top[0].data[...] = top[0].data.astype(np.float16)


def forward_by_threads(self, bottom, top):
    Square.forward(self, bottom, top)
    top[0].data[...] *= self.backend.threads


def forward_races(self, bottom, top):
    Square.forward(self, bottom, top)
    if self.backend.threads == 2:
        self.calls = getattr(self, "calls", 0) + 1
        top[0].data[...] *= 1 + 3e-7 * self.calls


def forward_allocates(self, bottom, top):
    top[0].data[...] = bottom[0].data ** 2 * self.blobs[0].data[:, None] + self.blobs[1].data


def forward_replaces_array(self, bottom, top):
    Square.forward(self, bottom, top)
    top[0]._data_view = top[0].data.astype(np.float16)


def reshape_allocates(self, bottom, top):
    top[0].reshape(*bottom[0].shape)
    self.product = Blob(self.backend, bottom[0].shape)
    self.product.data.fill(0)


def reshape_once(self, bottom, top):
    top[0].reshape(*bottom[0].shape)
    if self.product.shape == ():
        self.product.reshape(*bottom[0].shape)


def forward_of_first_batch(self, bottom, top):
    self.batch = getattr(self, "batch", bottom[0].shape[0])
    Square.forward(self, bottom, top)
    top[0].data[self.batch :] = 0


def backward_writes_top_diff(self, top, propagate_down, bottom):
    Square.backward(self, top, propagate_down, bottom)
    top[0].diff[...] *= 2


def backward_writes_top_data(self, top, propagate_down, bottom):
    Square.backward(self, top, propagate_down, bottom)
    top[0].data[0] = 0


def backward_ignores_propagate_down(self, top, propagate_down, bottom):
    Square.backward(self, top, [True], bottom)


def backward_ignores_param_propagate_down(self, top, propagate_down, bottom):
    kept, self.param_propagate_down = self.param_propagate_down, [True, True]
    Square.backward(self, top, propagate_down, bottom)
    self.param_propagate_down = kept


def backward_needs_all_params(self, top, propagate_down, bottom):
    if not all(self.param_propagate_down):
        self.blobs[1].diff[...] += self.param_propagate_down[1]
    Square.backward(self, top, propagate_down, bottom)


def backward_allocates(self, top, propagate_down, bottom):
    Square.backward(self, top, propagate_down, bottom)
    bottom[0].diff[...] = 2 * self.blobs[0].data[:, None] * bottom[0].data * top[0].diff


def blobs_overwritten(self, top, bottom):
    for blob in self.blobs:
        blob.diff[...] = 0
    Square.backward_blobs(self, top, bottom)


def bottom_accumulates(self, top, bottom):
    kept = bottom[0].diff.copy()
    Square.backward_bottom(self, top, bottom)
    bottom[0].diff[...] += kept


def bottom_left_out(self, top, bottom):
    """Write nothing."""


BROKEN = [
    ("reference", {"forward": forward_wrong_value}, r"top\[0\] differs from the reference \(float32\): 1 of 30"
     r" values; worst at \[1, 2, 3\]: expected [-\d.e]+, got"),
    ("stale_memory", {"forward": forward_misses_last}, r"top\[0\] after the first forward: memory was read before it"
     r" was written, or not written: 15 of 30 values are NaN or infinite, first at \[1, 0, 0\]"),
    ("stale_memory", {"forward": forward_adds_to_stale}, r"top\[0\] after the first forward: memory was read"),
    ("stale_memory", {"forward": forward_reads_old_scratch}, r"top\[0\] after the first forward: memory was read"),
    ("stale_memory", {"backward_bottom": bottom_accumulates}, r"bottom\[0\].diff after the first backward: stale"),
    ("stale_memory", {"backward_bottom": bottom_left_out}, r"bottom\[0\].diff after the first backward: stale"),
    ("repeat", {"forward": forward_counts_calls}, r"top\[0\].data of a second pass differs from the first: 30 of 30"),
    ("keeps_inputs", {"forward": forward_writes_bottom}, r"forward changed bottom\[0\].data: 30 of 30 values"),
    ("keeps_inputs", {"forward": forward_writes_blob}, r"a pass changed blobs\[1\].data; where it should, .*: 1 of 1"),
    ("keeps_inputs", {"backward": backward_writes_top_diff}, r"backward changed top\[0\].diff: 30 of 30 values"),
    ("keeps_inputs", {"backward": backward_writes_top_data}, r"backward changed top\[0\].data: 15 of 30 values"),
    ("accumulate", {"backward_blobs": blobs_overwritten}, r"blobs\[0\].diff after two backward passes is not twice"),
    ("propagate_down", {"backward": backward_ignores_propagate_down}, r"bottom\[0\].diff was written although"
     r" propagate_down\[0\] is false"),
    ("param_propagate_down", {"backward": backward_ignores_param_propagate_down}, r"blobs\[0\].diff was written"
     r" although param_propagate_down\[0\] is false"),
    ("param_propagate_down", {"backward": backward_needs_all_params}, r"blobs\[1\].diff is another when"
     r" param_propagate_down of blobs \[0\] is false"),
    ("in_place", {"in_place": True}, r"bottom\[0\].diff in place \(top\[0\] is bottom\[0\]\) differs from apart"),
    ("batch", {"forward": forward_of_first_batch}, r"batch 5 after batch 2\): 45 of 75 values"),
    ("batch", {"reshape": reshape_once}, r"at batch 1 after another size differs from a layer made for 1"),
    ("allocation", {"forward": forward_allocates}, r"forward allocates [\d,]{9,} bytes .* expected at most 65,536"),
    ("allocation", {"backward": backward_allocates}, r"backward allocates [\d,]{9,} bytes"),
    ("allocation", {"reshape": reshape_allocates}, r"reshape to the same shapes asks the backend for [\d,]{9,} bytes"),
    ("dtype", {"forward": forward_in_float16}, r"top\[0\].data in float32 differs from float64: "),
    ("threads", {"forward": forward_by_threads}, r"top\[0\].data with two threads differs from one: "),
    ("threads", {"forward": forward_races}, r"top\[0\].data with two threads differs from one run to the next"),
    ("reference", {"forward": forward_replaces_array}, r"top\[0\]: expected float32, got float16; did the layer"),
]  # fmt: skip


def _id(row):
    change = next(iter(row[1].values()))
    return f"{row[0]}-{getattr(change, '__name__', 'in_place')}"


@pytest.mark.parametrize(("name", "changes", "message"), BROKEN, ids=[_id(row) for row in BROKEN])
def test_a_broken_layer_is_caught(name, changes, message):
    names, text = failing(broken(**changes))
    assert name in names, text
    assert re.search(message, text), text


def test_every_check_has_a_layer_that_it_catches():
    assert set(CHECKS) == {name for name, _, _ in BROKEN} | {"counts"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bottoms": (2, None)}, r"Broken.bottoms declares 2 to any number bottoms; the case has 1"),
        ({"tops": (2, 3)}, r"Broken.tops declares 2 to 3 tops; the case has 1"),
    ],
)
def test_counts(changes, message):
    names, text = failing(broken(**changes))
    assert names == {"counts"}
    assert re.search(message, text), text


def test_equal_bottoms_and_tops_is_checked():
    register_layer("KitUneven")(type("Uneven", (Square,), {"__module__": __name__, "equal_bottoms_tops": True}))
    setting = case('type: "KitUneven"', [SHAPE], tops=2, waived={})
    _, text = failing(setting)
    assert "Uneven.tops declares 1 to 1 tops; the case has 2" in text


def test_a_crash_is_reported_with_its_type_and_its_cause():
    def forward(self, bottom, top):
        raise KeyError("mask")

    with pytest.raises(AssertionError, match=r"cpu reference, cpu stale_memory, .*: KeyError: 'mask'") as caught:
        check_layer(broken(forward=forward))
    assert isinstance(caught.value.__cause__, KeyError)


def test_one_cause_of_many_failures_is_told_once():
    with pytest.raises(AssertionError) as caught:
        check_layer(case('type: "KitUnheardOf"', [SHAPE]))
    title, line = str(caught.value).splitlines()
    assert title == 'type: "KitUnheardOf": fails 13 checks'
    assert line.startswith("  cpu counts, cpu reference, ")
    assert "NetError: Unknown layer type: KitUnheardOf" in line


def test_in_place_may_be_refused_by_the_settings():
    def setup(self, bottom, top):
        Square.setup(self, bottom, top)
        if top[0] is bottom[0]:
            raise self.error("cannot run in place")

    check_layer(broken(in_place=True, setup=setup))


def test_a_waived_check_is_left_out_and_must_fail():
    setting = broken(forward=forward_allocates)
    waived = case(setting.prototxt, [SHAPE], reference=_reference, waived={"allocation": "shown on purpose"})
    check_layer(waived)
    idle = case(GOOD.prototxt, [SHAPE], reference=_reference, waived={"allocation": "shown on purpose"})
    with pytest.raises(AssertionError, match=r"cpu allocation: is waived \(shown on purpose\) but passes"):
        check_layer(idle)
    with pytest.raises(AssertionError, match=r"waived names no check: alocation. Checks: counts, reference"):
        check_layer(case(GOOD.prototxt, [SHAPE], waived={"alocation": "typo"}))


def test_a_reference_with_another_number_of_tops_is_an_error():
    with pytest.raises(AssertionError, match="the reference of top gives 2 arrays, the layer has 1"):
        check_layer(case(GOOD.prototxt, [SHAPE], reference=lambda bottoms, blobs: _reference(bottoms, blobs) * 2))


def test_a_reference_of_another_shape_is_an_error():
    with pytest.raises(AssertionError, match=r"top\[0\] differs .*expected shape \(2, 5, 3\), got \(2, 3, 5\)"):
        check_layer(case(GOOD.prototxt, [SHAPE], reference=lambda b, w: [np.swapaxes(_reference(b, w)[0], 1, 2)]))


def test_blobs_that_forward_changes_are_compared():
    setting = broken(forward=forward_writes_blob)
    check_layer(case(setting.prototxt, [SHAPE], reference=_reference, blobs_after=lambda b, w: [w[0], 2 * w[1]]))
    with pytest.raises(AssertionError, match=r"blobs\[1\] differs from the reference \(float32\): 1 of 1 values"):
        check_layer(case(setting.prototxt, [SHAPE], reference=_reference, blobs_after=lambda b, w: [w[0], 3 * w[1]]))


def test_a_constant_bias_is_given_other_values():
    """Else a layer that forgets its bias, zero by its filler, would pass."""

    def forward(self, bottom, top):
        self.xp.multiply(bottom[0].data, bottom[0].data, out=top[0].data)
        top[0].data[...] *= self.blobs[0].data[:, None]

    names, _ = failing(broken(forward=forward))
    assert "reference" in names
