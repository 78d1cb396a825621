"""Reshape."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case
from tests.layers.test_flatten import to


def fields_of(dims, more=""):
    return f"reshape_param {{ shape {{ {' '.join(f'dim: {dim}' for dim in dims)} }} {more} }}"


ABSOLUTE = {"batch": "the batch is written in the prototxt"}


def setting(dims, shape, result, more="", **how):
    text = f'type: "Reshape" {fields_of(dims, more)}'
    return case(text, [shape], reference=to(*result), label=f"{dims} {more} {shape}", **how)


CASES = [
    setting([0, -1], (2, 3, 4), (None, 12)),
    setting([0, 2, -1], (1, 4, 3), (None, 2, 6)),
    setting([0, 0, 0], (2, 3, 4), (None, 3, 4)),
    setting([-1, 3, 4], (2, 3, 4), (None, 3, 4)),
    setting([0, 4, 3], (2, 6, 2), (None, 4, 3)),
    setting([6, 4], (2, 3, 4), (6, 4), waived=ABSOLUTE),
    setting([2, 2, -1], (2, 8, 3), (None, 2, 2, 2, 3), "axis: 1 num_axes: 1"),
    setting([3, 2], (2, 6, 5), (None, 3, 2, 5), "axis: 1 num_axes: 1"),
    setting([1], (2, 6, 5), (None, 1, 6, 5), "axis: 1 num_axes: 0"),
    setting([1, 1], (2, 6), (None, 6, 1, 1), "axis: -1"),
    setting([-1], (2, 6, 5), (None, 30), "axis: -3"),
    setting([-1, 5], (2, 6, 10), (None, 12, 5), "axis: 1"),
    setting([3, 0, -1], (2, 6, 10, 2), (None, 3, 10, 4), "axis: 1"),
]


@pytest.mark.parametrize(
    ("dims", "more", "shape", "result"),
    [
        ([0, -1], "", (0, 3, 4), (0, 12)),
        ([-1, 12], "", (0, 3, 4), (0, 12)),
        ([0, 2, -1], "", (3, 0, 4), (3, 2, 0)),
        ([0, 0, -1], "", (3, 0, 4), (3, 0, 4)),
        ([2, -1], "axis: 1 num_axes: 1", (0, 8, 3), (0, 2, 4, 3)),
        ([0, 0, -1], "axis: 1 num_axes: 1", (2, 6, 3, 2), None),
        ([0, 0, -1], "axis: 1 num_axes: 0", (2, 0, 3), None),
    ],
)
def test_a_minus_1_with_axes_of_size_0(backend, dims, more, shape, result):
    """Axes that stay do not matter for what is left; Caffe divides by them and dies."""
    text = f'type: "Reshape" {fields_of(dims, more)}'
    if result is None:
        with pytest.raises(LayerError, match=r"must be divisible by the product of the specified dimensions \(\d+\)"):
            LayerUnderTest(case(text, [shape]), get_backend(backend)).forward()
    else:
        assert LayerUnderTest(case(text, [shape]), get_backend(backend)).forward()[0].shape == result


def test_the_memory_is_the_bottom_s(backend):
    made = LayerUnderTest(CASES[0], get_backend(backend))
    made.forward()
    assert np.shares_memory(made.top[0].data, made.bottom[0].data)
    assert np.shares_memory(made.top[0].diff, made.bottom[0].diff)


@pytest.mark.parametrize(
    ("dims", "more", "match"),
    [
        ([-1, 2, -1], "", "new shape contains multiple -1 dims; at most a single .1. value of -1 may be specified"),
        ([-2, 2], "", r"a dim is a size, 0 or -1 \(Check failed: shape\[i\] >= 0\); got -2"),
        ([2], "num_axes: -2", "num_axes must be >= 0, or -1 for all; got -2"),
        ([2], "axis: 4", r"axis 4 out of range for a bottom 2 3 4 \(24\)"),
        ([2], "axis: -5", r"axis -5 out of range for a bottom 2 3 4 \(24\)"),
        ([2], "axis: 2 num_axes: 2", r"end_axis = axis \+ num_axes is out of range: 2 \+ 2"),
        (
            [0, 0, 0, 0],
            "",
            "new shape contains a 0, but there was no corresponding bottom axis to copy: dim 3 would be axis 3",
        ),
        ([5, -1], "", r"bottom count \(24\) must be divisible by the product of the specified dimensions \(5\)"),
        ([5, 5], "", "output count must match input count: shape 5 5 has 25 elements, the bottom 2 3 4"),
    ],
)
def test_refusals(backend, dims, more, match):
    setting = case(f'type: "Reshape" {fields_of(dims, more)}', [(2, 3, 4)])
    with pytest.raises(LayerError, match=match):
        LayerUnderTest(setting, get_backend(backend)).forward()
