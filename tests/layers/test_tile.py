"""Tile."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case


def setting(fields, shape, tiles, axis=1, **more):
    def reference(bottoms, blobs):
        x = bottoms[0]
        k = axis % x.ndim
        y = np.empty((*x.shape[:k], x.shape[k] * tiles, *x.shape[k + 1 :]))
        for place in np.ndindex(y.shape):
            y[place] = x[(*place[:k], place[k] % x.shape[k], *place[k + 1 :])]
        return [y]

    text = f'type: "Tile" tile_param {{ {fields} }}'
    return case(text, [shape], reference=reference, label=f"{fields} {shape}", **more)


CASES = [
    setting("tiles: 3", (2, 3, 4), 3),
    setting("tiles: 1", (2, 3, 4), 1),
    setting("axis: 2 tiles: 2", (2, 3, 4, 5), 2, 2),
    setting("axis: -1 tiles: 4", (2, 3), 4, -1),
    setting("axis: 0 tiles: 2", (3, 2), 2, 0),
    setting("axis: 0 tiles: 5", (3,), 5, 0),
    setting("tiles: 7", (2, 1, 3), 7),
]


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ("", "Number of tiles must be specified"),
        ("tiles: 0", "Number of tiles must be positive; got 0"),
        ("tiles: -2", "Number of tiles must be positive; got -2"),
        ("tiles: 2 axis: 2", "axis: axis 2 out of range for 2-D Blob"),
    ],
)
def test_refusals(backend, fields, match):
    with pytest.raises(LayerError, match=match):
        LayerUnderTest(case(f'type: "Tile" tile_param {{ {fields} }}', [(2, 3)]), get_backend(backend)).forward()
