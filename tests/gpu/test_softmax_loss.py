"""SoftmaxLoss on the GPU against the CPU's."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.errors import LayerError
from caffepy.testing import tolerance
from caffepy.testing.compare import assert_close
from tests.gpu.losses import losses


@pytest.mark.parametrize("ignore", [None, 1, -1])
@pytest.mark.parametrize("shape", [(3, 5, 1), (2, 3, 200), (300, 2, 1), (512, 2, 1), (0, 4, 1), (2, 4, 0)])
def test_twins(cpu, gpu, shape, ignore):
    random = np.random.default_rng(2)
    prob = random.uniform(0, 1, shape)
    prob[:1, :, :1] = 0
    label = random.integers(0, shape[1], (shape[0], shape[2])).astype(float)
    if ignore is not None:
        label[1::2] = ignore
    for name, a, b in losses("SoftmaxLoss", (ignore,), shape, (prob, label), 2, cpu, gpu):
        assert_close(b, a, tolerance("sum", cpu.dtype), name)


@pytest.mark.parametrize(
    ("label", "words"),
    [(3, "label 3 of sample 1, position 2 in .*3 vs. 3"), (-1, "label -1 of .*-1 vs. 0"), (np.nan, "label nan of ")],
)
def test_bad_labels_are_found_later(gpu, label, words):
    """The pass goes on over them; the first is told of, once, even if a good pass came after it."""
    shape = (2, 3, 4)
    op = gpu.ops.SoftmaxLoss(gpu, None)
    op.plan(shape)
    labels, out, scale, dx = np.zeros((2, 4)), gpu.zeros((2,)), gpu.zeros((1,)), gpu.zeros(shape)
    prob = gpu.asarray(np.ones(shape))
    scale.fill(1)
    labels[1, 2] = label
    op.forward(prob, gpu.asarray(labels), out)
    op.backward(prob, gpu.asarray(labels), scale, dx)
    assert gpu.to_host(out)[1] == 7
    assert (gpu.to_host(dx)[1, :, 2] == 1).all()
    op.forward(prob, gpu.asarray(np.zeros((2, 4))), out)
    with pytest.raises(LayerError, match=words):
        op.check()
    op.check()
