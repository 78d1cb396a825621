"""caffepy.net.fusion: which layers a convolution does in passing, and that nobody can tell from the results."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import text_format

from caffepy.devices import get_backend
from caffepy.layer import _registry
from caffepy.layers.convolution import Convolution
from caffepy.layers.relu import ReLU
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from tests.a_gpu import BACKENDS

INPUT = "layer { name: 'data' type: 'Input' top: 'data' input_param { shape { dim: %d dim: 6 dim: %d dim: %d } } } "
CONVOLUTIONS = {
    "3x3": "num_output: 10 kernel_size: 3 pad: 1",
    "groups": "num_output: 12 kernel_size: 3 group: 2",
    "1x1": "num_output: 5 kernel_size: 1",
    "strided": "num_output: 9 kernel_size: 5 stride: 2",
    "as large as the image": "num_output: 7 kernel_size: 13",
    "no bias": "num_output: 10 kernel_size: 3 bias_term: false",
}
RELU = "layer { name: 'relu' type: 'ReLU' bottom: 'y' top: 'y' } "
BATCH_NORM = "layer { name: 'bn' type: 'BatchNorm' bottom: 'y' top: 'y' } "
SCALE = "layer { name: 'scale' type: 'Scale' bottom: 'y' top: 'y' scale_param { bias_term: true } } "
PLAIN_SCALE = "layer { name: 'scale' type: 'Scale' bottom: 'y' top: 'y' } "
CHAINS = {
    "ReLU": RELU,
    "BatchNorm": BATCH_NORM,
    "BatchNorm, Scale, ReLU": BATCH_NORM + SCALE + RELU,
    "Scale, ReLU": SCALE + RELU,
    "Scale without bias": PLAIN_SCALE,
}


def conv(settings):
    filler = "weight_filler { type: 'gaussian' std: 0.1 } bias_filler { type: 'uniform' min: -1 max: 1 }"
    return (
        "layer { name: 'conv' type: 'Convolution' bottom: 'data' top: 'y' "
        f"convolution_param {{ {settings} {filler} }} }} "
    )


@pytest.fixture
def make(backend):
    """Text -> a net on the backend, with numbers and data."""

    def build(text, phase=caffe_pb2.TEST, threads=2, dtype="float32", **given):
        param = text_format.Parse(text, caffe_pb2.NetParameter(name="fused"))
        device = get_backend(backend, dtype, threads)
        net = Net(param, phase, device, seed=3, **given)
        rng = np.random.default_rng(5)
        for layer in net.layers:
            if layer.type == "BatchNorm":
                for blob, low in zip(layer.blobs, (-1, 0.5, 2), strict=True):
                    blob.data[...] = device.asarray(rng.uniform(low, low + 2, blob.shape))
            elif layer.type == "Scale":
                for blob in layer.blobs:
                    blob.data[...] = device.asarray(rng.uniform(-2, 2, blob.shape))
        net.blobs["data"].data[...] = device.asarray(rng.standard_normal(net.blobs["data"].shape))
        return net

    return build


def held(net, blob="y"):
    """What a blob holds now."""
    return net.backend.to_host(net.blobs[blob].data).copy()


def result(net, **part):
    """What a pass gives."""
    net.forward(**part)
    return held(net)


def layer_by_layer(net):
    """The same pass, looked at after each layer, so that none are joined."""
    looked = []
    net.after_forward.append(looked.append)
    net.forward()
    net.after_forward.clear()
    assert looked == list(range(len(net.entries)))
    return held(net)


def joined(net, first=0, last=None):
    """The names of the layers that a pass leaves out."""
    numbers = net.fusion.begin(first, len(net.entries) - 1 if last is None else last)
    net.fusion.end()
    return [net.entries[i].layer.name for i in sorted(numbers)]


@pytest.mark.parametrize(("backend", "threads"), [("cpu", 1), *((name, 2) for name in BACKENDS)])
@pytest.mark.parametrize("images", [1, 3, 20])
@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("settings", CONVOLUTIONS)
def test_results_are_those_of_layer_by_layer(make, settings, chain, images, threads):
    net = make(INPUT % (images, 13, 13) + conv(CONVOLUTIONS[settings]) + CHAINS[chain], threads=threads)
    assert len(joined(net)) == len(net.entries) - 2
    expected = layer_by_layer(net)
    net.blobs["y"].data.fill(np.nan)
    y = result(net)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=2e-5)
    if "ReLU" in chain:
        assert y.min() == 0
    else:
        assert y.min() < 0


def test_float64_is_as_exact_as_before(make):
    net = make(INPUT % (3, 9, 9) + conv(CONVOLUTIONS["3x3"]) + CHAINS["BatchNorm, Scale, ReLU"], dtype="float64")
    np.testing.assert_allclose(result(net), layer_by_layer(net), rtol=1e-12, atol=1e-12)


def test_an_axis_counted_from_the_end_is_that_of_the_channels_or_not(make):
    volumes = "layer { name: 'data' type: 'Input' top: 'data' input_param { shape { %s } } } "
    volumes %= " ".join(f"dim: {size}" for size in (2, 6, 5, 4, 3))
    for axis, found in ((-3, []), (-4, ["scale"])):
        scale = f"layer {{ name: 'scale' type: 'Scale' bottom: 'y' top: 'y' scale_param {{ axis: {axis} }} }} "
        net = make(volumes + conv("num_output: 5 kernel_size: 1") + scale)
        assert joined(net) == found
        np.testing.assert_allclose(result(net), layer_by_layer(net), rtol=1e-4, atol=2e-5)


def test_numbers_that_change_between_passes_count(make):
    net = make(INPUT % (2, 9, 9) + conv(CONVOLUTIONS["3x3"]) + BATCH_NORM + SCALE)
    before = result(net)
    net.params["scale"][0].data[...] *= 2
    net.params["bn"][0].data[...] += 1
    after = result(net)
    assert not np.allclose(before, after)
    np.testing.assert_allclose(after, layer_by_layer(net), rtol=1e-4, atol=2e-5)


def test_before_any_training_mean_and_variance_are_zero(make):
    net = make(INPUT % (2, 9, 9) + conv(CONVOLUTIONS["3x3"]) + BATCH_NORM)
    net.params["bn"][2].data[...] = 0
    # Divided by the root of eps alone, which makes rounding that much larger.
    np.testing.assert_allclose(result(net), layer_by_layer(net), rtol=1e-4, atol=2e-5 / 1e-5**0.5)


def test_a_part_of_the_net_ends_where_it_is_told_to(make):
    net = make(INPUT % (2, 9, 9) + conv(CONVOLUTIONS["3x3"]) + BATCH_NORM + RELU)
    expected = layer_by_layer(net)
    assert joined(net, 0, 2) == joined(net, 2) == []
    assert result(net, end="conv").min() < 0
    net.forward(start="bn")
    np.testing.assert_allclose(held(net), expected, rtol=1e-4, atol=2e-5)
    # Once more a ReLU changes nothing.
    net.forward(start="relu")
    np.testing.assert_allclose(held(net), expected, rtol=1e-4, atol=2e-5)


def test_after_a_pass_a_convolution_does_nothing_more(make):
    net = make(INPUT % (2, 9, 9) + conv(CONVOLUTIONS["3x3"]) + RELU)
    net.forward()
    entry = net.entries[1]
    entry.layer.forward(entry.bottom, entry.top)
    assert held(net).min() < 0


def test_nor_after_one_that_failed(make, monkeypatch):
    text = INPUT % (2, 9, 9) + conv(CONVOLUTIONS["3x3"]) + RELU
    net = make(text + "layer { name: 'end' type: 'Power' bottom: 'y' top: 'z' } ")

    def fail(bottom, top):
        raise RuntimeError("no")

    monkeypatch.setattr(net.layer_dict["end"], "forward", fail)
    with pytest.raises(RuntimeError, match="no"):
        net.forward()
    assert net.layer_dict["conv"].convs[0].epilogue is None


def test_training_joins_relu_alone_and_learns_the_same(make):
    text = (
        INPUT % (4, 9, 9) + conv(CONVOLUTIONS["3x3"]) + RELU
        + "layer { name: 'loss' type: 'Reduction' bottom: 'y' top: 'loss' loss_weight: 1 "
        "reduction_param { operation: SUMSQ } } force_backward: true"
    )  # fmt: skip
    net = make(text, caffe_pb2.TRAIN)
    assert joined(net) == ["relu"]
    gradients = []
    for callback in ([], [lambda number: None]):
        net.after_forward[:] = callback
        net.clear_param_diffs()
        net.forward()
        net.backward()
        blobs = *net.params["conv"], net.blobs["data"]
        gradients.append([net.backend.to_host(blob.diff).copy() for blob in blobs])
    for one, other in zip(*gradients, strict=True):
        assert np.abs(one).max() > 0
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


def test_layers_whose_gradients_are_needed_are_not_joined(make):
    text = INPUT % (4, 9, 9) + conv(CONVOLUTIONS["3x3"]) + BATCH_NORM + SCALE + RELU + "force_backward: true"
    assert joined(make(text)) == []
    # Sharing memory, a net in TEST cannot run backward.
    assert joined(make(text, share_memory=True)) == ["bn", "scale", "relu"]
    assert joined(make(text, caffe_pb2.TRAIN)) == []


@pytest.mark.parametrize(
    "rest",
    [
        "layer { name: 'relu' type: 'ReLU' bottom: 'y' top: 'z' }",
        "layer { name: 'relu' type: 'ReLU' bottom: 'y' top: 'y' relu_param { negative_slope: 0.1 } }",
        "layer { name: 'tanh' type: 'TanH' bottom: 'y' top: 'y' }" + RELU,
        "layer { name: 's' type: 'Scale' bottom: 'y' top: 'y' scale_param { num_axes: 2 } }",
        "layer { name: 's' type: 'Scale' bottom: 'y' top: 'y' scale_param { axis: 2 } }",
        "layer { name: 's' type: 'Scale' bottom: 'y' bottom: 'data' top: 'y' scale_param { axis: 0 } }",
        "layer { name: 'b' type: 'BatchNorm' bottom: 'y' top: 'y' batch_norm_param { use_global_stats: false } }",
    ],
)
def test_what_is_not_the_same_is_left_alone(make, rest):
    assert joined(make(INPUT % (2, 6, 6) + conv("num_output: 6 kernel_size: 3 pad: 1") + rest)) == []


def test_a_second_relu_and_a_second_convolution(make):
    text = INPUT % (2, 9, 9) + conv(CONVOLUTIONS["3x3"]) + RELU + RELU.replace("'relu'", "'again'")
    other = "layer { name: 'other' type: 'Convolution' bottom: 'y' top: 'z' convolution_param { num_output: 2 "
    text += other + "kernel_size: 3 weight_filler { type: 'xavier' } } } "
    text += RELU.replace("'relu'", "'last'").replace("'y'", "'z'")
    assert joined(make(text)) == ["relu", "last"]


def test_a_class_made_from_one_of_them_keeps_its_own_forward(make, monkeypatch):
    class Doubled(ReLU):
        def forward(self, bottom, top):
            super().forward(bottom, top)
            top[0].data[...] *= 2

    class Negative(Convolution):
        def forward(self, bottom, top):
            super().forward(bottom, top)
            top[0].data[...] *= -1

    monkeypatch.setitem(_registry, "Doubled", Doubled)
    monkeypatch.setitem(_registry, "Negative", Negative)
    text = INPUT % (2, 9, 9) + conv(CONVOLUTIONS["3x3"]) + RELU
    built_in, doubled, negative = (
        net.backend.to_host(net.forward()["y"])
        for net in map(make, (text, text.replace("'ReLU'", "'Doubled'"), text.replace("'Convolution'", "'Negative'")))
    )
    np.testing.assert_allclose(doubled, 2 * built_in, rtol=1e-6)
    assert (negative >= 0).all()
    assert (negative[built_in > 0] == 0).all()
