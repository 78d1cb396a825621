"""Scale, and what it shares with Bias."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case


def laid(x, small, axis):
    """``small`` at each place of ``x``, as if it had all axes."""
    begin = axis % x.ndim if small.ndim else 0
    y = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        y[place] = small[place[begin : begin + small.ndim]]
    return y


def scaled(axis, bias):
    def reference(bottoms, blobs):
        given = [*bottoms[1:], *blobs]
        y = bottoms[0] * laid(bottoms[0], given[0], axis)
        return [y + laid(y, given[1], axis) if bias else y]

    return reference


def setting(fields, bottoms, axis=1, bias=False, **more):
    if bias:
        fields += " bias_term: true"
    text = f'type: "Scale" scale_param {{ {fields} }}'
    # Gradients are sums over the batch.
    return case(text, bottoms, reference=scaled(axis, bias), kind="sum", label=f"{fields} {bottoms}", **more)


WHOLE = {"batch": "the batch is one of the scale's axes"}
CASES = [
    setting("", [(2, 3, 4, 5)]),
    setting("", [(2, 3, 4, 5)], bias=True),
    setting("", [(1, 3)], bias=True),
    setting("axis: 2", [(2, 3, 4)], 2, bias=True),
    setting("axis: -2 num_axes: 2", [(2, 3, 4)], 1, bias=True),
    setting("axis: 1 num_axes: -1", [(2, 3, 4)], 1),
    setting("axis: 0 num_axes: 0", [(2, 3, 4)], 0, bias=True),
    setting("axis: 0 num_axes: 1", [(4, 3)], 0, waived=WHOLE),
    setting("", [(2, 3, 4, 5), (3,)]),
    setting("", [(2, 3, 4, 5), (3, 4)], bias=True),
    setting("axis: 0", [(2, 3, 4), (2, 3)], 0),
    setting("axis: 0", [(2, 3, 4), (2,)], 0),
    setting("axis: -1", [(2, 3, 4), (4,)], -1),
    setting("axis: 5", [(2, 3, 4), ()], 0, bias=True),
]


def under(backend, fields, bottoms, **more):
    return LayerUnderTest(case(f'type: "Scale" scale_param {{ {fields} }}', bottoms, **more), get_backend(backend))


def test_fillers(backend):
    made = under(backend, "bias_term: true", [(2, 3)])
    assert [blob.data.tolist() for blob in made.layer.blobs] == [[1, 1, 1], [0, 0, 0]]
    fields = 'bias_term: true filler { value: 2 } bias_filler { type: "constant" value: 3 }'
    made = under(backend, fields, [(2, 3)])
    assert [blob.data.tolist() for blob in made.layer.blobs] == [[2, 2, 2], [3, 3, 3]]


@pytest.mark.parametrize(
    ("fields", "bottoms", "match"),
    [
        ("axis: 2", [(2, 3)], "axis: axis 2 out of range for 2-D Blob"),
        ("num_axes: -2", [(2, 3)], "num_axes must be non-negative, or -1 to extend to the end of .*; got -2"),
        (
            "num_axes: 2",
            [(2, 3)],
            r"scale blob's shape extends past bottom\[0\]'s shape when applied starting with .* = 1",
        ),
        (
            "",
            [(2, 3), (3, 1)],
            r"scale blob's shape extends past bottom\[0\]'s shape .*scale 3 1 \(3\), bottom\[0\] 2 3",
        ),
        (
            "",
            [(2, 3), (4,)],
            r"dimension mismatch between bottom\[0\]->shape\(1\) and scale->shape\(0\).*scale 4 \(4\)",
        ),
    ],
)
def test_refusals(backend, fields, bottoms, match):
    with pytest.raises(LayerError, match=match):
        under(backend, fields, bottoms).forward()


def test_a_learned_scale_does_not_follow_the_bottom_s_shape(backend):
    made = under(backend, "", [(2, 3)])
    made.resize([(2, 4)])
    with pytest.raises(LayerError, match="dimension mismatch"):
        made.forward()


def test_a_learned_bias_does_not_follow_the_scale_s_shape(backend):
    made = under(backend, "bias_term: true", [(2, 3), (3,)])
    made.resize([(2, 4), (4,)])
    with pytest.raises(LayerError, match=r"the bias was made for 3 \(3\); the scale is now 4 \(4\)"):
        made.forward()
