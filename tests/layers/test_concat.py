"""Concat."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case


def joined(axis):
    def reference(bottoms, blobs):
        k = axis % bottoms[0].ndim
        shape = list(bottoms[0].shape)
        shape[k] = sum(x.shape[k] for x in bottoms)
        y = np.full(shape, np.nan)
        for place in np.ndindex(*shape):
            left, source = list(place), 0
            while left[k] >= bottoms[source].shape[k]:
                left[k] -= bottoms[source].shape[k]
                source += 1
            y[place] = bottoms[source][tuple(left)]
        return [y]

    return reference


def setting(fields, axis, bottoms, **more):
    return case(f'type: "Concat" {fields}', bottoms, reference=joined(axis), label=f"{fields} {bottoms}", **more)


CASES = [
    setting("", 1, [(2, 3, 4, 5), (2, 1, 4, 5), (2, 2, 4, 5)]),
    setting("", 1, [(1, 3), (1, 2)]),
    setting("", 1, [(2, 3, 4)]),
    setting("concat_param { axis: 0 }", 0, [(2, 3), (2, 3)]),
    setting("concat_param { axis: 2 }", 2, [(2, 3, 1), (2, 3, 4)]),
    setting("concat_param { axis: -1 }", -1, [(2, 3, 1), (2, 3, 4)]),
    setting("concat_param { concat_dim: 2 }", 2, [(2, 3, 1), (2, 3, 4)]),
]


@pytest.mark.parametrize(
    ("fields", "bottoms", "match"),
    [
        ("axis: 1 concat_dim: 1", [(2, 3)], "Either axis or concat_dim should be specified; not both"),
        ("axis: 2", [(2, 3)], "axis: axis 2 out of range for 2-D Blob"),
        (
            "",
            [(2, 3), (2, 3, 1)],
            r"All inputs must have the same #axes: bottom\[0\] is 2 3 \(6\), bottom\[1\] is 2 3 1",
        ),
        (
            "",
            [(2, 3, 4), (2, 5, 4), (2, 3, 5)],
            r"the same shape, except at concat_axis 1: .*bottom\[2\] is 2 3 5 \(30\)",
        ),
        ("", [(2, 3), (3, 3)], r"the same shape, except at concat_axis 1"),
    ],
)
def test_refusals(backend, fields, bottoms, match):
    with pytest.raises(LayerError, match=match):
        LayerUnderTest(case(f'type: "Concat" concat_param {{ {fields} }}', bottoms), get_backend(backend)).forward()
