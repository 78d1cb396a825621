"""Im2col."""

from __future__ import annotations

import math

import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case
from tests.reference.im2col import im2col


def setting(fields, shape, kernel, stride=(1, 1), pad=(0, 0), dilation=(1, 1), axis=1, **more):
    def reference(bottoms, blobs):
        x = bottoms[0]
        lead = x.shape[:axis]
        y = im2col(x.reshape(math.prod(lead), *x.shape[axis:]), kernel, stride, pad, dilation)
        return [y.reshape(*lead, *y.shape[1:])]

    text = f'type: "Im2col" convolution_param {{ {fields} }}'
    return case(text, [shape], reference=reference, kind="sum", label=f"{fields} {shape}", **more)


CASES = [
    setting("kernel_size: 3 stride: 2 pad: 1", (2, 2, 7, 6), (3, 3), (2, 2), (1, 1)),
    setting("kernel_size: 3", (2, 3, 5, 4), (3, 3)),
    setting("kernel_size: 1", (2, 3, 5, 4), (1, 1)),
    setting("kernel_h: 2 kernel_w: 3 stride_h: 1 stride_w: 2 pad_h: 1 pad_w: 0", (1, 2, 5, 7), (2, 3), (1, 2), (1, 0)),
    setting("kernel_size: 3 kernel_size: 2 stride: 2 stride: 1", (2, 1, 6, 5), (3, 2), (2, 1)),
    setting("kernel_size: 2 dilation: 2 dilation: 3", (1, 2, 6, 7), (2, 2), dilation=(2, 3)),
    setting("kernel_size: 3 pad: 2 force_nd_im2col: true", (2, 2, 4, 5), (3, 3), pad=(2, 2)),
    setting("kernel_size: 3 stride: 2", (2, 2, 2, 2), (3, 3), (2, 2)),
    setting("kernel_size: 3 stride: 2 pad: 1", (2, 3, 8), (3,), (2,), (1,), (1,)),
    setting("kernel_size: 2 pad: 1", (1, 2, 3, 4, 2), (2,) * 3, (1,) * 3, (1,) * 3, (1,) * 3),
    setting("kernel_size: 3 axis: 2", (2, 3, 2, 6), (3,), (1,), (0,), (1,), axis=2),
    setting("kernel_size: 2 axis: -3", (2, 3, 2, 4, 5), (2, 2), axis=2),
    setting("kernel_size: 2 axis: 0", (4, 5, 6), (2, 2), axis=0),
    setting("kernel_size: 2 num_output: 7 group: 3 bias_term: false", (1, 2, 3, 3), (2, 2)),
]


def under(backend, fields, shape):
    made = LayerUnderTest(case(f'type: "Im2col" convolution_param {{ {fields} }}', [shape]), get_backend(backend))
    made.forward()
    return made


@pytest.mark.parametrize(
    ("fields", "shape", "match"),
    [
        (
            "kernel_size: 2",
            (2, 3),
            r"needs an axis behind the channels, axis 1 \(Check failed: num_spatial_axes_ >= 1\)",
        ),
        ("kernel_size: 2 axis: 4", (2, 3, 4, 5), "axis: axis 4 out of range for 4-D Blob"),
        ("", (2, 3, 4, 5), "kernel_size must be specified once, or once per spatial dimension"),
        ("kernel_size: 0", (2, 3, 4, 5), "Filter dimensions must be nonzero"),
        ("kernel_size: 2 stride: 0", (2, 3, 4, 5), "Stride dimensions must be nonzero"),
        ("kernel_size: 6", (2, 3, 4, 5), "the window does not fit into the image"),
    ],
)
def test_refusals(backend, fields, shape, match):
    with pytest.raises(LayerError, match=match):
        under(backend, fields, shape)


def test_a_bottom_that_changes(backend):
    made = under(backend, "kernel_size: 2", (2, 3, 4, 5))
    made.resize([(1, 2, 3, 6)])
    assert made.forward()[0].shape == (1, 8, 2, 5)
    made.resize([(2, 3, 4)])
    with pytest.raises(LayerError, match="bottom num_axes may not change: 2 spatial axes at setup, now 1"):
        made.forward()
