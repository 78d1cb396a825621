"""Comparisons fail where they should, and say where; the table of tolerances has what it says."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.errors import CaffepyError
from caffepy.layer import layer_types
from caffepy.testing import KINDS, TOLERANCES, Tolerance, case, tolerance
from caffepy.testing.compare import assert_close, assert_finite, assert_same_bits
from caffepy.testing.tolerances import kind_of

NEAR = Tolerance(1e-3, 1e-3)


def test_close_means_within_both_parts():
    assert_close([1.0015, 0.0009], [1.0, 0.0], NEAR, "x")
    assert_close(np.float32(1), np.float64(1), Tolerance(0, 0), "a loss, without axes")
    message = r"x: 1 of 2 values; worst at \[0\]: expected 1, got 1.0025 \(rtol 0.001, atol 0.001\)"
    with pytest.raises(AssertionError, match=message):
        assert_close([1.0025, 0.0009], [1.0, 0.0], NEAR, "x")
    with pytest.raises(AssertionError, match=r"worst at \[\]: expected 1, got 2"):
        assert_close(np.float32(2), np.float32(1), NEAR, "x")


@pytest.mark.parametrize(("got", "expected"), [(np.nan, 1.0), (1.0, np.nan), (np.nan, np.nan), (np.inf, 1.0)])
def test_nan_and_infinity_are_near_to_nothing(got, expected):
    with pytest.raises(AssertionError, match=r"1 of 2 values; worst at \[1\]"):
        assert_close([0.0, got], [0.0, expected], NEAR, "x")


def test_shapes_are_not_broadcast():
    with pytest.raises(AssertionError, match=r"x: expected shape \(1, 2\), got \(2,\)"):
        assert_close(np.ones(2), np.ones((1, 2)), NEAR, "x")


def test_same_bits_knows_zeros_and_nans():
    assert_same_bits(np.float32([np.nan, 1]), np.float32([np.nan, 1]), "x")
    with pytest.raises(AssertionError, match=r"x: 1 of 2 values; worst at \[1\]: expected -0, got 0"):
        assert_same_bits(np.float32([1, 0.0]), np.float32([1, -0.0]), "x")
    with pytest.raises(AssertionError, match=r"x: expected float64 \(2,\), got float32 \(2,\)"):
        assert_same_bits(np.zeros(2, np.float32), np.zeros(2), "x")


def test_finite_names_the_first():
    assert_finite(np.ones(3), "x")
    with pytest.raises(AssertionError, match=r"x: 2 of 4 values are NaN or infinite, first at \[0, 1\]"):
        assert_finite([[0, np.inf], [np.nan, 1]], "x")


def test_the_table():
    assert tolerance("sum", np.float32) == Tolerance(1e-4, 1e-5), "what the recorded results of Caffe agree to"
    assert {kind for kind, _ in TOLERANCES} == {"copy", "elementwise", "sum", "winograd", "gradient"}
    assert set(KINDS.values()) <= {kind for kind, _ in TOLERANCES}
    assert kind_of("ReLU") == "elementwise"
    assert kind_of("Convolution") == kind_of("MyOwn") == "sum"
    for kind in ("copy", "elementwise", "sum", "winograd"):
        assert tolerance(kind, "float64").rtol <= tolerance(kind, "float32").rtol
    with pytest.raises(CaffepyError, match=r"No tolerance for 'some' in float32. The table has: copy float32, "):
        tolerance("some", np.float32)


def test_with_batch_changes_the_bottoms_that_share_the_first_axis():
    setting = case('type: "Scale"', [(2, 3, 4), (2,), (3,), ()])
    assert setting.with_batch(5) == [(5, 3, 4), (5,), (3,), ()]
    assert case('type: "Input"', []).with_batch(5) == []


def test_no_kind_is_for_a_misspelt_type():
    """Types of later releases are listed already, so only the spelling is compared."""
    lower = {name.lower(): name for name in layer_types()}
    assert all(lower.get(name.lower(), name) == name for name in KINDS)
