"""check_gradient names the wrong blob, dodges kinks, and cannot pass by checking nothing."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from caffepy.layer import Layer, register_layer
from caffepy.proto import caffe_pb2
from caffepy.testing import case, check_gradient
from caffepy.testing.check_gradient import compare_gradients


class Product(Layer):
    """y = w * a * b; a, b, y (N, C); w (C,)."""

    in_place = False

    def setup(self, bottom, top):
        """One learnable blob."""
        self.add_blob((bottom[0].shape[1],), caffe_pb2.FillerParameter(type="constant", value=1))

    def reshape(self, bottom, top):
        """Top as bottoms."""
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        """The product of the three."""
        top[0].data[...] = self.blobs[0].data * bottom[0].data * bottom[1].data

    def backward(self, top, propagate_down, bottom):
        """Each by the two others."""
        w, dy = self.blobs[0].data, top[0].diff
        self.blobs[0].diff[...] += (dy * bottom[0].data * bottom[1].data).sum(axis=0)
        bottom[0].diff[...] = w * dy * bottom[1].data
        bottom[1].diff[...] = w * dy * bottom[0].data


def setting(backward=Product.backward, forward=Product.forward, shape=(4, 3), **more):
    """A case of Product with other passes."""
    changes = {"__module__": __name__, "backward": backward, "forward": forward}
    register_layer("KitProduct")(type("Product", (Product,), changes))
    return case('type: "KitProduct"', [shape, shape], **more)


@pytest.mark.parametrize("exhaustive", [False, True])
def test_a_right_gradient_passes(exhaustive):
    check_gradient(setting(), exhaustive=exhaustive)


@pytest.mark.parametrize("exhaustive", [False, True])
@pytest.mark.parametrize(
    ("wrong", "name"), [(0, r"bottom\[0\].diff"), (1, r"bottom\[1\].diff"), (2, r"blobs\[0\].diff")]
)
def test_a_wrong_sign_is_named(wrong, name, exhaustive):
    def backward(self, top, propagate_down, bottom):
        Product.backward(self, top, propagate_down, bottom)
        [bottom[0], bottom[1], self.blobs[0]][wrong].diff[...] *= -1

    with pytest.raises(AssertionError) as caught:
        check_gradient(setting(backward), exhaustive=exhaustive)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2, "only the wrong blob is named"
    pattern = (
        rf"^  {name}: along a direction expected (\S+) \(central difference of forward\), got (\S+); worst of \d+ .*"
    )
    match = re.match(pattern, lines[1])
    assert match, lines[1]
    assert float(match[1]) == pytest.approx(-float(match[2]), rel=1e-5)


def test_one_wrong_element_is_found():
    def backward(self, top, propagate_down, bottom):
        Product.backward(self, top, propagate_down, bottom)
        bottom[1].diff[2, 1] *= 1.001

    with pytest.raises(
        AssertionError, match=r"bottom\[1\].diff: .* worst of 12 elements examined: element \[2, 1\]: expected"
    ):
        check_gradient(setting(backward))


def test_exhaustive_sees_what_a_direction_cannot():
    """One element that is off by a ten-thousandth is below the tolerance of a sum over 1,200."""

    def backward(self, top, propagate_down, bottom):
        Product.backward(self, top, propagate_down, bottom)
        bottom[1].diff[2, 1] *= 1.0001

    check_gradient(setting(backward, shape=(40, 30)))
    with pytest.raises(AssertionError, match=r"bottom\[1\].diff: along a direction"):
        check_gradient(setting(backward, shape=(40, 30)), exhaustive=True)


def test_arithmetic_in_float32_is_found():
    def forward(self, bottom, top):
        top[0].data[...] = (self.blobs[0].data * bottom[0].data * bottom[1].data).astype(np.float32)

    with pytest.raises(AssertionError, match="wrong gradient"):
        check_gradient(setting(forward=forward))


def test_a_nan_in_a_diff_is_found():
    def backward(self, top, propagate_down, bottom):
        Product.backward(self, top, propagate_down, bottom)
        bottom[0].diff[0, 0] = np.nan

    with pytest.raises(
        AssertionError, match=r"bottom\[0\].diff: .* got nan; .* element \[0, 0\]: expected .*, got nan"
    ):
        check_gradient(setting(backward))


def test_only_what_the_case_says_is_checked():
    def backward(self, top, propagate_down, bottom):
        Product.backward(self, top, propagate_down, bottom)
        bottom[0].diff[...] = 1
        self.blobs[0].diff[...] = 1

    check_gradient(setting(backward, gradient=[1], blobs_checked=[]))
    with pytest.raises(AssertionError, match=r"blobs\[0\].diff"):
        check_gradient(setting(backward, gradient=[1]))


def test_nothing_checked_is_an_error():
    zero = {0: lambda random, shape: np.zeros(shape), 1: lambda random, shape: np.zeros(shape)}
    with pytest.raises(AssertionError, match="no bottom and no learnable blob has any effect on the tops"):
        check_gradient(setting(draw=zero))


def _masked(at_backward):
    """A case of a random layer: y = x * mask(pass), whose backward takes its mask where ``at_backward`` says."""

    @register_layer("KitMask")
    class Mask(Layer):
        """Drops half of the elements, others in each pass."""

        def setup(self, bottom, top):
            """The random numbers."""
            self.random = self.stream("mask")

        def mask(self, blob):
            """Zeros and ones, by the pass that the net is in."""
            words = self.random.bits(blob.count, self.context.counter.value)
            return (words & 1).astype(np.float64).reshape(blob.shape)

        def reshape(self, bottom, top):
            """Top as bottom."""
            top[0].reshape(*bottom[0].shape)

        def forward(self, bottom, top):
            """Mask, and keep the mask."""
            self.kept = self.mask(bottom[0])
            top[0].data[...] = bottom[0].data * self.kept

        def backward(self, top, propagate_down, bottom):
            """The same mask, or another."""
            bottom[0].diff[...] = top[0].diff * (self.mask(bottom[0]) if at_backward else self.kept)

    return case('type: "KitMask"', [(4, 8)])


def test_a_random_layer_is_differentiated_with_its_mask_fixed():
    check_gradient(_masked(at_backward=False))


def test_a_backward_that_draws_anew_is_found():
    with pytest.raises(AssertionError, match=r"bottom\[0\].diff: along a direction expected"):
        check_gradient(_masked(at_backward=True))


def test_ties_are_dodged_by_a_smaller_step():
    """Two elements nearer than the step: the wide difference straddles the kink of their maximum."""

    @register_layer("KitMax")
    class Max(Layer):
        """y = max over the last axis; x (N, K), y (N,)."""

        def setup(self, bottom, top):
            """Nothing to set."""

        def reshape(self, bottom, top):
            """Drop the last axis."""
            top[0].reshape(bottom[0].shape[0])

        def forward(self, bottom, top):
            """The largest."""
            top[0].data[...] = bottom[0].data.max(axis=1)

        def backward(self, top, propagate_down, bottom):
            """To the largest only."""
            bottom[0].diff[...] = 0
            bottom[0].diff[range(bottom[0].shape[0]), bottom[0].data.argmax(axis=1)] = top[0].diff

    near = {0: lambda random, shape: np.float32([[1, 1 + 2.0**-19, 0], [3, 1, 2]])}
    check_gradient(case('type: "KitMax"', [(2, 3)], draw=near))
    check_gradient(case('type: "KitMax"', [(2, 3)], draw=near), exhaustive=True)


def test_inputs_are_moved_away_from_a_declared_kink():
    @register_layer("KitStep")
    class Step(Layer):
        """y = |x - 1|, with a jump at 1 that no step survives."""

        def setup(self, bottom, top):
            """Nothing to set."""

        def reshape(self, bottom, top):
            """Top as bottom."""
            top[0].reshape(*bottom[0].shape)

        def forward(self, bottom, top):
            """The distance, and the jump."""
            offset = bottom[0].data - 1
            top[0].data[...] = np.abs(offset) + 100 * (offset > 0)

        def backward(self, top, propagate_down, bottom):
            """The sign."""
            bottom[0].diff[...] = np.sign(bottom[0].data - 1) * top[0].diff

    at_kink = {0: lambda random, shape: np.full(shape, 1.0)}
    with pytest.raises(AssertionError, match="wrong gradient"):
        check_gradient(case('type: "KitStep"', [(2, 3)], draw=at_kink))
    check_gradient(case('type: "KitStep"', [(2, 3)], draw=at_kink, kink=0.01, kink_at=1.0))


def _distances(backward):
    """A case of |x - 1|, 2,000 elements, three of which are at the kink."""

    def forward(self, bottom, top):
        """The distance from 1."""
        top[0].data[...] = np.abs(bottom[0].data - 1) * bottom[1].data

    def three(random, shape):
        values = random.standard_normal(shape)
        values[[3, 50, 199], [0, 9, 4]] = 1.0
        return values

    return setting(backward, forward, shape=(200, 10), draw={0: three}, gradient=[0], blobs_checked=())


def test_a_few_kinks_among_thousands_are_let_pass_and_a_wrong_element_beside_them_is_not():
    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = np.where(bottom[0].data >= 1, 1, -1) * bottom[1].data * top[0].diff
        bottom[1].diff[...] = 0

    def wrong(self, top, propagate_down, bottom):
        backward(self, top, propagate_down, bottom)
        bottom[0].diff[120, 7] *= 1.5

    with pytest.raises(AssertionError, match="wrong gradient"):
        # Of two thousand elements two may be at a kink, of three thousand all three.
        check_gradient(_distances(backward))
    more = _distances(backward)
    check_gradient(replace(more, bottoms=[(300, 10), (300, 10)]))
    with pytest.raises(AssertionError, match=r"worst of 201 elements examined: element \[120, 7\]: expected"):
        check_gradient(replace(_distances(wrong), bottoms=[(300, 10), (300, 10)]))


def test_a_gradient_beyond_both_sides_of_a_kink_is_wrong():
    def beyond(self, top, propagate_down, bottom):
        bottom[0].diff[...] = np.sign(bottom[0].data - 1) * bottom[1].data * top[0].diff
        at = bottom[0].data == 1
        bottom[0].diff[at] = 1.2 * np.abs(bottom[1].data * top[0].diff)[at]

    with pytest.raises(AssertionError, match=r"element \[(3, 0|50, 9|199, 4)\]: expected"):
        check_gradient(replace(_distances(beyond), bottoms=[(300, 10), (300, 10)]))


def test_one_wrong_element_of_many_is_named():
    def backward(self, top, propagate_down, bottom):
        Product.backward(self, top, propagate_down, bottom)
        bottom[1].diff[777, 2] *= 1.1

    with pytest.raises(AssertionError, match=r"worst of 201 elements examined: element \[777, 2\]: expected"):
        check_gradient(setting(backward, shape=(1000, 3)))


def test_a_forward_that_draws_anew_each_time_is_named():
    def forward(self, bottom, top):
        """Noise on the product."""
        Product.forward(self, bottom, top)
        top[0].data[...] *= np.random.default_rng().uniform(0.5, 1, top[0].shape)

    with pytest.raises(AssertionError, match=r"forward gives other values each time: draw from self\.stream"):
        check_gradient(setting(forward=forward))


def test_a_diff_that_nobody_wrote_is_named():
    def backward(self, top, propagate_down, bottom):
        Product.backward(self, top, propagate_down, bottom)
        bottom[0].diff[...] = np.nan

    with pytest.raises(AssertionError, match=r"bottom\[0\].diff: got nan everywhere: backward did not write it"):
        check_gradient(setting(backward))


def test_single_elements_and_a_threshold_of_ones_own():
    def backward(self, top, propagate_down, bottom):
        Product.backward(self, top, propagate_down, bottom)
        bottom[1].diff[...] *= 1 + 1e-4

    failed = [one.name for one in compare_gradients(setting(backward)) if one.failure]
    assert failed == ["bottom[1]"]
    assert not [one for one in compare_gradients(setting(backward), threshold=1e-3) if one.failure]

    def one_of_many(self, top, propagate_down, bottom):
        Product.backward(self, top, propagate_down, bottom)
        bottom[1].diff[77, 2] *= 1.1

    few = {"directions": 1, "threshold": 1e-2}
    assert not [one for one in compare_gradients(setting(one_of_many, shape=(100, 3)), **few) if one.failure]
    (found,) = [
        one for one in compare_gradients(setting(one_of_many, shape=(100, 3)), elements=300, **few) if one.failure
    ]
    assert "element [77, 2]" in found.failure


def test_bottoms_that_are_not_checked_are_not_asked_for():
    def backward(self, top, propagate_down, bottom):
        if propagate_down[1]:
            raise ValueError("Layer cannot backpropagate to label inputs.")
        Product.backward(self, top, propagate_down, bottom)

    check_gradient(setting(backward, gradient=[0]))
    with pytest.raises(ValueError, match="cannot backpropagate to label inputs"):
        check_gradient(setting(backward))
