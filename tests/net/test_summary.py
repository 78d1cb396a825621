"""The summary's figures, against those worked out by hand and known of published nets."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from caffepy.errors import NetError
from caffepy.net import Net
from caffepy.net.summary import net_without_data, summarise
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net, read_net

MODELS = Path(__file__).resolve().parents[2] / "models"

INPUT = 'name: "n" layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 dim: 5 dim: 6 } } } '


def summary(text, phase=caffe_pb2.TEST):
    with Net(parse_net(text), phase, fill_params=False) as net:
        return summarise(net)


def model(name, file="deploy.prototxt", phase=caffe_pb2.TEST, **shapes):
    param, lines = read_net(MODELS / name / file)
    param = net_without_data(param, lines, phase, shapes)
    with Net((param, lines), phase, fill_params=False) as net:
        return summarise(net)


def test_alexnet():
    # Krizhevsky et al. 2012 by layer: outputs times kernel values.
    expected = {
        "conv1": 55 * 55 * 96 * 11 * 11 * 3, "conv2": 27 * 27 * 256 * 5 * 5 * 48, "conv3": 13 * 13 * 384 * 3 * 3 * 256,
        "conv4": 13 * 13 * 384 * 3 * 3 * 192, "conv5": 13 * 13 * 256 * 3 * 3 * 192,
        "fc6": 9216 * 4096, "fc7": 4096 * 4096, "fc8": 4096 * 1000,
    }  # fmt: skip
    found = model("alexnet")
    assert found.params == 60_965_224
    assert found.batch == 10
    assert {layer.name: layer.macs // 10 for layer in found.layers if layer.macs} == expected
    assert found.macs / found.batch == sum(expected.values()) == 724_406_816
    assert model("alexnet", data=(1, 3, 227, 227)).macs == 724_406_816


def test_published_nets():
    assert model("lenet").params == 431_080
    assert model("googlenet").params == 6_998_552
    assert model("caffenet").macs / 10 == 724_406_816


def test_fully_connected():
    found = summary(
        INPUT + 'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 7 } }'
    )
    assert (found.params, found.macs, found.batch) == (7 * 120 + 7, 2 * 7 * 120, 2)
    # With axis 2 each of 2 * 4 rows is a product of its own.
    found = summary(
        INPUT + 'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" '
        "inner_product_param { num_output: 7 axis: 2 bias_term: false } }"
    )
    assert (found.params, found.macs) == (7 * 30, 8 * 7 * 30)


def test_groups():
    text = (
        'layer { name: "c" type: "Convolution" bottom: "x" top: "y" '
        "convolution_param { num_output: 6 kernel_size: 3 group: 2 } }"
    )
    found = summary(INPUT + text)
    assert (found.params, found.macs) == (6 * 2 * 9 + 6, 2 * 6 * 3 * 4 * 2 * 9)


def test_memory_is_counted_once():
    text = (
        'layer { name: "f" type: "Flatten" bottom: "x" top: "f" } '
        'layer { name: "r" type: "ReLU" bottom: "f" top: "f" } '
        'layer { name: "a" type: "Power" bottom: "f" top: "a" } layer { name: "b" type: "Power" bottom: "f" top: "b" }'
    )
    found = summary(INPUT + text)
    memory = {layer.name: layer.memory for layer in found.layers}
    assert memory.pop("f_f_0_split", memory.pop("f_r_0_split", 0)) == 0
    assert memory == {"in": 960, "f": 0, "r": 0, "a": 960, "b": 960}
    assert found.memory == 3 * 960
    assert [layer.inserted for layer in found.layers].count(True) == 1


def test_memory_is_that_of_the_net():
    """The layers said to share memory do, and no others: by the addresses of the blobs of a real net."""
    param, lines = read_net(MODELS / "googlenet" / "deploy.prototxt")
    with Net((net_without_data(param, lines, caffe_pb2.TEST, {"data": (1, 3, 224, 224)}), lines)) as net:
        addresses = {blob.data.__array_interface__["data"][0]: blob.data.nbytes for blob in net.blobs.values()}
        assert summarise(net).memory == sum(addresses.values())


def test_shared_parameters_count_once():
    layer = (
        'layer { name: "%s" type: "InnerProduct" bottom: "%s" top: "%s" param { name: "w" } '
        "inner_product_param { num_output: 120 bias_term: false } } "
    )
    found = summary(INPUT + layer % ("a", "x", "a") + layer % ("b", "a", "b"))
    assert [layer.params for layer in found.layers] == [0, 120 * 120, 0]
    assert found.macs == 2 * 2 * 120 * 120


DATA = """layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  data_param { source: "nowhere" batch_size: 8 backend: LMDB } transform_param { crop_size: 5 } }
layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TEST }
  data_param { source: "nowhere" batch_size: 4 backend: LMDB } transform_param { %s } }
layer { name: "s" type: "Silence" bottom: "data" bottom: "label" }
"""


def without_data(text, phase, shapes=()):
    param, lines = parse_net(text, "net.prototxt")
    copy = net_without_data(param, lines, phase, dict(shapes))
    with Net((copy, lines), phase) as net:
        return {name: blob.shape for name, blob in net.blobs.items()}


def test_a_database_that_is_not_there():
    assert without_data(DATA % "", caffe_pb2.TRAIN) == {"data": (8, 3, 5, 5), "label": (8,)}
    assert without_data(DATA % "crop_size: 6 force_gray: true", caffe_pb2.TEST) == {"data": (4, 1, 6, 6), "label": (4,)}
    given = {"data": (3, 1, 9, 9)}
    assert without_data(DATA % "", caffe_pb2.TEST, given) == {"data": (3, 1, 9, 9), "label": (3,)}
    with pytest.raises(
        NetError, match=r"net\.prototxt:3: layer 'd' \(Data\): there is no database.*--shape data=N,C,H,W"
    ):
        without_data(DATA % "", caffe_pb2.TEST)
    # An ignored field shows no shape that training would not have; in an old net it is transform_param's.
    with pytest.raises(NetError, match="layer 'd'"):
        without_data(DATA.replace("batch_size: 4", "batch_size: 4 crop_size: 6") % "", caffe_pb2.TEST)
    old = 'layers { name: "d" type: DATA top: "data" data_param { source: "nowhere" batch_size: 4 crop_size: 6 } }'
    assert without_data(old, caffe_pb2.TEST) == {"data": (4, 3, 6, 6)}


def test_the_given_net_stays_as_it_is():
    param, lines = parse_net(DATA % "")
    before = param.SerializeToString()
    net_without_data(param, lines, caffe_pb2.TRAIN, {"data": (1, 2, 3, 4)})
    assert param.SerializeToString() == before


def test_an_input_layer_keeps_what_is_not_given():
    text = 'layer { name: "in" type: "Input" top: "a" top: "b" input_param { shape { dim: 2 } shape { dim: 3 } } }'
    assert without_data(text, caffe_pb2.TEST, {"a": (5, 5)}) == {"a": (5, 5), "b": (3,)}


def test_a_shape_of_no_data():
    with pytest.raises(
        NetError, match=r"--shape dta: no data layer has a top 'dta'\. Did you mean 'data'\? There are: data, label"
    ):
        without_data(DATA % "", caffe_pb2.TRAIN, {"dta": (1,)})


def test_nothing_is_filled_or_computed():
    """The weights of AlexNet, 233 MiB, are never written to."""
    param, lines = read_net(MODELS / "alexnet" / "deploy.prototxt")
    with Net((param, lines), fill_params=False) as net:
        summarise(net)
        assert all(blob._data is None for blobs in net.params.values() for blob in blobs)
        assert math.prod(net.params["fc6"][0].shape) == 9216 * 4096


def test_the_stages_that_a_net_gives_itself_count():
    param, lines = parse_net(
        'state { stage: "s" } layer { name: "d" type: "Data" top: "x" include { stage: "s" } '
        'data_param { source: "nowhere" batch_size: 2 } transform_param { crop_size: 3 } }'
    )
    with Net((net_without_data(param, lines, caffe_pb2.TEST, {}), lines)) as net:
        assert net.blobs["x"].shape == (2, 3, 3, 3)
