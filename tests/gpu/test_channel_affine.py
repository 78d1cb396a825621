"""ChannelAffine on the GPU against the CPU's."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.test_channel_affine import GIVEN, forward, values


@pytest.mark.parametrize("weight", [3.0, 0.0])
@pytest.mark.parametrize("given", GIVEN, ids=", ".join)
def test_twins(cpu, gpu, given, weight):
    read = values(given, weight)
    for one, other in zip(*(forward(backend, read, 1e-5) for backend in (cpu, gpu)), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-6)
