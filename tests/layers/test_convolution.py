"""Convolution."""

from __future__ import annotations

import math

import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case
from tests.reference.conv import conv

GAUSSIAN = 'weight_filler { type: "gaussian" std: 0.5 }'


def reference(stride, pad, dilation, group=1, axis=1):
    def tops(bottoms, blobs):
        results = []
        for x in bottoms:
            images = x.reshape(math.prod(x.shape[:axis]), *x.shape[axis:])
            y = conv(images, blobs[0], blobs[1] if len(blobs) > 1 else None, stride, pad, dilation, group)
            results.append(y.reshape(*x.shape[:axis], *y.shape[1:]))
        return results

    return tops


def setting(fields, shapes, stride=(1, 1), pad=(0, 0), dilation=(1, 1), group=1, axis=1, **more):
    return case(
        f'type: "Convolution" convolution_param {{ {fields} {GAUSSIAN} }}',
        shapes,
        tops=len(shapes),
        reference=reference(stride, pad, dilation, group, axis),
        label=f"{fields} {shapes}",
        **more,
    )


CASES = [
    setting("num_output: 4 kernel_size: 3", [(2, 3, 6, 5)]),
    setting("num_output: 3 kernel_size: 3 stride: 2 pad: 1", [(2, 3, 7, 8)], (2, 2), (1, 1)),
    setting("num_output: 2 kernel_size: 3 kernel_size: 2 stride: 1 stride: 2", [(1, 2, 5, 6)], (1, 2)),
    setting("num_output: 2 kernel_h: 2 kernel_w: 3 pad_h: 1 stride_h: 2 stride_w: 1", [(2, 2, 5, 4)], (2, 1), (1, 0)),
    setting("num_output: 2 kernel_size: 2 dilation: 2 dilation: 3 pad: 1", [(1, 2, 6, 7)], (1, 1), (1, 1), (2, 3)),
    setting("num_output: 4 kernel_size: 3 group: 2 bias_term: false", [(2, 6, 5, 4)], group=2),
    setting("num_output: 6 kernel_size: 3 pad: 1 group: 3", [(2, 3, 4, 4)], pad=(1, 1), group=3),
    setting("num_output: 5 kernel_size: 1", [(2, 3, 4, 3)]),
    setting("num_output: 5 kernel_size: 1 force_nd_im2col: true", [(2, 3, 4, 3)]),
    setting("num_output: 3 kernel_size: 2 pad: 1 force_nd_im2col: true", [(2, 3, 4, 3)], pad=(1, 1)),
    setting("num_output: 4 kernel_size: 1 stride: 2 bias_term: false", [(3, 3, 5, 4)], (2, 2)),
    setting("num_output: 4 kernel_h: 3 kernel_w: 4", [(3, 2, 3, 4)]),
    setting("num_output: 2 kernel_size: 3 stride: 2", [(2, 2, 2, 2)], (2, 2)),
    setting("num_output: 3 kernel_size: 3 pad: 1", [(2, 2, 4, 5), (2, 2, 4, 5)], pad=(1, 1)),
    setting("num_output: 2 kernel_size: 2 stride: 3", [(1, 1, 7, 6)] * 3, (3, 3)),
    setting("num_output: 3 kernel_size: 3 stride: 2 pad: 1 dilation: 1", [(2, 2, 9)], (2,), (1,), (1,)),
    setting("num_output: 2 kernel_size: 2 pad: 1", [(1, 2, 3, 4, 2)], (1,) * 3, (1,) * 3, (1,) * 3),
    setting("num_output: 3 kernel_size: 3 axis: 2", [(2, 3, 2, 6)], (1,), (0,), (1,), axis=2),
    setting("num_output: 3 kernel_size: 2 pad: 1 axis: 2", [(2, 3, 2, 4, 5)], pad=(1, 1), axis=2),
    setting("num_output: 3 kernel_size: 2 axis: -3", [(2, 3, 2, 4, 5)], axis=2),
    setting(
        "num_output: 3 kernel_size: 2 axis: 0",
        [(4, 5, 6)],
        axis=0,
        waived={"batch": "axis 0 holds the channels here"},
    ),
]


def run(fields, *shapes, **more):
    under = LayerUnderTest(
        case(f'type: "Convolution" convolution_param {{ {fields} }}', shapes, tops=len(shapes), **more),
        get_backend("cpu", "float32", 1),
    )
    under.forward()
    return under


REFUSED = [
    ("kernel_size: 3", (1, 2, 5, 5), r"num_output must be positive \(Check failed: num_output_ > 0\); got 0"),
    ("num_output: 2", (1, 2, 5, 5), r"kernel_size must be specified once, or once per spatial dimension .*2 spatial"),
    ("num_output: 2 kernel_size: [3, 3, 3]", (1, 2, 5, 5), r"kernel_size specified 3 times; 2 spatial dims"),
    ("num_output: 2 kernel_size: 3 stride: [1, 1, 1]", (1, 2, 5, 5), "stride must be specified once"),
    ("num_output: 2 kernel_size: 3 pad: [1, 1, 1]", (1, 2, 5, 5), "pad must be specified once"),
    ("num_output: 2 kernel_size: 3 dilation: [1, 1, 1]", (1, 2, 5, 5), "dilation must be specified once"),
    ("num_output: 2 kernel_size: 0", (1, 2, 5, 5), r"Filter dimensions must be nonzero; got kernel \(0, 0\)"),
    ("num_output: 2 kernel_h: 3", (1, 2, 5, 5), r"Filter dimensions must be nonzero; got kernel \(3, 0\)"),
    ("num_output: 2 kernel_size: 3 stride: 0", (1, 2, 5, 5), "Stride dimensions must be nonzero"),
    ("num_output: 2 kernel_size: 3 stride_w: 2", (1, 2, 5, 5), r"Stride dimensions must be nonzero; got stride \(0, 2"),
    ("num_output: 2 kernel_size: 3 dilation: 0", (1, 2, 5, 5), "Dilation must be at least 1"),
    ("num_output: 2 kernel_h: 3 kernel_w: 3", (1, 2, 5), "kernel_h & kernel_w can only be used for 2D convolution"),
    ("num_output: 2 kernel_size: 3 stride_h: 3", (1, 2, 5, 5, 5), "stride_h & stride_w can only be used for 2D conv"),
    ("num_output: 2 kernel_size: 3 pad_h: 3", (1, 2, 5), "pad_h & pad_w can only be used for 2D convolution"),
    ("num_output: 2 kernel_size: 3 kernel_w: 3", (1, 2, 5, 5), "Either kernel_size or kernel_h/w should be specified"),
    ("num_output: 2 kernel_size: 3 stride: 1 stride_h: 1", (1, 2, 5, 5), "Either stride or stride_h/w should be"),
    ("num_output: 2 kernel_size: 3 pad: 1 pad_h: 1", (1, 2, 5, 5), "Either pad or pad_h/w should be specified"),
    ("num_output: 2 kernel_size: 3 group: 2", (1, 3, 5, 5), "3 input channels not divisible by group 2"),
    ("num_output: 3 kernel_size: 3 group: 2", (1, 4, 5, 5), r"3 outputs \(num_output\) not divisible by group 2"),
    ("num_output: 3 kernel_size: 3 group: 0", (1, 4, 5, 5), "not divisible by group 0"),
    ("num_output: 3 kernel_size: 3 axis: 4", (1, 4, 5, 5), "axis: axis 4 out of range for 4-D Blob"),
    ("num_output: 3 kernel_size: 3 axis: -5", (1, 4, 5, 5), "axis: axis -5 out of range for 4-D Blob"),
    ("num_output: 3 kernel_size: 6", (1, 4, 5, 9), "the window does not fit into the image: input 5 x 9, kernel 6 x 6"),
    ("num_output: 3 kernel_size: 4 dilation: 2 pad: 0", (1, 4, 6, 6), "pad 0 x 0, dilation 2 x 2"),
    ("num_output: 3 kernel_size: 7 stride: 2", (1, 4, 5, 5), "the window does not fit into the image"),
    # Said before memory for such filters is asked for.
    (
        "num_output: 1 kernel_size: 40000",
        (1, 2, 5, 5),
        "the window does not fit into the image: .* kernel 40000 x 40000",
    ),
]


@pytest.mark.parametrize(("fields", "shape", "message"), REFUSED)
def test_settings_refused(fields, shape, message):
    with pytest.raises(LayerError, match=f"'under_test' \\(Convolution\\): .*{message}"):
        run(fields, shape)


def test_bottoms_of_two_shapes():
    with pytest.raises(
        LayerError, match=r"All inputs must have the same shape: bottom\[0\] has 1 2 5 5 \(50\), another"
    ):
        run("num_output: 2 kernel_size: 3", (1, 2, 5, 5), (1, 2, 5, 6))


def test_bottoms_that_change():
    under = run("num_output: 2 kernel_size: 3", (1, 2, 5, 5))
    under.resize([(2, 2, 9, 4)])
    assert under.forward()[0].shape == (2, 2, 7, 2)
    under.resize([(1, 3, 5, 5)])
    with pytest.raises(
        LayerError, match="Input size incompatible with convolution kernel: the filters read 2 channels"
    ):
        under.forward()
    under.resize([(1, 2, 5)])
    with pytest.raises(LayerError, match="bottom num_axes may not change: 2 spatial axes at setup, now 1"):
        under.forward()
    under.resize([(1, 2, 5, 2)])
    with pytest.raises(LayerError, match="the window does not fit into the image: input 5 x 2"):
        under.forward()


def test_filters_have_caffes_shape():
    under = run("num_output: 4 kernel_h: 2 kernel_w: 3 group: 2", (1, 6, 5, 5))
    assert [blob.shape for blob in under.layer.blobs] == [(4, 3, 2, 3), (4,)]
    assert [blob.shape for blob in run("num_output: 4 kernel_size: 2 bias_term: false", (1, 6, 5)).layer.blobs] == [
        (4, 6, 2)
    ]


def test_it_plans_again_where_a_shape_has_changed_and_only_there(monkeypatch):
    under = run("num_output: 2 kernel_size: 3 stride: 2", (1, 2, 6, 6), (1, 2, 6, 6))
    planned = []
    for conv_op in under.layer.convs:
        monkeypatch.setattr(conv_op, "plan", lambda *shapes, plan=conv_op.plan: (planned.append(shapes), plan(*shapes)))
    under.forward()
    assert not planned
    under.top[1].reshape(1, 2, 1, 4)
    assert under.forward()[1].shape == (1, 2, 2, 2)
    assert len(planned) == 2
    # One of two does not fit: what was planned for the other does not count.
    under.resize([(1, 2, 5, 5), (1, 2, 6, 6)])
    with pytest.raises(LayerError, match="All inputs must have the same shape"):
        under.forward()
    planned.clear()
    under.resize([(1, 2, 6, 6), (1, 2, 6, 6)])
    under.forward()
    assert planned == [((1, 2, 6, 6), (1, 2, 2, 2))] * 2
