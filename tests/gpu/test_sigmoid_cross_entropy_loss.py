"""SigmoidCrossEntropyLoss on the GPU against the CPU's."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.testing import tolerance
from caffepy.testing.compare import assert_close
from tests.gpu.losses import losses


@pytest.mark.parametrize("ignore", [None, 0, -1])
@pytest.mark.parametrize("shape", [(3, 5), (130, 7), (0, 4)])
def test_twins(cpu, gpu, shape, ignore):
    random = np.random.default_rng(6)
    x, target = 5 * random.standard_normal(shape), random.uniform(-1.5, 1.5, shape)
    x[:1, :2] = [[1e4, -1e4]]
    for name, a, b in losses("SigmoidCrossEntropyLoss", (ignore,), shape, (x, target), 2, cpu, gpu):
        assert_close(b, a, tolerance("sum", cpu.dtype), name)


def test_nan_is_not_ignored(cpu, gpu):
    x, target = np.array([[1.0, np.nan]]), np.array([[np.nan, 1]])
    for name, a, b in losses("SigmoidCrossEntropyLoss", (0,), (1, 2), (x, target), 2, cpu, gpu):
        np.testing.assert_array_equal(b, a, err_msg=name)
