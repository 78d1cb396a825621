"""Folding: nets without BatchNorm, Scale and Bias compute the same, and what cannot be folded says why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import NetError
from caffepy.net import Net
from caffepy.net.fold_bn import fold_bn, largest_difference
from caffepy.net.random_inputs import feed_random
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net, read_net
from caffepy.proto.text import Lines

WILD = Path(__file__).resolve().parents[3] / "shared" / "wild" / "nets"

DATA = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 3 dim: 4 dim: 6 dim: 7 } } } '
BN = 'layer {{ name: "bn" type: "BatchNorm" bottom: "{0}" top: "{1}" batch_norm_param {{ eps: 0.01 }} }} '
SCALE = 'layer {{ name: "scale" type: "Scale" bottom: "{0}" top: "{1}" scale_param {{ {2} }} }} '
BIAS = 'layer {{ name: "bias" type: "Bias" bottom: "{0}" top: "{1}" }} '


def conv(bottom="data", top="conv", kind="Convolution", settings="", name="conv"):
    return (
        f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" '
        f"convolution_param {{ num_output: 6 kernel_size: 3 {settings} }} }} "
    )


def product(bottom="data", top="ip", settings="", name="ip"):
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{top}" '
        f"inner_product_param {{ num_output: 5 {settings} }} }} "
    )


def relu(blob):
    return f'layer {{ name: "relu" type: "ReLU" bottom: "{blob}" top: "{blob}" }} '


@pytest.fixture
def fold():
    """Folds a net of random weights, in float64, and checks that it computes the same."""
    nets = []

    def make(text, *, blobs=()):
        param, lines = parse_net(text)
        backend = get_backend("cpu", "float64")
        net = Net((param, lines), caffe_pb2.TEST, backend)
        nets.append(net)
        random = np.random.default_rng(3)
        for learned in net.learnable_params:
            learned.blob.data[...] = random.uniform(0.5, 2, learned.blob.shape) * random.choice(
                [-1, 1], learned.blob.shape
            )
        for layer in net.layers:
            if layer.type == "BatchNorm":
                layer.blobs[1].data[...] = abs(layer.blobs[1].data)
                layer.blobs[2].data[...] = 1.7
        for name, index, value in blobs:
            net.layer_dict[name].blobs[index].data[...] = value
        folded = fold_bn(param, net)
        other = Net((folded.net, Lines.unknown()), caffe_pb2.TEST, backend)
        nets.append(other)
        folded.copy_to(other)
        name, _, relative = largest_difference(net, other, folded)
        assert relative < 1e-12, name
        for one in (net, other):
            feed_random(one)
            one.forward()
        for name in net.outputs:
            np.testing.assert_allclose(other.blobs[name].data, net.blobs[name].data, rtol=1e-9, atol=1e-9)
        assert net.outputs == other.outputs
        return folded

    yield make
    for net in nets:
        net.close()


def kinds(folded):
    return [layer.type for layer in folded.net.layer]


@pytest.mark.parametrize("bias", ["bias_term: true", "bias_term: false"])
@pytest.mark.parametrize(
    "layer",
    [
        conv(),
        conv(settings="group: 2 pad: 1 stride: 2"),
        conv(kind="Deconvolution"),
        conv(kind="Deconvolution", settings="group: 2 pad: 1 stride: 2"),
        product(top="conv"),
        product(top="conv", settings="transpose: true"),
        product(top="conv", settings="axis: -3"),
    ],
)
@pytest.mark.parametrize("in_place", [True, False])
def test_into_the_layer_before(fold, layer, bias, in_place):
    layer = layer.replace("num_output", f"{bias} num_output")
    a, b, c = ("conv",) * 3 if in_place else "abc"
    folded = fold(DATA + layer + BN.format("conv", a) + SCALE.format(a, b, "bias_term: true") + BIAS.format(b, c))
    assert len(folded.net.layer) == 2
    assert folded.into == {"bn": ("BatchNorm", folded.net.layer[1].name), **{
        name: (name.capitalize(), folded.net.layer[1].name) for name in ("scale", "bias")
    }}  # fmt: skip
    assert not folded.kept
    assert list(folded.net.layer[1].top) == [c]
    name = folded.net.layer[1].name
    settings = folded.net.layer[1].inner_product_param if name == "ip" else folded.net.layer[1].convolution_param
    assert settings.bias_term
    assert len(folded.blobs[name]) == 2


def test_a_factor_alone_makes_no_bias(fold):
    folded = fold(DATA + conv(settings="bias_term: false") + SCALE.format("conv", "conv", ""))
    assert not folded.net.layer[1].convolution_param.bias_term
    assert len(folded.blobs["conv"]) == 1
    folded = fold(DATA + conv() + SCALE.format("conv", "out", "num_axes: 0 bias_term: true") + relu("out"))
    assert kinds(folded) == ["Input", "Convolution", "ReLU"]


@pytest.mark.parametrize(
    "layer",
    [
        conv("x"),
        conv("x", settings="group: 2 stride: 2 dilation: 2"),
        product("x", top="conv"),
        product("x", top="conv", settings="transpose: true bias_term: false"),
        conv("x", settings="bias_term: false"),
    ],
)
@pytest.mark.parametrize("in_place", [True, False])
def test_into_the_layer_after(fold, layer, in_place):
    layer = layer.replace('bottom: "x"', f'bottom: "{"data" if in_place else "b"}"')
    a, b = ("data", "data") if in_place else "ab"
    folded = fold(DATA + BN.format("data", a) + SCALE.format(a, b, "bias_term: true") + layer)
    assert len(folded.net.layer) == 2
    assert list(folded.net.layer[1].bottom) == ["data"]
    assert folded.changed == ({"data"} if in_place else {"data", "a"})


def test_the_layer_before_comes_first(fold):
    text = DATA + product(top="x") + BN.format("x", "y") + product("y", "z", name="ip2")
    folded = fold(text)
    assert folded.into == {"bn": ("BatchNorm", "ip")}


def test_without_a_shift_padding_is_harmless(fold):
    folded = fold(DATA + SCALE.format("data", "x", "") + conv("x", settings="pad: 1"))
    assert kinds(folded) == ["Input", "Convolution"]
    folded = fold(DATA + SCALE.format("data", "x", "") + conv("x", kind="Deconvolution", settings="group: 2"))
    assert kinds(folded) == ["Input", "Deconvolution"]


def test_untrained_statistics(fold):
    folded = fold(DATA + conv() + BN.format("conv", "conv"), blobs=[("bn", 2, 0)])
    assert kinds(folded) == ["Input", "Convolution"]


SHARED = conv().replace("convolution_param", 'param { name: "w" } convolution_param')
TWIN = conv(top="twin", name="twin").replace("convolution_param", 'param { name: "w" } convolution_param')


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (conv() + relu("conv") + BN.format("conv", "conv"), "it follows ReLU 'relu' (in place), not Convolution"),
        (
            'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { kernel_size: 2 } } '
            + BN.format("p", "x"),
            "it follows Pooling 'p', not Convolution, InnerProduct, Deconvolution",
        ),
        (
            conv() + BN.format("conv", "x") + product("conv"),
            "its bottom 'conv' is read by layer 'ip' too",
        ),
        (
            conv() + BN.replace("eps", "use_global_stats: false eps").format("conv", "conv"),
            "use_global_stats is false",
        ),
        (SHARED + BN.format("conv", "conv") + TWIN, "the weights of 'conv' are shared with layer 'twin'"),
        (
            conv() + SCALE.format("conv", "conv", "axis: 2"),
            "its numbers of shape (4,), laid from axis 2, are not one for each channel",
        ),
        (
            conv() + SCALE.format("conv", "conv", "axis: 0 num_axes: -1"),
            "its numbers of shape (3, 6, 4, 5), laid from axis 0",
        ),
        (
            conv()
            + 'layer { name: "f" type: "Input" top: "f" input_param { shape { dim: 3 dim: 6 } } } '
            + 'layer { name: "scale" type: "Scale" bottom: "conv" bottom: "f" top: "s" scale_param { axis: 0 } }',
            "what it multiplies by is computed, 'f'",
        ),
        (
            conv() + BN.replace("bottom", "loss_weight: 1 bottom").format("conv", "conv"),
            "counts as a loss",
        ),
        (
            product(settings="axis: 3", top="x") + BN.format("x", "x"),
            "the outputs of InnerProduct 'ip' are not along axis 1",
        ),
        (
            BN.format("data", "x") + conv("x", settings="pad: 1"),
            "it follows Input 'data', not Convolution, InnerProduct, Deconvolution; nor into the layer after it: "
            "Convolution 'conv' pads with zeros",
        ),
        (
            BN.format("data", "x") + conv("x", settings="pad_h: 1 pad_w: 0"),
            "Convolution 'conv' pads with zeros",
        ),
        (
            BN.format("data", "x") + conv("x", kind="Deconvolution"),
            "Deconvolution 'conv' sums over fewer values at the borders",
        ),
        (
            BN.format("data", "x") + product("x", settings="axis: 2"),
            "InnerProduct 'ip' does not begin at axis 1",
        ),
        (BN.format("data", "x") + conv("x") + product("x"), "it follows Input 'data'"),
        (BN.format("data", "x") + relu("x") + conv("x"), "it follows Input 'data'"),
        (
            conv()
            + 'layer { name: "s1" type: "Scale" bottom: "conv" top: "a" param { name: "f" } } '
            + 'layer { name: "s2" type: "Scale" bottom: "a" top: "b" param { name: "f" } }',
            "its numbers are shared with layer 's2'",
        ),
    ],
)
def test_what_is_kept_says_why(fold, text, why):
    folded = fold(DATA + text)
    assert not folded.into
    assert why in folded.kept[0].why


def test_several_branches_and_layers_of_training(fold):
    text = (
        DATA
        + 'layer { name: "noise" type: "DummyData" top: "n" include { phase: TRAIN } '
        + "dummy_data_param { shape { dim: 1 } } } "
        + conv(top="a", name="a", settings="pad: 1")
        + BN.format("a", "a")
        + relu("a")
        + conv(top="b", name="b", settings="pad: 1")
        + SCALE.format("b", "b", "bias_term: true")
        + 'layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "c" } '
        + BIAS.format("c", "c")
    )
    folded = fold(text)
    assert folded.into == {"bn": ("BatchNorm", "a"), "scale": ("Scale", "b")}
    assert [(one.name, one.why[:20]) for one in folded.kept] == [("bias", "it follows Eltwise '")]
    assert folded.left_out == ["noise"]


def test_errors():
    param, lines = parse_net(DATA + conv() + BN.format("conv", "conv"))
    with Net((param, lines), caffe_pb2.TRAIN) as net, pytest.raises(NetError, match="needs a net in the TEST phase"):
        fold_bn(param, net)
    param, lines = parse_net(DATA + conv() + conv("conv").replace('top: "conv"', 'top: "x"'))
    with Net((param, lines)) as net, pytest.raises(NetError, match="has 2 layers named 'conv': rename them"):
        fold_bn(param, net)


@pytest.mark.skipif(not WILD.exists(), reason=f"the sample of public prototxts is not here: {WILD}")
@pytest.mark.parametrize(
    ("name", "folded", "kept"),
    [
        ("1976277169+caffe_seetaFace_Identification__*", 9, 0),
        ("Trunpm+Micro-Attention-for-Micro-Expression__*", 10, 10),
        ("shicai+MobileNet-Caffe__mobilenet_v2_deploy*", 106, 0),
    ],
)
def test_nets_that_people_published(name, folded, kept):
    (path,) = WILD.glob(name)
    param, lines = read_net(path)
    for layer in param.layer:
        for shape in layer.input_param.shape:
            shape.dim[0] = 1
    random = np.random.default_rng(0)
    # In float64 no rounding hides what is folded wrong.
    backend = get_backend("cpu", "float64")
    with Net((param, lines), backend=backend, fill_params=False) as net:
        for learned in net.learnable_params:
            shape = learned.blob.shape
            deviation = (2 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.2
            learned.blob.data[...] = random.normal(0, deviation, shape)
        for layer in net.layers:
            if layer.type == "BatchNorm":
                layer.blobs[1].data[...] = random.uniform(1, 6, layer.blobs[1].shape)
                layer.blobs[2].data[...] = 3
            elif layer.type == "Scale" and layer.blobs:
                layer.blobs[0].data[...] = random.uniform(0.4, 0.9, layer.blobs[0].shape)
        result = fold_bn(param, net)
        assert (len(result.into), len(result.kept)) == (folded, kept)
        with Net((result.net, Lines.unknown()), backend=backend, fill_params=False) as other:
            result.copy_to(other)
            assert largest_difference(net, other, result)[2] < 1e-11
