"""The nets that are compared: those of models/, without data, in PyTorch what they are here."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net
from tests.benchmarks.nets import SIZES, benchmark_net, classes, inputs, without


@pytest.mark.parametrize("train", [True, False], ids=["train", "deploy"])
@pytest.mark.parametrize("model", list(SIZES))
def test_nets_need_no_data(model, train):
    param = benchmark_net(model, 3, train=train)
    phase = caffe_pb2.TRAIN if train else caffe_pb2.TEST
    with Net(param, phase, get_backend("cpu", threads=1), fill_params=False) as net:
        assert net.blobs["data"].shape == (3, *SIZES[model])
        assert all(net.blobs[name].shape == value.shape for name, value in inputs(param).items())
        assert set(inputs(param)) == set(net.inputs) == ({"data", "label"} if train else {"data"})
        losses = [layer.type for layer in net.layers if layer.loss]
    assert len(losses) == (0 if not train else 3 if model == "googlenet" else 1)
    assert classes(param) == (10 if model == "lenet" else 1000)


def test_labels_are_classes_and_images_are_noise():
    values = inputs(benchmark_net("lenet", 200))
    assert set(values["label"]) == set(range(10))
    assert 0.25 < values["data"].std() < 0.35
    assert 45 < inputs(benchmark_net("alexnet", 1))["data"].std() < 55


def test_layers_left_out():
    net = parse_net("""
    layer { name: "in" type: "Input" top: "x" }
    layer { name: "norm" type: "LRN" bottom: "x" top: "n" }
    layer { name: "relu" type: "ReLU" bottom: "n" top: "n" }
    layer { name: "drop" type: "Dropout" bottom: "n" top: "n" }
    layer { name: "fc" type: "InnerProduct" bottom: "n" top: "y" }
    layer { name: "sum" type: "Eltwise" bottom: "y" bottom: "n" top: "z" }
    """)[0]
    found = [(layer.name, list(layer.bottom), list(layer.top)) for layer in without(net, ["LRN", "Dropout"]).layer]
    assert found == [
        ("in", [], ["x"]), ("relu", ["x"], ["x"]), ("fc", ["x"], ["y"]), ("sum", ["y", "x"], ["z"]),
    ]  # fmt: skip
    assert [layer.name for layer in without(net, []).layer] == ["in", "norm", "relu", "drop", "fc", "sum"]


ODD = """
layer { name: "in" type: "Input" top: "x" top: "t"
  input_param { shape { dim: 3 dim: 6 dim: 17 dim: 15 } shape { dim: 3 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "c" param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 8 kernel_size: 3 stride: 2 pad: 1 dilation: 2 group: 2
    weight_filler { type: "xavier" } bias_filler { type: "constant" value: 0.1 } } }
layer { name: "bn" type: "BatchNorm" bottom: "c" top: "c" }
layer { name: "scale" type: "Scale" bottom: "c" top: "c" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }
layer { name: "norm" type: "LRN" bottom: "c" top: "n" lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 k: 2 } }
layer { name: "max" type: "Pooling" bottom: "n" top: "m" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "ave" type: "Pooling" bottom: "n" top: "a" pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 } }
layer { name: "ave2" type: "Pooling" bottom: "n" top: "a2" pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "one" type: "Convolution" bottom: "m" top: "o"
  convolution_param { num_output: 8 kernel_size: 1 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "sum" type: "Eltwise" bottom: "m" bottom: "o" bottom: "a2" top: "s" }
layer { name: "all" type: "Pooling" bottom: "a" top: "g" pooling_param { pool: AVE global_pooling: true } }
layer { name: "some" type: "Pooling" bottom: "s" top: "h" pooling_param { pool: MAX global_pooling: true } }
layer { name: "both" type: "Concat" bottom: "g" bottom: "h" top: "b" }
layer { name: "fc" type: "InnerProduct" bottom: "b" top: "f"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "aside" type: "InnerProduct" bottom: "s" top: "e"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "f" bottom: "t" top: "loss" }
layer { name: "loss2" type: "SoftmaxWithLoss" bottom: "e" bottom: "t" top: "loss2" loss_weight: 0.3 }
"""


def _both(text, phase):
    """The net here and in PyTorch, with equal parameters and inputs, after a pass."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[bench]'")
    from tests.benchmarks.torch_net import TorchNet

    param = parse_net(text)[0]
    net = Net(param, phase, get_backend("cpu"), seed=3)
    values = inputs(param)
    for name, value in values.items():
        net.blobs[name].data[...] = value
    other = TorchNet(param, {name: blob.shape for name, blob in net.blobs.items()})
    other.load({name: [blob.data for blob in own] for name, own in net.params.items()})
    other.train(phase == caffe_pb2.TRAIN)
    net.forward()
    out = other({n: torch.from_numpy(v) if v.ndim == 4 else torch.from_numpy(v).long() for n, v in values.items()})
    return net, other, out


def test_pytorch_trains_the_same_net():
    net, other, loss = _both(ODD, caffe_pb2.TRAIN)
    net.backward()
    loss.backward()
    assert loss.item() == pytest.approx(net.loss(), rel=1e-5)
    ours = {
        f"{name} {i}": float(np.linalg.norm(blob.diff))
        for name, own in net.params.items()
        for i, blob in enumerate(own)
        if name != "bn"
    }
    # The bias of a convolution that is normalised has no gradient but what is lost in rounding.
    assert ours.pop("conv 1") < 1e-4
    theirs = other.gradients()
    assert theirs.pop("conv 1") < 1e-4
    assert theirs == pytest.approx(ours, rel=1e-3)


def test_pytorch_predicts_the_same_by_stored_statistics():
    text = ODD[: ODD.index('layer { name: "aside"')] + 'layer { name: "p" type: "Softmax" bottom: "f" top: "p" }'
    text = text.replace('top: "t"\n', "\n").replace(" shape { dim: 3 } }", "}")
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[bench]'")
    from tests.benchmarks.torch_net import TorchNet

    param = parse_net(text)[0]
    net = Net(param, caffe_pb2.TEST, get_backend("cpu"), seed=3)
    rng = np.random.default_rng(1)
    mean, variance, factor = net.params["bn"]
    mean.data[...], variance.data[...] = rng.standard_normal(8), rng.uniform(0.5, 2, 8)
    factor.data[...] = 4
    net.blobs["x"].data[...] = inputs(param)["x"]
    net.forward()
    other = TorchNet(param, {name: blob.shape for name, blob in net.blobs.items()})
    other.load({name: [blob.data for blob in own] for name, own in net.params.items()})
    out = other.eval()({"x": torch.from_numpy(inputs(param)["x"])})
    np.testing.assert_allclose(out.detach().numpy(), net.blobs["p"].data, rtol=1e-4, atol=1e-6)


def test_pytorch_updates_by_the_nets_multipliers():
    _, other, _ = _both(ODD, caffe_pb2.TRAIN)
    groups = other.groups(0.1, 0.01, parse_net(ODD)[0])
    found = sorted((group["lr"], group["weight_decay"], len(group["params"])) for group in groups)
    # The convolution's bias learns twice as fast, undecayed; all else has the defaults.
    assert found == [(0.1, 0.01, 8), (0.2, 0.0, 1)]


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ('type: "Pooling" pooling_param { pool: STOCHASTIC kernel_size: 2 }', "stochastic pooling is not supported"),
        ('type: "LRN" lrn_param { norm_region: WITHIN_CHANNEL }', "normalisation within channels is not supported"),
        ('type: "TanH"', "type TanH is not supported"),
        ('type: "BatchNorm"', "a BatchNorm without a Scale is not supported"),
        ('type: "Eltwise" bottom: "x" eltwise_param { operation: MAX }', "only plain sums are supported"),
    ],
)
def test_what_pytorch_is_not_given(layer, message):
    text = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 4 dim: 4 } } }'
    with pytest.raises(ValueError, match=f"layer 'it': .*{message}"):
        _both(text + f' layer {{ name: "it" bottom: "x" top: "y" {layer} }}', caffe_pb2.TRAIN)
