"""Comparisons that fail with the place, what was expected and what was got."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.testing.tolerances import Tolerance

__all__ = ["assert_close", "assert_finite", "assert_same_bits"]

Values = NDArray[Any]


def _report(wrong: NDArray[np.bool_], badness: Values, got: Values, expected: Values) -> str:
    place = np.unravel_index(int(np.argmax(np.where(wrong, badness, -1.0))), wrong.shape)
    index = ", ".join(str(int(axis)) for axis in place)
    return (
        f"{int(wrong.sum())} of {wrong.size} values; worst at [{index}]: "
        f"expected {float(expected[place]):.9g}, got {float(got[place]):.9g}"
    )


def assert_close(got: Any, expected: Any, near: Tolerance, what: str) -> None:
    """Fail unless ``got`` has the shape of ``expected`` and is as near to it as ``near`` says; NaN is near to nothing.

    Raises:
        AssertionError: ``what``, how many values differ, the worst of them, expected and got.
    """
    left, right = np.asarray(got), np.asarray(expected)
    if left.shape != right.shape:
        raise AssertionError(f"{what}: expected shape {right.shape}, got {left.shape}.")
    with np.errstate(invalid="ignore"):
        gap = np.abs(left.astype(np.float64) - right.astype(np.float64))
        excess = gap - (near.atol + near.rtol * np.abs(right.astype(np.float64)))
    wrong = ~(excess <= 0)
    if wrong.any():
        badness = np.where(np.isnan(excess), np.inf, excess)
        raise AssertionError(
            f"{what}: {_report(wrong, badness, left, right)} (rtol {near.rtol:g}, atol {near.atol:g})."
        )


def assert_same_bits(got: Any, expected: Any, what: str) -> None:
    """Fail unless the two arrays hold the same bits, NaN included.

    Raises:
        AssertionError: ``what``, how many values differ, the worst of them, expected and got.
    """
    left, right = np.ascontiguousarray(got), np.ascontiguousarray(expected)
    if left.shape != right.shape or left.dtype != right.dtype:
        raise AssertionError(f"{what}: expected {right.dtype} {right.shape}, got {left.dtype} {left.shape}.")
    if left.tobytes() == right.tobytes():
        return
    word = np.dtype(f"u{left.dtype.itemsize}")
    wrong = left.view(word) != right.view(word)
    with np.errstate(invalid="ignore"):
        gap = np.abs(left.astype(np.float64) - right.astype(np.float64))
    raise AssertionError(f"{what}: {_report(wrong, np.where(np.isnan(gap), np.inf, gap), left, right)}.")


def assert_finite(got: Any, what: str) -> None:
    """Fail where ``got`` has a NaN or an infinity.

    Raises:
        AssertionError: ``what``, how many, and where the first is.
    """
    values = np.asarray(got)
    wrong = ~np.isfinite(values)
    if wrong.any():
        index = ", ".join(str(int(axis)) for axis in np.argwhere(wrong)[0])
        raise AssertionError(
            f"{what}: {int(wrong.sum())} of {wrong.size} values are NaN or infinite, first at [{index}]."
        )
