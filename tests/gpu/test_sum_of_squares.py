"""SumOfSquares on the GPU against the CPU's."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.mark.parametrize("count", [0, 1, 31, 1000, 140_000])
def test_twins(cpu, gpu, count):
    x = np.random.default_rng(9).standard_normal(count)
    found = []
    for backend in (cpu, gpu):
        op = backend.ops.SumOfSquares(backend)
        op.plan(count)
        found.append(op.forward(backend.asarray(x)))
        assert isinstance(found[-1], float)
        assert op.forward(backend.asarray(x)) == found[-1]
    assert found[1] == pytest.approx(found[0], rel=1e-12)
