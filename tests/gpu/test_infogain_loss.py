"""InfogainLoss on the GPU against the CPU's."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.errors import LayerError
from caffepy.testing import tolerance
from caffepy.testing.compare import assert_close
from tests.gpu.losses import losses


@pytest.mark.parametrize("ignore", [None, 1])
@pytest.mark.parametrize("shape", [(3, 5, 1), (2, 40, 9), (0, 4, 1), (2, 4, 0)])
def test_twins(cpu, gpu, shape, ignore):
    random = np.random.default_rng(5)
    prob, h = random.uniform(0, 1, shape), random.standard_normal((shape[1], shape[1]))
    prob[:1, :, :1] = 0
    label = random.integers(0, shape[1], (shape[0], shape[2]))
    for name, a, b in losses("InfogainLoss", (ignore,), shape, (prob, label, h), 2, cpu, gpu):
        assert_close(b, a, tolerance("sum", cpu.dtype), name)


def test_a_bad_label_is_found_later(gpu):
    op = gpu.ops.InfogainLoss(gpu, 7)
    op.plan((2, 3, 2))
    labels = gpu.asarray(np.array([[7, 0], [2, -2]]))
    op.forward(gpu.asarray(np.ones((2, 3, 2))), labels, gpu.asarray(np.eye(3)), gpu.zeros((2,)))
    with pytest.raises(LayerError, match=r"label -2 of sample 1, position 1 .* is named by loss_param"):
        op.check()
