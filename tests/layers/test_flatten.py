"""Flatten."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case


def to(*shape):
    """To ``shape``, in which None is the batch."""

    def reference(bottoms, blobs):
        x = bottoms[0]
        y = np.empty([x.shape[0] if dim is None else dim for dim in shape])
        for i, place in enumerate(np.ndindex(x.shape)):
            y.flat[i] = x[place]
        return [y]

    return reference


def setting(fields, shape, result, **more):
    text = f'type: "Flatten" flatten_param {{ {fields} }}'
    return case(text, [shape], reference=to(*result), label=f"{fields} {shape}", **more)


def whole(bottoms, blobs):
    return [bottoms[0].reshape(-1)]


CASES = [
    setting("", (2, 3, 4, 5), (None, 60)),
    setting("", (1, 3), (None, 3)),
    setting("axis: 2", (2, 3, 4, 5), (None, 3, 20)),
    setting("axis: -2", (2, 3, 4, 5), (None, 3, 20)),
    setting("axis: 1 end_axis: 2", (2, 3, 4, 5), (None, 12, 5)),
    setting("axis: 1 end_axis: -2", (2, 3, 4, 5), (None, 12, 5)),
    setting("axis: 2 end_axis: 1", (2, 3, 4), (None, 3, 1, 4)),
    case('type: "Flatten" flatten_param { axis: 0 }', [(2, 3, 4)], reference=whole, label="axis: 0"),
]


def test_the_memory_is_the_bottom_s(backend):
    made = LayerUnderTest(CASES[0], get_backend(backend))
    made.forward()
    assert np.shares_memory(made.top[0].data, made.bottom[0].data)
    assert np.shares_memory(made.top[0].diff, made.bottom[0].diff)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ("axis: 3", "axis: axis 3 out of range for 3-D Blob with shape 2 3 4"),
        ("end_axis: 3", "end_axis: axis 3 out of range"),
        ("axis: 2 end_axis: 0", "end_axis 0 lies before axis 2 .*Check failed: start_axis <= end_axis"),
    ],
)
def test_refusals(backend, fields, match):
    setting = case(f'type: "Flatten" flatten_param {{ {fields} }}', [(2, 3, 4)])
    with pytest.raises(LayerError, match=match):
        LayerUnderTest(setting, get_backend(backend)).forward()
