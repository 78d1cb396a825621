"""A run whose blobs share memory ends in the same bits: iter_size, test nets between, in place, branches."""

from __future__ import annotations

import numpy as np
import pytest

from tests.net.square_loss import SquareLoss
from tests.solver.recorder import Recorder, solver_of
from tests.solver.rows import Rows

assert SquareLoss.loss
assert Rows.tops

_BODY = """
    layer { name: "a" type: "InnerProduct" bottom: "x" top: "a"
      inner_product_param { num_output: 9 weight_filler { type: "xavier" } } }
    layer { name: "image" type: "Reshape" bottom: "a" top: "image" reshape_param { shape { dim: [0, 9, 1, 1] } } }
    layer { name: "act" type: "ReLU" bottom: "image" top: "image" }
    layer { name: "norm" type: "LRN" bottom: "image" top: "norm" lrn_param { alpha: 0.1 } }
    layer { name: "drop" type: "Dropout" bottom: "norm" top: "drop" }
    layer { name: "left" type: "InnerProduct" bottom: "drop" top: "left"
      inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
    layer { name: "squash" type: "TanH" bottom: "image" top: "squash" }
    layer { name: "right" type: "InnerProduct" bottom: "squash" top: "right"
      inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
    layer { name: "sum" type: "Eltwise" bottom: "left" bottom: "right" top: "sum" }
    layer { name: "loss" type: "SquareLoss" bottom: "sum" bottom: "t" top: "loss" }
"""
NET = (
    """
    layer { name: "rows" type: "Rows" top: "x" top: "t" data_param { batch_size: 4 } include { phase: TRAIN } }
    layer { name: "rows" type: "Rows" top: "x" top: "t" data_param { batch_size: 7 } include { phase: TEST } }
"""
    + _BODY
)


@pytest.mark.parametrize("iter_size", [1, 3])
@pytest.mark.parametrize("method", ["SGD", "Adam"])
def test_a_run_ends_in_the_same_bits(tmp_path, method, iter_size):
    settings = f"""
        max_iter: 8 base_lr: 0.02 iter_size: {iter_size} type: "{method}" weight_decay: 0.01
        test_iter: 2 test_interval: 3 display: 1 average_loss: 2
    """
    ends = []
    for share in (False, True):
        recorder = Recorder()
        solver = solver_of(tmp_path, NET, settings, recorder, share_memory=share)
        solver.solve()
        ends.append(
            (
                np.concatenate([blob.data.reshape(-1) for layer in solver.net.layers for blob in layer.blobs]),
                [event.loss for event in recorder.of("iteration")],
                [event.loss for event in recorder.of("test")],
            )
        )
    assert solver.net.memory.size
    assert solver.test_nets[0].memory.size
    (weights, losses, tests), (shared_weights, shared_losses, shared_tests) = ends
    assert np.array_equal(weights, shared_weights)
    assert losses == shared_losses
    assert tests == shared_tests
    assert len(tests) == 3
    assert losses[-1] < losses[0]
