"""caffe.Net: how it is made, what it shows of itself, and what is written into it."""

from __future__ import annotations

import gc
import logging
from collections import OrderedDict

import numpy as np
import pytest

import caffepy as caffe
from caffepy.errors import LayerError, NetError, ParseError, WeightsError
from caffepy.layers.convolution import Convolution
from caffepy.proto import caffe_pb2
from tests.pycaffe.nets import DEPLOY, REGRESSION, make, write

STAGES = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 } } }
layer { name: "a" type: "Power" bottom: "x" top: "a" include { stage: "A" } }
layer { name: "b" type: "Power" bottom: "x" top: "b" include { stage: "B" phase: TEST } }
layer { name: "c" type: "Power" bottom: "x" top: "c" include { min_level: 1 } }
layer { name: "d" type: "Power" bottom: "x" top: "d" exclude { stage: "A" } }
"""


def test_names(tmp_path):
    net = make(tmp_path, DEPLOY)
    assert list(net._layer_names) == ["input", "conv", "relu", "ip", "prob"]
    assert list(net.blobs) == list(net._blob_names) == ["data", "conv", "score", "prob"]
    assert (net.inputs, net.outputs) == (["data"], ["prob"])
    assert (list(net._inputs), list(net._outputs)) == ([0], [3])
    assert list(net.params) == ["conv", "ip"]
    assert [[blob.shape for blob in blobs] for blobs in net.params.values()] == [[(4, 3, 3, 3), (4,)], [(5, 96), (5,)]]
    assert list(net.layer_dict) == list(net._layer_names)
    assert [layer.type for layer in net.layers] == ["Input", "Convolution", "ReLU", "InnerProduct", "Softmax"]
    assert net.layer_dict["ip"] is net.layers[3]
    assert [len(layer.blobs) for layer in net.layers] == [0, 2, 0, 2, 0]
    assert dict(net.top_names) == {
        "input": ["data"],
        "conv": ["conv"],
        "relu": ["conv"],
        "ip": ["score"],
        "prob": ["prob"],
    }
    assert net.bottom_names["input"] == []
    assert net.bottom_names["relu"] == ["conv"]
    assert list(net._top_ids(2)) == list(net._bottom_ids(2)) == [1]
    assert list(net._bottom_ids(0)) == []
    for shown in (net.blobs, net.params, net.layer_dict, net.top_names, net.bottom_names, net.blob_loss_weights):
        assert isinstance(shown, OrderedDict)
    assert (net.name, net.phase, repr(net)) == ("small", caffe.TEST, "<Net 'small' TEST, 5 layers>")


def test_splits_have_their_names_too_and_losses_their_weights(tmp_path):
    net = make(tmp_path, REGRESSION)
    assert "y_ip_0_split" in net._layer_names
    assert net.bottom_names["loss"] == ["y_ip_0_split_1", "t"]
    assert net.blob_loss_weights["loss"] == 2
    assert net._blob_loss_weights[-1] == 2
    assert sum(net.blob_loss_weights.values()) == 2
    assert set(net.blob_loss_weights) == set(net.blobs)
    # Inputs in the order of the file, outputs by name.
    assert (net.inputs, net.outputs) == (["x", "t"], ["loss", "z"])


@pytest.mark.parametrize(
    ("arguments", "keywords", "layers"),
    [
        ((caffe.TRAIN,), {}, "d"),
        ((caffe.TEST,), {"stages": ["A"]}, "a"),
        ((caffe.TEST,), {"stages": ["A", "B"], "level": 1}, "abc"),
        ((caffe.TRAIN,), {"stages": ["B"]}, "d"),
        ((caffe.TEST, 1, ["B"]), {}, "bcd"),
        ((), {"phase": caffe.TRAIN, "level": 2, "stages": ()}, "cd"),
    ],
)
def test_phase_level_and_stages(tmp_path, arguments, keywords, layers):
    net = caffe.Net(write(tmp_path, STAGES), *arguments, **keywords)
    assert "".join(name for name in net._layer_names if len(name) == 1 and name != "x") == layers


def test_by_keywords_alone_and_from_a_message(tmp_path):
    param = caffe_pb2.NetParameter(name="m")
    param.layer.add(name="x", type="Input", top=["x"]).input_param.shape.add(dim=[2, 3])
    for net in (caffe.Net(network_file=write(tmp_path, str(param)), phase=caffe.TEST), caffe.Net(param)):
        assert net.name == "m"
        assert net.blobs["x"].shape == (2, 3)


def test_weights_when_it_is_made(tmp_path, caplog):
    net = make(tmp_path, DEPLOY)
    file, weights = str(tmp_path / "net.prototxt"), str(tmp_path / "net.caffemodel")
    net.save(weights)
    with caplog.at_level(logging.WARNING, "caffepy"):
        new = caffe.Net(file, caffe.TEST, weights=weights)
        assert not caplog.records
        old = caffe.Net(file, weights, caffe.TRAIN)
    assert f"Net('{file}', 0, weights='{weights}')" in caplog.text
    for other in (new, old):
        np.testing.assert_array_equal(other.params["conv"][0].data, net.params["conv"][0].data)
    assert (new.phase, old.phase) == (caffe.TEST, caffe.TRAIN)


@pytest.mark.parametrize(
    ("error", "text", "weights", "match"),
    [
        (ParseError, None, None, "none.prototxt"),
        (ParseError, 'layer { nme: "x" }', None, "net.prototxt:1:9: .*nme"),
        (NetError, 'layer { name: "x" type: "Power" bottom: "y" top: "x" }', None, "Unknown bottom blob 'y'"),
        (LayerError, 'layer { name: "x" type: "Python" top: "x" python_param { module: "m" } }', None, "allow_python"),
        (WeightsError, DEPLOY, "none.caffemodel", "none.caffemodel"),
    ],
)
def test_errors_are_runtime_errors(tmp_path, error, text, weights, match):
    file = str(tmp_path / "none.prototxt") if text is None else write(tmp_path, text)
    with pytest.raises(RuntimeError, match=match) as raised:
        caffe.Net(file, caffe.TEST, weights=weights and str(tmp_path / weights))
    assert isinstance(raised.value, error)


def test_what_is_written_into_blobs_is_what_the_net_has(tmp_path, device):
    net = make(tmp_path, DEPLOY, backend=device)
    net.blobs["data"].data[...] = 1
    net.params["conv"][0].data[...] = 0
    net.layers[1].blobs[1].data[...] = np.arange(4)
    bias = net.params["ip"][1].data
    bias[:] = [1, 2, 3, 4, 5]
    net.params["ip"][0].data.flat = 0
    net.forward()
    assert type(net.blobs["conv"].data) is np.ndarray
    assert net.blobs["conv"].data.dtype == np.float32
    np.testing.assert_array_equal(net.blobs["conv"].data[:, :, 0, 0], [[0, 1, 2, 3]] * 2)
    np.testing.assert_array_equal(net.blobs["score"].data, [[1, 2, 3, 4, 5]] * 2)
    # An array that is kept is brought up to date by reading again, and is the same.
    score = net.blobs["score"].data
    net.params["ip"][1].data[...] *= 2
    net.forward()
    assert net.blobs["score"].data is score or np.shares_memory(net.blobs["score"].data, score)
    np.testing.assert_array_equal(score, [[2, 4, 6, 8, 10]] * 2)


def test_blobs_of_old_and_new_shape(tmp_path, device):
    net = make(tmp_path, DEPLOY, backend=device)
    blob = net.blobs["data"]
    assert (blob.num, blob.channels, blob.height, blob.width, blob.count) == (2, 3, 8, 6, 288)
    assert tuple(blob.shape) == blob.data.shape == blob.diff.shape == (2, 3, 8, 6)
    assert (net.params["conv"][1].num, net.params["conv"][1].width) == (4, 1)
    blob.reshape(1, 3, 8, 6)
    blob.data[...] = np.random.rand(1, 3, 8, 6)
    assert net.forward()["prob"].shape == (1, 5)
    blob.reshape(*np.array([3, 3, 8, 6]))
    net.reshape()
    assert [b.shape[0] for b in net.blobs.values()] == [3] * 4
    with pytest.raises(TypeError):
        blob.reshape(num=1)
    with pytest.raises(AttributeError):
        blob.data = np.zeros(3)
    with pytest.raises(KeyError):
        net.blobs["nothing"]


def test_a_blob_outlives_its_net(tmp_path, device):
    net = make(tmp_path, DEPLOY, backend=device)
    net.blobs["data"].data[...] = np.arange(288).reshape(2, 3, 8, 6)
    blob, layer, weights = net.blobs["data"], net.layers[1], net.params["conv"]
    array = net.blobs["data"].data
    del net
    gc.collect()
    assert array.sum() == blob.data.sum() == np.arange(288).sum()
    assert blob.diff.shape == blob.shape
    assert layer.blobs[0].data.any()
    assert weights[0].count == 108


def test_two_nets_are_filled_differently_unless_seeded_alike(tmp_path):
    def filled(**arguments):
        return make(tmp_path, DEPLOY, **arguments).params["conv"][0].data.copy()

    assert (filled() != filled()).any()
    assert (filled(seed=3) == filled(seed=3)).all()
    caffe.set_random_seed(7)
    first, second = filled(), filled()
    assert (first != second).any()
    assert (first == filled(seed=7)).all()
    caffe.set_random_seed(7)
    assert (filled() == first).all()
    assert (filled() == second).all()
    caffe.set_random_seed(8)
    assert (filled() != first).any()


def test_rows_in_memory(tmp_path, device):
    text = """
    layer { name: "m" type: "MemoryData" top: "data" top: "label"
      memory_data_param { batch_size: 2 channels: 1 height: 1 width: 3 } }
    layer { name: "p" type: "Power" bottom: "data" top: "p" power_param { scale: 2 } }
    layer { name: "s" type: "Silence" bottom: "label" }
    """
    net = make(tmp_path, text, backend=device)
    rows = np.arange(12, dtype=np.float32).reshape(4, 1, 1, 3)
    net.set_input_arrays(rows, np.arange(4, dtype=np.float32))
    for begin in (0, 2, 0):
        np.testing.assert_array_equal(net.forward()["p"], 2 * rows[begin : begin + 2])
        np.testing.assert_array_equal(net.blobs["label"].data, [begin, begin + 1])
    for data, labels, match in [
        (rows.astype(float), np.zeros(4, "f4"), "data array must be float32"),
        (rows[:, :, :, :2].copy(), np.zeros(4, "f4"), "data array has wrong width"),
        (rows[:3], np.zeros(3, "f4"), "multiple of batch size"),
        (rows, np.zeros(2, "f4"), "same first dimension"),
        (rows[..., ::-1], np.zeros(4, "f4"), "must be C contiguous"),
    ]:
        with pytest.raises(RuntimeError, match=match):
            net.set_input_arrays(data, labels)
    with pytest.raises(NetError, match="only be called if the first layer is a MemoryDataLayer; it is 'input', Input"):
        make(tmp_path, DEPLOY).set_input_arrays(rows, np.zeros(4, "f4"))


def test_it_closes_once_and_when_it_is_forgotten(tmp_path, monkeypatch):
    closed = []
    monkeypatch.setattr(Convolution, "close", lambda layer: closed.append(layer.name))
    with make(tmp_path, DEPLOY) as net:
        assert not closed
    assert closed == ["conv"]
    net.close()
    del net
    gc.collect()
    assert closed == ["conv"]
    net = make(tmp_path, DEPLOY)
    blob = net.blobs["data"]
    del net
    gc.collect()
    assert closed == ["conv"] * 2
    assert blob.data.shape == (2, 3, 8, 6)
