"""A loss that is no number stops the run, and the first bad blob is named."""

from __future__ import annotations

import numpy as np
import pytest

import caffepy
from caffepy.errors import SolverError
from tests.net.square_loss import SquareLoss
from tests.solver.recorder import Recorder, solver_of
from tests.solver.rows import Rows

assert SquareLoss.loss
assert Rows.tops

NET = """
    layer { name: "rows" type: "Rows" top: "x" top: "t" data_param { batch_size: 4 } }
    layer { name: "bad" type: "Spoil" bottom: "x" top: "z" }
    layer { name: "ip" type: "InnerProduct" bottom: "z" top: "y"
      inner_product_param { num_output: 2 weight_filler { type: "constant" value: 1 } } }
    layer { name: "act" type: "ReLU" bottom: "y" top: "y" }
    layer { name: "loss" type: "SquareLoss" bottom: "y" bottom: "t" top: "loss" }
"""


@caffepy.register_layer("Spoil")
class Spoil(caffepy.Layer):
    """Passes its bottom on; in pass `at` the first element becomes `value`."""

    at: int | None = None
    value = np.nan

    def setup(self, bottom, top): ...

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data
        if self.context.counter.value == self.at:
            top[0].data[0, 0] = self.value

    def backward(self, top, propagate_down, bottom): ...


@pytest.fixture
def spoil(monkeypatch):
    def set_to(at, value=np.nan):
        monkeypatch.setattr(Spoil, "at", at)
        monkeypatch.setattr(Spoil, "value", value)

    set_to(None)
    return set_to


def _refused(tmp_path, match: str, settings: str = "max_iter: 9", net: str = NET, prepare=None):
    recorder = Recorder()
    solver = solver_of(tmp_path, net, settings, recorder)
    if prepare:
        prepare(solver)
    with pytest.raises(SolverError, match=match) as caught:
        solver.solve()
    return solver, recorder, str(caught.value)


def test_a_layer_that_makes_nan(tmp_path, spoil):
    spoil(3)
    match = (
        r"^Iteration 3: loss = nan\. The first bad blob is 'z', made by layer 'bad' \(Spoil\): 1 of 20 values are NaN "
        r"or infinite; it reads 'x' up to \d"
    )
    solver, recorder, message = _refused(tmp_path, match, "max_iter: 9 snapshot: 2")
    assert "caffepy check-data" in message
    assert "Nothing was updated or written in this iteration" in message
    assert [event.iter for event in recorder.of("iteration")] == [0, 1, 2]
    assert [event.iter for event in recorder.of("snapshot")] == [2]
    assert not recorder.of("end")
    assert np.isfinite(solver._data).all()
    assert solver.iter == 3


def test_an_infinite_activation(tmp_path, spoil):
    spoil(0, np.inf)
    _refused(tmp_path, r"^Iteration 0: loss = inf\. The first bad blob is 'z', made by layer 'bad'")


def test_bad_data(tmp_path, spoil, monkeypatch):
    from tests.solver import rows

    table = rows.TABLE.copy()
    table[9, 2] = np.nan
    monkeypatch.setattr(rows, "TABLE", table)
    match = (
        r"^Iteration 2: loss = nan\. The first bad blob is 'x', made by layer 'rows' \(Rows\): 1 of 20 .*; it is data"
    )
    _refused(tmp_path, match)


def test_weights_that_an_earlier_update_spoiled(tmp_path, spoil):
    def prepare(solver):
        solver.net.params["ip"][1].data[1] = np.nan

    match = (
        r"^Iteration 0: loss = nan\. The first bad blob is learnable blob 1 of layer 'ip' \(InnerProduct\): "
        r"1 of 2 values are NaN or infinite; an earlier update has spoiled it"
    )
    _refused(tmp_path, match, prepare=prepare)


def test_a_rate_that_is_far_too_large(tmp_path, spoil):
    _, recorder, message = _refused(
        tmp_path, r"^Iteration \d+: loss = (inf|nan)\. The first bad blob", "max_iter: 900 base_lr: 1e6 momentum: 0.9"
    )
    losses = [event.loss for event in recorder.of("iteration")]
    assert losses[-1] > losses[0] * 1e6
    assert np.isfinite(losses).all()
    assert "a smaller base_lr" in message


def test_a_rate_beyond_all_numbers(tmp_path, spoil):
    settings = 'max_iter: 900 lr_policy: "exp" gamma: 1e30 base_lr: 1e-9'
    _refused(tmp_path, r"^Iteration \d+: loss = (inf|nan)", settings)


def test_of_several_sub_batches_the_bad_one_is_looked_at(tmp_path, spoil):
    """The blobs of a later sub-batch would be sound again, and the fault could not be named."""
    spoil(4)
    match = r"^Iteration 1: loss = nan\. The first bad blob is 'z', made by layer 'bad'"
    _refused(tmp_path, match, "max_iter: 9 iter_size: 3")


def test_a_sum_that_overflows_though_all_blobs_are_finite(tmp_path, spoil):
    net = (
        NET
        + """
        layer { name: "large" type: "Power" bottom: "x" top: "large" loss_weight: 1
          power_param { scale: 0 shift: 3e38 } }"""
    )
    _refused(tmp_path, r"^Iteration 0: loss = inf\. All blobs are finite; their sum is not\.", net=net)


def test_blobs_without_elements_are_no_fault(tmp_path, spoil):
    net = (
        """
        layer { name: "none" type: "Input" top: "none" input_param { shape { dim: 0 dim: 3 } } }
        layer { name: "act" type: "Power" bottom: "none" top: "act" }"""
        + NET
    )
    spoil(0)
    _refused(tmp_path, r"The first bad blob is 'z'", net=net)


def test_a_test_net_may_overflow(tmp_path, spoil):
    net = (
        NET
        + """
        layer { name: "inf" type: "Power" bottom: "x" top: "inf" power_param { scale: 0 shift: 3e38 }
          include { phase: TEST } loss_weight: 10 }"""
    )
    recorder = Recorder()
    settings = "max_iter: 1 test_interval: 1 test_iter: 1 test_compute_loss: true"
    solver_of(tmp_path, net, settings, recorder).solve()
    assert recorder.of("test")[0].loss == np.inf
    assert recorder.of("end")


DEEP = """
    layer { name: "rows" type: "Rows" top: "x" top: "t" data_param { batch_size: 4 } }
    layer { name: "a" type: "InnerProduct" bottom: "x" top: "a"
      inner_product_param { num_output: 9 weight_filler { type: "gaussian" std: 1 } } }
    layer { name: "image" type: "Reshape" bottom: "a" top: "image" reshape_param { shape { dim: [0, 9, 1, 1] } } }
    layer { name: "one" type: "LRN" bottom: "image" top: "one" lrn_param { alpha: 1 } }
    layer { name: "drop" type: "Dropout" bottom: "one" top: "drop" }
    layer { name: "pool" type: "Pooling" bottom: "drop" top: "pool" pooling_param { kernel_size: 1 } }
    layer { name: "two" type: "LRN" bottom: "pool" top: "two" lrn_param { alpha: 1 beta: -1e9 } }
    layer { name: "last" type: "Pooling" bottom: "two" top: "last" pooling_param { kernel_size: 1 } }
    layer { name: "y" type: "InnerProduct" bottom: "last" top: "y" inner_product_param { num_output: 2 } }
    layer { name: "loss" type: "SquareLoss" bottom: "y" bottom: "t" top: "loss" }
"""


def test_the_bad_blob_is_found_where_blobs_share_memory(tmp_path):
    """What was made before it has been overwritten since, by what is bad too."""
    solver = solver_of(tmp_path, DEEP, "max_iter: 2", share_memory=True)
    blobs = solver.net.blobs
    with np.errstate(invalid="ignore"):
        solver.net.forward()
    before = list(blobs)[: list(blobs).index("two")]
    assert [name for name in before if not np.isfinite(blobs[name].data).all()] == ["drop"]
    match = r"The first bad blob is 'two', made by layer 'two' \(LRN\): .* it reads 'pool' up to"
    with pytest.raises(SolverError, match=match):
        solver.solve()


def test_the_bad_pass_is_gone_through_again(tmp_path, spoil):
    spoil(3)
    solver = solver_of(tmp_path, NET, "max_iter: 9", share_memory=True)
    with pytest.raises(SolverError, match=r"^Iteration 3: .* The first bad blob is 'z', made by layer 'bad' \(Spoil\)"):
        solver.solve()
