"""Bias."""

from __future__ import annotations

import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case
from tests.layers.test_scale import laid


def shifted(axis):
    def reference(bottoms, blobs):
        return [bottoms[0] + laid(bottoms[0], [*bottoms[1:], *blobs][0], axis)]

    return reference


def setting(fields, bottoms, axis=1, **more):
    text = f'type: "Bias" bias_param {{ {fields} }}'
    return case(text, bottoms, reference=shifted(axis), kind="sum", label=f"{fields} {bottoms}", **more)


CASES = [
    setting("", [(2, 3, 4, 5)]),
    setting("", [(1, 3)]),
    setting("axis: 2", [(2, 3, 4)], 2),
    setting("axis: -2 num_axes: 2", [(2, 3, 4)], 1),
    setting("axis: 1 num_axes: -1", [(2, 3, 4)], 1),
    setting("axis: 0 num_axes: 0", [(2, 3, 4)], 0),
    setting("", [(2, 3, 4, 5), (3, 4)]),
    setting("axis: 0", [(2, 3, 4), (2,)], 0),
    setting("axis: -1", [(2, 3, 4), (4,)], -1),
    setting("", [(2, 3), ()]),
]


def test_filler(backend):
    made = LayerUnderTest(case('type: "Bias" bias_param { filler { value: 2 } }', [(2, 3)]), get_backend(backend))
    assert made.layer.blobs[0].data.tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("fields", "bottoms", "match"),
    [
        ("axis: 2", [(2, 3)], "axis: axis 2 out of range for 2-D Blob"),
        ("num_axes: -2", [(2, 3)], "num_axes must be non-negative.*; got -2"),
        ("num_axes: 2", [(2, 3)], r"bias blob's shape extends past bottom\[0\]'s shape"),
        ("", [(2, 3), (4,)], r"dimension mismatch between bottom\[0\]->shape\(1\) and bias->shape\(0\)"),
    ],
)
def test_refusals(backend, fields, bottoms, match):
    with pytest.raises(LayerError, match=match):
        LayerUnderTest(case(f'type: "Bias" bias_param {{ {fields} }}', bottoms), get_backend(backend)).forward()
