"""Slice."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case


def cut(axis, sizes):
    def reference(bottoms, blobs):
        x, tops, begin = bottoms[0], [], 0
        k = axis % x.ndim
        for size in sizes:
            y = np.empty((*x.shape[:k], size, *x.shape[k + 1 :]))
            for place in np.ndindex(y.shape):
                y[place] = x[(*place[:k], place[k] + begin, *place[k + 1 :])]
            tops.append(y)
            begin += size
        return tops

    return reference


def setting(fields, axis, shape, sizes, **more):
    text = f'type: "Slice" slice_param {{ {fields} }}'
    return case(text, [shape], tops=len(sizes), reference=cut(axis, sizes), label=f"{fields} {shape} {sizes}", **more)


ALONG_BATCH = {"batch": "a batch of one cannot be cut in two"}
CASES = [
    setting("", 1, (2, 6, 3), [3, 3]),
    setting("", 1, (1, 6), [2, 2, 2]),
    setting("", 1, (2, 3), [3]),
    setting("slice_point: 1 slice_point: 4", 1, (2, 6, 2, 2), [1, 3, 2]),
    setting("axis: 2 slice_point: 3", 2, (2, 3, 4), [3, 1]),
    setting("axis: -1", -1, (2, 3, 4), [1, 1, 1, 1]),
    setting("slice_dim: 2", 2, (2, 3, 4), [2, 2]),
    setting("axis: 0", 0, (4, 3), [2, 2], waived=ALONG_BATCH),
]


@pytest.mark.parametrize(
    ("fields", "tops", "match"),
    [
        ("axis: 1 slice_dim: 1", 1, "Either axis or slice_dim should be specified; not both"),
        ("axis: 2", 1, "axis: axis 2 out of range for 2-D Blob"),
        ("slice_point: 1", 3, r"3 tops need 2 slice_point, got 1 .*slice_point_.size\(\) == top.size\(\) - 1"),
        ("slice_point: 1 slice_point: 2", 2, r"2 tops need 1 slice_point, got 2"),
        ("", 4, r"Number of top blobs \(4\) should evenly divide input slice axis \(6\)"),
        ("slice_point: 3 slice_point: 2", 3, r"slice_point must increase .*slice_point_\[i\] > prev.*got 3, 2"),
        ("slice_point: 0", 2, r"slice_point must increase from above 0 to below the size of axis 1, 6"),
        ("slice_point: 6", 2, r"slice_point must increase .* got 6"),
        ("slice_point: 7", 2, r"slice_point must increase .* got 7"),
    ],
)
def test_refusals(backend, fields, tops, match):
    setting = case(f'type: "Slice" slice_param {{ {fields} }}', [(2, 6)], tops=tops)
    with pytest.raises(LayerError, match=match):
        LayerUnderTest(setting, get_backend(backend)).forward()


def test_an_empty_axis(backend):
    with pytest.raises(LayerError, match=r"size of axis 1, 0 .*got none"):
        LayerUnderTest(case('type: "Slice"', [(2, 0)], tops=2), get_backend(backend)).forward()
