"""What the host has made gets into a blob, in the blob's type."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.uint8, np.int64])
@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (0, 3), ()])
def test_values_arrive(backend, dtype, kind, shape):
    device = get_backend(backend, dtype)
    op, out = device.ops.Upload(device), device.zeros(shape)
    op.plan(shape)
    x = np.full(shape, 7, kind)
    for value in (7, 9, 11, 13):
        x[...] = value
        op.forward(x, out)
        # At once: the array of the host is free again.
        x[...] = 1
        np.testing.assert_array_equal(device.to_host(out), np.full(shape, value))
