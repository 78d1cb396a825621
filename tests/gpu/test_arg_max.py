"""ArgMax on the GPU against the CPU's, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from tests.gpu.twins import both, on


@pytest.mark.parametrize(
    ("shape", "top_k"),
    [((3, 70, 1), 4), ((2, 5, 6), 5), ((1, 1, 1), 1), ((40, 3, 1), 1), ((0, 3, 1), 2), ((2, 9, 0), 1)],
)
def test_twins(cpu, gpu, shape, top_k):
    """Few different values, so that many are equal; some NaN, infinities, and zeros of either sign."""
    random = np.random.default_rng(8)
    x = random.choice([-np.inf, -1, -0.0, 0.0, 1, np.nan, np.inf], shape, p=[0.1, 0.2, 0.2, 0.2, 0.2, 0.05, 0.05])

    def run(backend):
        op = backend.ops.ArgMax(backend, top_k)
        op.plan(shape)
        found = (shape[0], top_k, shape[2])
        pair = backend.empty((shape[0], 2, top_k, shape[2]))
        places, values = backend.empty(found), backend.empty(found)
        op.forward(on(backend, x), pair[:, 0], pair[:, 1])
        op.forward(on(backend, x), places, None)
        op.forward(on(backend, x), None, values)
        return pair, places, values

    for name, a, b in zip(("both", "places", "values"), *both(run, cpu, gpu), strict=True):
        np.testing.assert_array_equal(b, a, err_msg=name)
