"""caffepy.cpu._simd: what each word does, on numbers that are told apart."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.cpu._jit import kernel
from caffepy.cpu._simd import finish8, join4, multiply_add, scale8, transpose8


@kernel
def _transpose(src, s0, s_step, dst, d0, d_step):
    transpose8(src, s0, s_step, dst, d0, d_step)


@kernel
def _finish(src, s0, bias, b0, slope, dst, d0, d_step):
    finish8(src, s0, bias, b0, slope, dst, d0, d_step)


@kernel
def _join(src, low, high, dst, d0):
    join4(src, low, high, dst, d0)


@kernel
def _scale(dst, d0, count, factors, f0):
    scale8(dst, d0, count, factors, f0)


@kernel
def _block(add, count, a, b, c):
    multiply_add(4, 3, 8, 1, 8, add, count, a, 3, 40, b, 5, 200, c, 2, 50)


@kernel
def _block_across(add, count, a, b, c):
    multiply_add(2, 1, 1, 8, 1, add, count, a, 3, 8, b, 5, 0, c, 2, 0)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


def test_transpose8(dtype):
    src, dst = np.arange(300, dtype=dtype), np.zeros(300, dtype)
    _transpose(src, 3, 20, dst, 5, 30)
    for i in range(8):
        assert (dst[5 + 30 * i : 13 + 30 * i] == 3 + i + 20 * np.arange(8)).all()
    assert np.count_nonzero(dst) == 64


def test_finish8(dtype):
    src, dst, bias = np.arange(100, dtype=dtype) - 40, np.zeros(300, dtype), np.arange(20, dtype=dtype) / 4
    src[50] = np.nan
    _finish(src, 2, bias, 3, np.dtype(dtype).type(0.5), dst, 7, 30)
    for i in range(8):
        value = src[2 + i : 66 + i : 8] + bias[3 + i]
        np.testing.assert_array_equal(dst[7 + 30 * i : 15 + 30 * i], np.where(value > 0, value, value / 2))
    assert np.count_nonzero(np.isnan(dst)) == 1


def test_join4(dtype):
    src, dst = np.arange(1, 50, dtype=dtype), np.zeros(20, dtype)
    _join(src, 7, 30, dst, 3)
    assert list(dst) == [0] * 3 + [8, 9, 10, 11, 31, 32, 33, 34] + [0] * 9


@pytest.mark.parametrize("count", [0, 1, 3])
def test_scale8(dtype, count):
    dst, factors = np.arange(40, dtype=dtype), np.arange(20, dtype=dtype) / 4
    want = dst.copy()
    want[3 : 3 + 8 * count] *= np.tile(factors[5:13], count)
    _scale(dst, 3, count, factors, 5)
    np.testing.assert_array_equal(dst, want)


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_multiply_add(dtype, add, count):
    random = np.random.default_rng(0)
    a, b, c = (random.integers(-9, 9, n).astype(dtype) for n in (400, 900, 200))
    want = c.copy()
    for v in range(3):
        for r in range(4):
            cells = want[2 + 50 * v + 8 * r :][:8]
            total = cells.copy() if add else np.zeros(8, dtype)
            for q in range(count):
                for j in range(8):
                    total += a[3 + 40 * q + j + 8 * r] * b[5 + 200 * v + 8 * (8 * q + j) :][:8]
            cells[:] = total
    _block(add, count, a, b, c)
    np.testing.assert_array_equal(c, want)


@pytest.mark.parametrize("add", [False, True])
def test_multiply_add_down_the_rows(dtype, add):
    random = np.random.default_rng(0)
    a, b, c = (random.integers(-9, 9, n).astype(dtype) for n in (100, 100, 50))
    want = c.copy()
    for r in range(2):
        cells = want[2 + 8 * r : 10 + 8 * r]
        cells[:] = add * cells + sum(a[3 + 8 * q + r] * b[5 + 8 * q : 13 + 8 * q] for q in range(5))
    _block_across(add, 5, a, b, c)
    np.testing.assert_array_equal(c, want)
