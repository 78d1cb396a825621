"""ArgMax."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case
from tests.reference.arg_max import arg_max


def whole(top_k, values):
    """Without axis: each item is one row."""

    def reference(bottoms, blobs):
        x = bottoms[0]
        both = arg_max(x.reshape(len(x), -1, 1), top_k)
        y = np.concatenate(both, axis=2) if values else both[0]
        return [y.transpose(0, 2, 1).reshape(len(x), 2 if values else 1, top_k, *[1] * (x.ndim - 3))]

    return reference


def along(axis, top_k, values):
    def reference(bottoms, blobs):
        x = bottoms[0]
        k = axis % x.ndim
        y = arg_max(x.reshape(math.prod(x.shape[:k]), x.shape[k], -1), top_k)[1 if values else 0]
        return [y.reshape(*x.shape[:k], top_k, *x.shape[k + 1 :])]

    return reference


def setting(fields, shape, top_k=1, values=False, axis=None, **more):
    reference = whole(top_k, values) if axis is None else along(axis, top_k, values)
    text = f'type: "ArgMax" argmax_param {{ {fields} }}'
    return case(text, [shape], reference=reference, kind="copy", label=f"{fields} {shape}", **more)


def rounded(random, shape):
    return np.round(random.standard_normal(shape))


# A maximum of float64 is not that of float32, to the bit.
CASES = [
    setting("", (3, 7)),
    setting("", (4, 1)),
    setting("top_k: 3", (2, 3, 4, 5), 3),
    setting("top_k: 4", (3, 7), 4, draw={0: rounded}),
    setting("out_max_val: true", (3, 7), 1, True),
    setting("out_max_val: true top_k: 2", (2, 5, 2), 2, True, draw={0: rounded}),
    setting("out_max_val: true top_k: 3", (2, 3, 2, 2, 2), 3, True),
    setting("top_k: 6", (2, 3, 2), 6),
    setting("axis: 1", (2, 3, 4, 5), 1, axis=1),
    setting("axis: 1 top_k: 2 out_max_val: true", (2, 3, 4, 5), 2, True, 1),
    setting("axis: -1 top_k: 3", (2, 3, 4), 3, axis=-1, draw={0: rounded}),
    setting("axis: -2 out_max_val: true", (2, 4), 1, True, -2),
    setting("axis: 0 top_k: 2", (4, 3), 2, axis=0, waived={"batch": "there are two maxima over the batch"}),
]


def under(backend, fields, shape):
    return LayerUnderTest(case(f'type: "ArgMax" argmax_param {{ {fields} }}', [shape]), get_backend(backend))


@pytest.mark.parametrize(
    ("fields", "shape", "result"),
    [
        ("", (3,), None),
        ("", (3, 7), (3, 1, 1)),
        ("top_k: 2", (3, 7, 2), (3, 1, 2)),
        ("top_k: 2 out_max_val: true", (3, 7, 2, 2, 2), (3, 2, 2, 1, 1)),
        ("top_k: 2 out_max_val: true axis: 1", (3, 7), (3, 2)),
        ("axis: 2", (3, 7, 2, 5), (3, 7, 1, 5)),
        ("", (0, 7), (0, 1, 1)),
    ],
)
def test_shapes(backend, fields, shape, result):
    made = under(backend, fields, shape)
    assert made.forward()[0].shape == (result or (3, 1, 1))


@pytest.mark.parametrize(
    ("fields", "shape", "match"),
    [
        ("top_k: 0", (2, 3), "top k must not be less than 1; got top_k 0"),
        ("top_k: 7", (2, 3, 2), "top_k must be less than or equal to the dimension of the flattened .*top_k 7 for 6"),
        ("top_k: 4 axis: 1", (2, 3, 5), "top_k must be less than or equal to the dimension of the axis.*top_k 4 for 3"),
        ("axis: 2", (2, 3), "axis: axis 2 out of range for 2-D Blob"),
        ("axis: -3", (2, 3), "axis: axis -3 out of range for 2-D Blob"),
        ("", (), "axis: axis 0 out of range for 0-D Blob"),
        ("axis: 1", (2, 0), "top_k must be less than or equal to the dimension of the axis; got top_k 1 for 0"),
    ],
)
def test_refusals(backend, fields, shape, match):
    with pytest.raises(LayerError, match=match):
        under(backend, fields, shape).forward()


def test_no_gradient(backend):
    made = under(backend, "", (2, 3))
    made.forward()
    assert not made.layer.can_propagate(0)
    with pytest.raises(LayerError, match="Not Implemented Yet: ArgMax Layer has no gradient"):
        made.backward([np.ones((2, 1, 1))], [True])
    made.backward([np.ones((2, 1, 1))], [False])
