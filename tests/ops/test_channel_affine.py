"""caffepy.cpu.channel_affine against the layers that it stands for."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend

#: What there is beside y.
GIVEN = [
    ("statistics",),
    ("b", "statistics"),
    ("statistics", "factor"),
    ("b", "statistics", "factor", "offset"),
    ("factor",),
    ("b", "factor", "offset"),
    ("factor", "offset"),
]
CHANNELS = 5


def values(given, weight=3.0, seed=2):
    """b, statistics, factor and offset; None for those that are not ``given``."""
    random = np.random.default_rng(seed)
    b, mean, factor, offset = (random.uniform(-2, 2, CHANNELS).astype(np.float32) for _ in range(4))
    variance = random.uniform(0.5, 9, CHANNELS).astype(np.float32)
    statistics = mean, variance, np.array([weight], np.float32)
    every = {"b": b, "statistics": statistics, "factor": factor, "offset": offset}
    return [every[name] if name in given else None for name in every]


def layers(y, b, statistics, factor, offset, eps):
    """BatchNorm by stored numbers, then Scale, step by step."""
    y = y + (0 if b is None else b)
    if statistics is not None:
        mean, variance, weight = (array.astype(np.float64) for array in statistics)
        mean, variance = (array / weight if weight else array * 0 for array in (mean, variance))
        y = (y - mean) / np.sqrt(variance + eps)
    return y * (1 if factor is None else factor) + (0 if offset is None else offset)


def forward(backend, read, eps):
    """scale and shift on the host."""

    def there(array):
        return None if array is None else backend.asarray(array)

    b, statistics, factor, offset = read
    op = backend.ops.ChannelAffine(backend, eps)
    op.plan(CHANNELS)
    out = backend.asarray(np.full(CHANNELS, np.nan)), backend.asarray(np.full(CHANNELS, np.nan))
    held = None if statistics is None else tuple(map(there, statistics))
    for _ in range(2):
        op.forward(there(b), held, there(factor), there(offset), *out)
    return [backend.to_host(array) for array in out]


@pytest.mark.parametrize("weight", [3.0, 0.0])
@pytest.mark.parametrize("given", GIVEN, ids=", ".join)
def test_what_the_layers_do(backend, given, weight):
    read = values(given, weight)
    y = np.random.default_rng(3).standard_normal((4, CHANNELS))
    expected = layers(y, *read, 1e-2)
    for dtype, rtol in (("float32", 1e-5), ("float64", 1e-12)):
        scale, shift = forward(get_backend(backend, dtype, 1), read, 1e-2)
        assert scale.dtype == shift.dtype == dtype
        np.testing.assert_allclose(scale * y + shift, expected, rtol=rtol, atol=rtol * 10)


def test_another_number_of_channels():
    cpu = get_backend("cpu", "float64", 1)
    op = cpu.ops.ChannelAffine(cpu, 0.0)
    for channels in (3, 7):
        factor, scale, shift = np.arange(channels) + 2.0, np.empty(channels), np.empty(channels)
        op.plan(channels)
        op.forward(None, None, factor, None, scale, shift)
        np.testing.assert_array_equal(scale, factor)
        assert not shift.any()
