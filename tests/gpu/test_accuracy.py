"""Accuracy on the GPU against the CPU's, to the bit: it counts."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.errors import LayerError
from tests.gpu.twins import both, on


def _run(backend, x, label, top_k, ignore, wanted=True):
    op = backend.ops.Accuracy(backend, top_k, ignore)
    op.plan(x.shape)
    out, each = backend.zeros((1,)), backend.zeros((x.shape[1],))
    out.fill(np.nan)
    each.fill(np.nan)
    for _ in range(2):
        op.forward(on(backend, x), on(backend, label), out, each if wanted else None)
        op.check()
    return out, each


@pytest.mark.parametrize(("top_k", "ignore"), [(1, None), (2, 1), (3, -1), (40, None)])
@pytest.mark.parametrize("shape", [(3, 5, 1), (70, 40, 1), (5, 33, 3), (2, 7, 300), (0, 4, 1), (2, 4, 0)])
def test_twins(cpu, gpu, shape, top_k, ignore):
    """Scores with ties and NaN."""
    random = np.random.default_rng(2)
    x = random.integers(0, 3, shape).astype(float)
    x[random.uniform(size=shape) < 0.1] = np.nan
    label = random.integers(0, shape[1], (shape[0], shape[2])).astype(float)
    if ignore is not None:
        label[1::2] = ignore
    for wanted in (True, False):
        one, other = both(lambda backend, w=wanted: _run(backend, x, label, top_k, ignore, w), cpu, gpu)
        np.testing.assert_array_equal(other[0], one[0])
        np.testing.assert_array_equal(other[1], one[1])
        assert np.isnan(other[1]).all() == (not wanted)


@pytest.mark.parametrize(
    ("label", "words"),
    [(3, "label 3 of sample 1, position 2 in .*< num_labels"), (-1, "label -1 of .*>= 0"), (np.nan, "label nan of ")],
)
@pytest.mark.parametrize("inner", [4, 50])
def test_bad_labels_are_found_later(gpu, label, words, inner):
    """They do not count; the first is told of, once, even if a good pass came after it."""
    op = gpu.ops.Accuracy(gpu, 1, None)
    op.plan((2, 3, inner))
    x = np.zeros((2, 3, inner))
    x[:, 0] = 1
    labels, out = np.zeros((2, inner)), gpu.zeros((1,))
    labels[1, 2] = label
    op.forward(gpu.asarray(x), gpu.asarray(labels), out, None)
    assert gpu.to_host(out)[0] == 1
    op.forward(gpu.asarray(x), gpu.asarray(np.ones((2, inner))), out, None)
    assert gpu.to_host(out)[0] == 0
    with pytest.raises(LayerError, match=words):
        op.check()
    op.check()
