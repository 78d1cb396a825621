"""Deconvolution."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.net import Net
from caffepy.proto.read import parse_net
from caffepy.testing import LayerUnderTest, case
from tests.reference.deconv import deconv

GAUSSIAN = 'weight_filler { type: "gaussian" std: 0.5 }'


def reference(stride, pad, dilation, group=1, axis=1):
    def tops(bottoms, blobs):
        results = []
        for x in bottoms:
            images = x.reshape(math.prod(x.shape[:axis]), *x.shape[axis:])
            y = deconv(images, blobs[0], blobs[1] if len(blobs) > 1 else None, stride, pad, dilation, group)
            results.append(y.reshape(*x.shape[:axis], *y.shape[1:]))
        return results

    return tops


def setting(fields, shapes, stride=(1, 1), pad=(0, 0), dilation=(1, 1), group=1, axis=1, **more):
    return case(
        f'type: "Deconvolution" convolution_param {{ {fields} {GAUSSIAN} }}',
        shapes,
        tops=len(shapes),
        reference=reference(stride, pad, dilation, group, axis),
        label=f"{fields} {shapes}",
        **more,
    )


CASES = [
    setting("num_output: 4 kernel_size: 3", [(2, 3, 4, 5)]),
    setting("num_output: 3 kernel_size: 4 stride: 2 pad: 1", [(2, 4, 3, 4)], (2, 2), (1, 1)),
    setting("num_output: 2 kernel_size: 3 kernel_size: 2 stride: 1 stride: 2", [(1, 2, 3, 4)], (1, 2)),
    setting("num_output: 2 kernel_h: 2 kernel_w: 3 pad_h: 1 stride_h: 2 stride_w: 1", [(2, 2, 4, 3)], (2, 1), (1, 0)),
    setting("num_output: 2 kernel_size: 2 dilation: 2 dilation: 3 pad: 1", [(1, 2, 4, 3)], (1, 1), (1, 1), (2, 3)),
    setting("num_output: 4 kernel_size: 3 group: 2 bias_term: false", [(2, 6, 3, 4)], group=2),
    setting("num_output: 6 kernel_size: 3 pad: 1 group: 3", [(2, 3, 4, 4)], pad=(1, 1), group=3),
    setting("num_output: 3 kernel_size: 4 stride: 2 pad: 1 group: 3", [(3, 3, 2, 3)], (2, 2), (1, 1), group=3),
    setting("num_output: 5 kernel_size: 1", [(2, 3, 4, 3)]),
    setting("num_output: 2 kernel_size: 1 stride: 3 bias_term: false", [(2, 3, 2, 3)], (3, 3)),
    setting("num_output: 3 kernel_size: 2 stride: 3", [(2, 2, 2, 3)], (3, 3)),
    setting("num_output: 3 kernel_size: 2 pad: 1 force_nd_im2col: true", [(2, 3, 4, 3)], pad=(1, 1)),
    # One value becomes an image.
    setting("num_output: 4 kernel_h: 3 kernel_w: 4", [(3, 2, 1, 1)]),
    setting("num_output: 4 kernel_h: 3 kernel_w: 4 group: 2", [(3, 2, 1, 1)], group=2),
    setting("num_output: 3 kernel_size: 3 pad: 1", [(2, 2, 4, 5), (2, 2, 4, 5)], pad=(1, 1)),
    setting("num_output: 3 kernel_size: 3 stride: 2 pad: 1 dilation: 2", [(2, 2, 5)], (2,), (1,), (2,)),
    setting("num_output: 2 kernel_size: 2 stride: 2 pad: 1", [(1, 2, 3, 4, 2)], (2,) * 3, (1,) * 3, (1,) * 3),
    # No axes to move along: a product of matrices.
    setting("num_output: 4 kernel_size: 1 group: 2", [(3, 6)], (), (), (), group=2),
    setting("num_output: 3 kernel_size: 3 axis: 2", [(2, 3, 2, 4)], (1,), (0,), (1,), axis=2),
    setting("num_output: 3 kernel_size: 2 axis: -3", [(2, 3, 2, 3, 4)], axis=2),
    setting(
        "num_output: 3 kernel_size: 2 axis: 0",
        [(4, 3, 2)],
        axis=0,
        waived={"batch": "axis 0 holds the channels here"},
    ),
]


def run(fields, *shapes, **more):
    under = LayerUnderTest(
        case(f'type: "Deconvolution" convolution_param {{ {fields} }}', shapes, tops=len(shapes), **more),
        get_backend("cpu", "float32", 1),
    )
    under.forward()
    return under


REFUSED = [
    ("kernel_size: 3", (1, 2, 5, 5), r"num_output must be positive \(Check failed: num_output_ > 0\); got 0"),
    ("num_output: 2", (1, 2, 5, 5), r"kernel_size must be specified once, or once per spatial dimension .*2 spatial"),
    ("num_output: 2 kernel_size: 3 stride: 0", (1, 2, 5, 5), "Stride dimensions must be nonzero"),
    ("num_output: 2 kernel_h: 3 kernel_w: 3", (1, 2, 5), "kernel_h & kernel_w can only be used for 2D convolution"),
    ("num_output: 2 kernel_size: 3 group: 2", (1, 3, 5, 5), "3 input channels not divisible by group 2"),
    ("num_output: 3 kernel_size: 3 group: 2", (1, 4, 5, 5), r"3 outputs \(num_output\) not divisible by group 2"),
    ("num_output: 3 kernel_size: 3 group: 0", (1, 4, 5, 5), "not divisible by group 0"),
    ("num_output: 3 kernel_size: 3 axis: 4", (1, 4, 5, 5), "axis: axis 4 out of range for 4-D Blob"),
    ("num_output: 3 kernel_size: 3 pad: 2", (1, 4, 2, 2), "the window does not fit into the image: input 2 x 2"),
]


@pytest.mark.parametrize(("fields", "shape", "message"), REFUSED)
def test_settings_refused(fields, shape, message):
    with pytest.raises(LayerError, match=f"'under_test' \\(Deconvolution\\): .*{message}"):
        run(fields, shape)


def test_bottoms_of_two_shapes():
    with pytest.raises(
        LayerError, match=r"All inputs must have the same shape: bottom\[0\] has 1 2 5 5 \(50\), another"
    ):
        run("num_output: 2 kernel_size: 3", (1, 2, 5, 5), (1, 2, 5, 6))


def test_bottoms_that_change():
    under = run("num_output: 2 kernel_size: 3", (1, 3, 5, 5))
    under.resize([(2, 3, 9, 4)])
    assert under.forward()[0].shape == (2, 2, 11, 6)
    under.resize([(1, 2, 5, 5)])
    with pytest.raises(
        LayerError, match="Input size incompatible with convolution kernel: the filters read 3 channels"
    ):
        under.forward()
    under.resize([(1, 3, 5)])
    with pytest.raises(LayerError, match="bottom num_axes may not change: 2 spatial axes at setup, now 1"):
        under.forward()


def test_filters_have_caffes_shape():
    under = run("num_output: 4 kernel_h: 2 kernel_w: 3 group: 2", (1, 6, 5, 5))
    assert [blob.shape for blob in under.layer.blobs] == [(6, 2, 2, 3), (4,)]
    assert [blob.shape for blob in run("num_output: 4 kernel_size: 2 bias_term: false", (1, 6, 5)).layer.blobs] == [
        (6, 4, 2)
    ]


@pytest.mark.parametrize("factor", [2, 3])
def test_upsampling_a_slope_gives_a_slope(factor):
    """The bilinear filler's purpose, away from the border, where the zeros outside are mixed in."""
    under = run(
        f"num_output: 2 group: 2 kernel_size: {2 * factor - factor % 2} stride: {factor} pad: {factor // 2} "
        'bias_term: false weight_filler { type: "bilinear" }',
        (1, 2, 6, 6),
    )
    under.values[0][...] = np.arange(6.0)
    inside = under.forward()[0][0, :, factor:-factor, factor:-factor]
    np.testing.assert_allclose(np.diff(inside, axis=2), 1 / factor, rtol=1e-5)
    np.testing.assert_allclose(np.diff(inside, axis=1), 0, atol=1e-6)


@pytest.mark.parametrize("data", [True, False])
@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_each_gradient_alone(data, weights, bias):
    text = f"""
        layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 2 dim: 4 dim: 4 }} }} }}
        layer {{ name: "deconv" type: "Deconvolution" bottom: "x" top: "y" propagate_down: {str(data).lower()}
                param {{ lr_mult: {weights:d} }} param {{ lr_mult: {bias:d} }} loss_weight: 1
                convolution_param {{ num_output: 3 kernel_size: 3 weight_filler {{ type: "gaussian" std: 1 }} }} }}
    """
    net = Net(parse_net(text), backend=get_backend("cpu", "float32", 2))
    net.blobs["x"].data[...] = np.random.standard_normal((2, 2, 4, 4))
    net.forward()
    net.blobs["x"].diff[...] = 0
    net.clear_param_diffs()
    net.backward()
    w, b = net.params["deconv"]
    assert (np.abs(w.diff).max() > 0) == weights
    assert (np.abs(b.diff).max() > 0) == bias
    assert (np.abs(net.blobs["x"].diff).max() > 0) == (data and (weights or bias))
