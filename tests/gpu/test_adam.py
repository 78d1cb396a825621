"""Adam on the GPU against the CPU's."""

from __future__ import annotations

import pytest

from caffepy.testing import tolerance
from caffepy.testing.compare import assert_close
from tests.gpu.updates import CASES, updated


@pytest.mark.parametrize(("bounds", "l1"), CASES)
def test_twins(cpu, gpu, bounds, l1):
    for name, a, b in updated("Adam", (0.9, 0.999, 1e-8), 2, bounds, l1, cpu, gpu):
        assert_close(b, a, tolerance("elementwise", cpu.dtype), name)
