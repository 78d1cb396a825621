"""HingeLoss on the GPU against the CPU's."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.errors import LayerError
from caffepy.testing import tolerance
from caffepy.testing.compare import assert_close
from tests.gpu.losses import losses


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("shape", [(3, 5), (130, 7), (0, 4)])
def test_twins(cpu, gpu, shape, squared):
    random = np.random.default_rng(4)
    x, label = random.standard_normal(shape), random.integers(0, shape[1], shape[0])
    x[:1, :1] = -1
    for name, a, b in losses("HingeLoss", (squared,), shape, (x, label), 1, cpu, gpu):
        assert_close(b, a, tolerance("sum", cpu.dtype), name)


def test_nan_stays(cpu, gpu):
    x = np.array([[np.nan, 0.5], [2, -3]])
    found = losses("HingeLoss", (False,), (2, 2), (x, np.array([0, 1])), 1, cpu, gpu)
    for name, a, b in found:
        np.testing.assert_array_equal(b, a, err_msg=name)
    assert np.isnan(found[0][2]).all()
    assert np.isnan(found[1][2]).sum() == 1


def test_a_bad_label_is_found_later(gpu):
    op = gpu.ops.HingeLoss(gpu, False)
    op.plan((3, 2))
    op.forward(gpu.asarray(np.ones((3, 2))), gpu.asarray(np.array([0, 0, 2])), gpu.zeros((1,)))
    with pytest.raises(LayerError, match=r"label 2 of sample 2 in the batch is not in 0\.\.1"):
        op.check()
