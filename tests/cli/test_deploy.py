"""caffepy deploy, against the deploy.prototxts of the bundled models, and what it makes of each kind of loss."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffepy.errors import NetError
from caffepy.net import Net
from caffepy.net.deploy import deploy_net
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net, read_net

MODELS = Path(__file__).resolve().parents[2] / "models"

DATA = """layer { name: "d" type: "Input" top: "x" top: "y"
  input_param { shape { dim: 4 dim: 3 dim: 2 dim: 2 } shape { dim: 4 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" param { lr_mult: 1 } param { lr_mult: 2 }
  inner_product_param { num_output: 12 weight_filler { type: "xavier" } } }
"""


def deploy(text, **arguments):
    return deploy_net(*parse_net(text), **arguments)


def kinds(net):
    return [(layer.name, layer.type) for layer in net.layer]


@pytest.mark.parametrize("model", ["alexnet", "caffenet", "googlenet", "vgg16", "resnet50"])
def test_the_models_own(run, tmp_path, model):
    own, _ = read_net(MODELS / model / "deploy.prototxt")
    size = own.layer[0].input_param.shape[0].dim[2]
    train_val = MODELS / model / "train_val.prototxt"
    result = run("deploy", train_val, tmp_path / "d.prototxt", f"--shape=data=5,3,{size},{size}")
    assert (result.code, result.out, result.lines) == (0, "", [f"Wrote {tmp_path / 'd.prototxt'}"])
    made, _ = read_net(tmp_path / "d.prototxt")
    assert kinds(made) == kinds(own)
    assert list(made.layer[0].input_param.shape[0].dim) == [5, 3, size, size]
    for ours, theirs in zip(made.layer[1:], own.layer[1:], strict=True):
        assert (ours.bottom, ours.top) == (theirs.bottom, theirs.top)
        assert not ours.param
        assert not ours.include


def test_to_stdout_it_computes_what_the_trained_net_does(run, project):
    assert run("train", "-solver=solver.prototxt", "-seed=1").code == 0
    weights = project / "out" / "tiny_iter_40.caffemodel"
    result = run("deploy", "net.prototxt", "--batch", "60")
    assert (result.code, result.err) == (0, "")
    net, lines = parse_net(result.out)
    assert kinds(net) == [("digits", "Input"), ("flat", "Flatten"), ("scale", "Scale"), ("prob", "Softmax")]
    with (
        Net("net.prototxt", caffe_pb2.TEST, weights=weights) as trained,
        Net((net, lines), caffe_pb2.TEST, weights=weights) as deployed,
    ):
        trained.forward()
        deployed.blobs["data"].data[...] = trained.blobs["data"].data
        prob = deployed.forward()["prob"]
        scores = trained.blobs["scale"].data.astype(np.float64)
        expected = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        np.testing.assert_allclose(prob, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("loss", "last"),
    [
        ("SoftmaxWithLoss", ("prob", "Softmax")),
        ("InfogainLoss", ("prob", "Softmax")),
        ("SigmoidCrossEntropyLoss", ("prob", "Sigmoid")),
        ("MultinomialLogisticLoss", ("ip", "InnerProduct")),
        ("HingeLoss", ("ip", "InnerProduct")),
        ("EuclideanLoss", ("ip", "InnerProduct")),
    ],
)
def test_each_loss(loss, last):
    shapes = {"x": (4, 3, 2, 2), "y": (4, 12) if loss in ("SigmoidCrossEntropyLoss", "EuclideanLoss") else (4,)}
    # In TRAIN only, since shapes of losses are of no interest here.
    text = f'{DATA} layer {{ name: "l" type: "{loss}" bottom: "ip" bottom: "y" include {{ phase: TRAIN }} }}'
    net = deploy(text, shapes=shapes)
    assert kinds(net)[-1] == last
    assert list(net.layer[0].top) == ["x"]
    assert not net.layer[1].param
    assert not net.layer[1].inner_product_param.HasField("weight_filler")


def test_a_label_given_first_is_no_prediction():
    net = deploy(DATA + 'layer { name: "l" type: "EuclideanLoss" bottom: "y" bottom: "ip" include { phase: TRAIN } }')
    assert kinds(net) == [("d", "Input"), ("ip", "InnerProduct")]


def test_axis_and_names_of_shared_parameters_stay():
    text = DATA.replace("lr_mult: 1", 'name: "w" lr_mult: 1') + (
        'layer { name: "prob" type: "Reshape" bottom: "ip" top: "prob" '
        "reshape_param { shape { dim: 0 dim: 3 dim: 4 } } } "
        'layer { name: "l" type: "SoftmaxWithLoss" bottom: "prob" bottom: "y" softmax_param { axis: 2 } '
        "include { phase: TRAIN } }"
    )
    net = deploy(text)
    assert [spec.name for spec in net.layer[1].param] == ["w", ""]
    assert not net.layer[1].param[0].HasField("lr_mult")
    # "prob" is taken.
    assert kinds(net)[-1] == ("l_prob", "Softmax")
    assert net.layer[-1].softmax_param.axis == 2


def test_losses_of_equal_weight_all_stay_and_lighter_ones_go():
    loss = 'layer {{ name: "l{0}" type: "SoftmaxWithLoss" bottom: "{1}" bottom: "y" top: "l{0}" loss_weight: {2} }} '
    aux = 'layer { name: "aux" type: "InnerProduct" bottom: "x" top: "aux" inner_product_param { num_output: 2 } } '
    text = DATA + aux + loss.format(1, "aux", 0.3) + loss.format(2, "ip", 1)
    assert kinds(deploy(text)) == [("d", "Input"), ("ip", "InnerProduct"), ("prob", "Softmax")]
    text = DATA + aux + loss.format(1, "aux", 1) + loss.format(2, "ip", 1)
    assert kinds(deploy(text))[-2:] == [("l1_prob", "Softmax"), ("l2_prob", "Softmax")]


def test_without_a_loss_the_outputs_stay():
    text = DATA + (
        'layer { name: "r" type: "ReLU" bottom: "ip" top: "ip" } '
        'layer { name: "a" type: "Accuracy" bottom: "ip" bottom: "y" top: "a" }'
    )
    net = deploy(text, batch=7)
    assert kinds(net) == [("d", "Input"), ("ip", "InnerProduct"), ("r", "ReLU")]
    assert list(net.layer[0].input_param.shape[0].dim) == [7, 3, 2, 2]


def test_errors(run, tmp_path):
    with pytest.raises(NetError, match="no output depends on data"):
        deploy('layer { name: "d" type: "Input" top: "x" input_param { shape { dim: 1 } } }')
    path = tmp_path / "n.prototxt"
    path.write_text(
        'layer { name: "d" type: "Data" top: "x" data_param { source: "none" batch_size: 1 } }'
        'layer { name: "r" type: "ReLU" bottom: "x" top: "r" }'
    )
    result = run("deploy", path)
    assert result.code == 1
    assert "give the shape: --shape x=N,C,H,W" in result.err
    result = run("deploy", path, "--shape=x=1,2", tmp_path / "no" / "out")
    assert result.code == 1
    assert "not written" in result.err
    assert run("deploy", path, "--shape=x").code == 2
    assert run("deploy").code == 2
