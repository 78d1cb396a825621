"""MultinomialLoss on the GPU against the CPU's."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.errors import LayerError
from caffepy.testing import tolerance
from caffepy.testing.compare import assert_close
from tests.gpu.losses import losses


@pytest.mark.parametrize("shape", [(3, 5), (300, 2), (0, 4)])
def test_twins(cpu, gpu, shape):
    random = np.random.default_rng(3)
    prob, label = random.uniform(0, 1, shape), random.integers(0, shape[1], shape[0])
    prob[:1] = 0
    for name, a, b in losses("MultinomialLoss", (), shape, (prob, label), 1, cpu, gpu):
        assert_close(b, a, tolerance("sum", cpu.dtype), name)


def test_nan_stays(cpu, gpu):
    prob = np.array([[0.5, np.nan], [np.nan, 0.5]])
    for name, a, b in losses("MultinomialLoss", (), (2, 2), (prob, np.array([0, 0])), 1, cpu, gpu):
        np.testing.assert_array_equal(b, a, err_msg=name)


def test_a_bad_label_is_found_later(gpu):
    op = gpu.ops.MultinomialLoss(gpu)
    op.plan((3, 2))
    op.forward(gpu.asarray(np.ones((3, 2))), gpu.asarray(np.array([0, 5, 7])), gpu.zeros((1,)))
    with pytest.raises(LayerError, match=r"label 5 of sample 1 in the batch is not in 0\.\.1"):
        op.check()
