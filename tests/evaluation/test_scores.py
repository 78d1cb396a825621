"""Which blob of a net has the scores, and which the labels."""

from __future__ import annotations

import pytest

from caffepy.errors import NetError
from caffepy.evaluation.scores import ScoreBlobs, find_scores
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net

DATA = """layer { name: "d" type: "Input" top: "x" top: "y"
  input_param { shape { dim: 4 dim: 3 dim: 2 dim: 2 } shape { dim: 4 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 5 } }
layer { name: "ip2" type: "InnerProduct" bottom: "x" top: "ip2" inner_product_param { num_output: 6 } }
layer { name: "quiet" type: "Silence" bottom: "y" bottom: "ip2" }
"""


def layer(kind, *bottoms, top="", more=""):
    lines = "".join(f' bottom: "{name}"' for name in bottoms)
    return f'layer {{ name: "{kind}{top}{bottoms[0]}" type: "{kind}"{lines} top: "{top or kind}" {more} }}\n'


def find(*layers, data=DATA, name=""):
    with Net(parse_net(data + "".join(layers)), caffe_pb2.TEST, fill_params=False) as net:
        return find_scores(net, name)


ACCURACY, SOFTMAX = layer("Accuracy", "ip", "y"), layer("Softmax", "ip")


@pytest.mark.parametrize("kind", ["SoftmaxWithLoss", "Accuracy", "HingeLoss", "MultinomialLogisticLoss"])
def test_what_is_held_against_labels(kind):
    # Read twice or three times, so behind a Split.
    assert find(layer(kind, "ip", "y"), layer("ReLU", "ip")) == ScoreBlobs("ip", "y", False, "ip")


def test_a_loss_comes_before_accuracy_and_that_before_a_softmax():
    assert find(layer("Accuracy", "ip2", "y"), layer("SoftmaxWithLoss", "ip", "y")).scores == "ip"
    assert find(layer("Softmax", "ip2"), ACCURACY).scores == "ip"


def test_the_heaviest_loss():
    def loss(bottom, weight):
        return layer("SoftmaxWithLoss", bottom, "y", top=f"l{bottom}", more=f"loss_weight: {weight}")

    assert find(loss("ip", 0.3), loss("ip2", 1)).scores == "ip2"
    with pytest.raises(NetError, match=r"several blobs of scores: ip, ip2\. Say which: --scores ip2"):
        find(loss("ip", 1), loss("ip2", 1))
    assert find(loss("ip", 1), loss("ip2", 1), name="ip").scores == "ip"


def test_probabilities():
    blobs = ScoreBlobs("Softmax", "y", True, "ip")
    assert find(SOFTMAX, layer("Accuracy", "Softmax", "y"), layer("ReLU", "ip")) == blobs
    # Labels are the second top of what has no bottom.
    assert find(SOFTMAX) == blobs
    assert find(SOFTMAX, layer("Softmax", "ip2", top="other"), name="Softmax") == blobs


def test_ignored_labels():
    assert find(layer("Accuracy", "ip", "y", more="accuracy_param { ignore_label: 3 }")).ignore_label == 3
    assert find(layer("SoftmaxWithLoss", "ip", "y", more="loss_param { ignore_label: 0 }")).ignore_label == 0
    assert find(ACCURACY).ignore_label is None
    both = layer("Accuracy", "ip2", "y", more="accuracy_param { ignore_label: 3 }"), layer("SoftmaxWithLoss", "ip", "y")
    assert find(*both).ignore_label is None


def test_errors():
    with pytest.raises(NetError, match=r"found no scores of classes.*Blobs that could be: ip"):
        find(layer("ReLU", "ip"))
    with pytest.raises(NetError, match=r"--scores ipp: the net has no blob 'ipp'\. Did you mean 'ip'\?"):
        find(ACCURACY, name="ipp")
    with pytest.raises(NetError, match=r"blob 'x' is \(4, 3, 2, 2\); expected a score for each class of each image"):
        find(ACCURACY, name="x")
    with pytest.raises(NetError, match=r"blob 'y' is \(4,\); expected a score"):
        find(ACCURACY, name="y")
    alone = DATA.replace('top: "y"', "").replace("shape { dim: 4 } }", "}").replace('bottom: "y"', "")
    with pytest.raises(NetError, match="no layer reads labels beside 'Softmax', and no data layer has a second top"):
        find(SOFTMAX, data=alone)
    wide = DATA.replace("shape { dim: 4 } }", "shape { dim: 4 dim: 2 } }")
    with pytest.raises(NetError, match=r"blob 'y' is \(4, 2\); expected a label for each of 4 images"):
        find(SOFTMAX, data=wide)
