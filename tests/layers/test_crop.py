"""Crop."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case


def setting(fields, shape, wanted, begin, **more):
    """``begin``: where the part begins in each axis of ``shape``; axes that are not cropped begin at None."""

    def reference(bottoms, blobs):
        x, like = bottoms
        y = np.empty([x.shape[i] if b is None else like.shape[i] for i, b in enumerate(begin)])
        for place in np.ndindex(y.shape):
            y[place] = x[tuple(p + (b or 0) for p, b in zip(place, begin, strict=True))]
        return [y]

    text = f'type: "Crop" crop_param {{ {fields} }}'
    return case(text, [shape, wanted], reference=reference, label=f"{fields} {shape} {wanted}", **more)


CASES = [
    setting("", (2, 3, 6, 7), (2, 3, 4, 5), (None, None, 0, 0)),
    setting("offset: 1", (2, 3, 6, 7), (2, 3, 4, 5), (None, None, 1, 1)),
    setting("axis: 2 offset: 2 offset: 0", (2, 3, 6, 7), (2, 5, 4, 5), (None, None, 2, 0)),
    setting("axis: 1 offset: 1 offset: 0 offset: 2", (2, 3, 6, 7), (2, 2, 6, 5), (None, 1, 0, 2)),
    setting("axis: -1 offset: 3", (2, 3, 7), (2, 9, 4), (None, None, 3)),
    setting("axis: 3 offset: 2", (1, 3, 6, 7), (1, 3, 1, 1), (None, None, None, 2)),
    setting("axis: 0", (4, 3), (2, 2), (0, 0), waived={"batch": "the batch is cropped, to another's size"}),
    setting("axis: 1", (2, 3, 4), (2, 3, 4), (None, 0, 0)),
    setting("axis: 1 offset: 1", (2, 3, 4), (2, 2, 3, 9), (None, 1, 1)),
]


def under(backend, fields, bottoms):
    return LayerUnderTest(case(f'type: "Crop" crop_param {{ {fields} }}', bottoms), get_backend(backend))


def test_the_second_bottom_has_no_gradient(backend):
    made = under(backend, "axis: 1", [(2, 3), (2, 2)])
    made.forward()
    assert [made.layer.can_propagate(i) for i in range(2)] == [True, False]
    # Asked for all the same, as by a layer that learns below it, it is 0.
    dx, d_like = made.backward([np.ones((2, 2))], [True, True])
    assert dx.tolist() == [[1, 1, 0]] * 2
    assert d_like.tolist() == [[0, 0]] * 2


@pytest.mark.parametrize(
    ("fields", "bottoms", "match"),
    [
        ("", [(2, 3), (2, 3)], "axis: axis 2 out of range for 2-D Blob"),
        (
            "axis: 1 offset: 1 offset: 2",
            [(2, 3, 6, 7), (2, 3, 4, 5)],
            r"number of offset values specified must be equal to the number of dimensions following axis; got 2 for 3",
        ),
        (
            "offset: 1 offset: 0 offset: 2",
            [(2, 3, 6, 7), (2, 3, 4, 5)],
            "number of offset values specified must be .*got 3 for 2 axes",
        ),
        ("", [(2, 3, 6, 7), (2, 3, 6, 8)], r"the crop for dimension 3 is out-of-bounds with size 8 and offset 0"),
        (
            "offset: 3",
            [(2, 3, 6, 7), (2, 3, 4, 4)],
            r"the crop for dimension 2 is out-of-bounds with size 4 and offset 3",
        ),
        ("axis: 1", [(2, 3, 6), (2, 3)], r"bottom\[1\] needs a size for each axis of bottom\[0\]: axis 2 out of range"),
    ],
)
def test_refusals(backend, fields, bottoms, match):
    with pytest.raises(LayerError, match=match):
        under(backend, fields, bottoms).forward()
