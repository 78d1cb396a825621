"""Nets written in Python, and the coordinates of their layers."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from caffepy.coord_map import AxisMismatchException, CropError, UndefinedMapException, coord_map_from_to, crop
from caffepy.net_spec import Function, Layers, assign_proto, param_name_dict
from google.protobuf import text_format

import caffepy as caffe
from caffepy import layers as L
from caffepy import params as P
from caffepy.errors import CaffepyError, NetError, ParseError
from caffepy.proto import caffe_pb2


def text(message):
    return " ".join(str(message).split())


def lenet():
    n = caffe.NetSpec()
    n.data, n.label = L.Data(
        batch_size=64, backend=P.Data.LMDB, source="train", transform_param={"scale": 1.0 / 255}, ntop=2
    )
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, weight_filler={"type": "xavier"})
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.ip1 = L.InnerProduct(n.pool1, num_output=10, param=[{"lr_mult": 1}, {"lr_mult": 2}])
    n.relu1 = L.ReLU(n.ip1, in_place=True)
    n.loss = L.SoftmaxWithLoss(n.relu1, n.label)
    return n


def test_a_net():
    assert text(lenet().to_proto()) == text(
        text_format.Parse(
            """
            layer { name: "data" type: "Data" top: "data" top: "label" transform_param { scale: 0.003921568627 }
              data_param { source: "train" batch_size: 64 backend: LMDB } }
            layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
              convolution_param { num_output: 20 kernel_size: 5 weight_filler { type: "xavier" } } }
            layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
              pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
            layer { name: "ip1" type: "InnerProduct" bottom: "pool1" top: "ip1"
              param { lr_mult: 1 } param { lr_mult: 2 } inner_product_param { num_output: 10 } }
            layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
            layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip1" bottom: "label" top: "loss" }
            """,
            caffe_pb2.NetParameter(),
        )
    )


def test_a_net_that_is_built(tmp_path):
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [2, 1, 8, 8]})
    n.conv = L.Convolution(n.data, num_output=3, kernel_size=3, name="other")
    n.silent = L.Silence(n.conv, ntop=0)
    (tmp_path / "net.prototxt").write_text(str(n.to_proto()))
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    assert list(net._layer_names) == ["data", "other", "silent"]
    assert net.forward(["conv"])["conv"].shape == (2, 3, 6, 6)


def test_what_is_not_named_gets_a_name():
    data = L.DummyData(shape=[{"dim": [2, 3]}] * 2, ntop=2)
    once = L.ReLU(data[0])
    loss = L.EuclideanLoss(L.Sigmoid(L.ReLU(once, in_place=True)), data[1])
    silent = L.Silence(once, ntop=0)
    assert isinstance(silent, Function)
    assert [(layer.name, list(layer.bottom), list(layer.top)) for layer in caffe.to_proto(loss, silent).layer] == [
        ("DummyData1", [], ["DummyData1", "DummyData2"]),
        ("ReLU1", ["DummyData1"], ["ReLU1"]),
        ("ReLU2", ["ReLU1"], ["ReLU1"]),
        ("Sigmoid1", ["ReLU1"], ["Sigmoid1"]),
        ("EuclideanLoss1", ["Sigmoid1", "DummyData2"], ["EuclideanLoss1"]),
        ("Silence1", ["ReLU1"], []),
    ]
    assert [layer.name for layer in loss.to_proto().layer][-1] == "EuclideanLoss1"
    n = caffe.NetSpec()
    n.loss = loss
    assert [layer.name for layer in n.to_proto().layer][:2] == ["DummyData1", "ReLU1"]
    assert n.to_proto().layer[-1].name == "loss"


def test_layers_come_in_the_order_of_what_is_assigned_and_once():
    n = caffe.NetSpec()
    n.a = L.Input()
    n.b = L.Power(n.a)
    n["c/d"] = L.Eltwise(n.b, n.b, L.Power(n.a))
    assert [layer.name for layer in n.to_proto().layer] == ["a", "b", "Power1", "c/d"]
    assert n["c/d"] is n.tops["c/d"]
    del n["c/d"]
    assert "c/d" not in n
    assert "b" in n
    del n.b
    assert list(n.tops) == ["a"]


def test_a_deep_net():
    top = L.Input()
    for _ in range(3000):
        top = L.Power(top)
    assert len(top.to_proto().layer) == 3001


def test_where_settings_go():
    conv = L.Convolution(
        kernel_size=[3, 5], name="c", loss_weight=2, include={"phase": caffe.TRAIN}, propagate_down=[True, False],
        weight_filler={"type": "constant", "value": 1.5}, bias_term=False, param={"name": "w"},
    ).to_proto().layer[0]  # fmt: skip
    assert text(conv) == (
        'name: "c" type: "Convolution" top: "Convolution1" loss_weight: 2 param { name: "w" } include { phase: TRAIN } '
        "propagate_down: true propagate_down: false convolution_param { bias_term: false kernel_size: 3 kernel_size: 5 "
        'weight_filler { type: "constant" value: 1.5 } }'
    )
    deconv = L.Deconvolution(convolution_param={"num_output": 3, "kernel_size": 4}).to_proto().layer[0]
    assert deconv.convolution_param.num_output == 3
    empty = L.Convolution(weight_filler={}, kernel_size=[]).to_proto().layer[0].convolution_param
    assert empty.HasField("weight_filler")
    names = param_name_dict()
    assert (names["InnerProduct"], names["HDF5Data"], names["LRN"]) == ("inner_product", "hdf5_data", "lrn")
    datum = caffe_pb2.BlobProto()
    assign_proto(datum, "data", (1, 2))
    assign_proto(datum, "shape", {"dim": 2})
    assert list(datum.data) == [1, 2]
    assert datum.shape.dim == [2]


def test_what_is_refused():
    two = L.DummyData(ntop=2)
    with pytest.raises(TypeError, match=r"^Silence input 0 is not a Top \(type is <class 'tuple'>\)$") as raised:
        L.Silence(two, ntop=0)
    assert isinstance(raised.value, CaffepyError)
    n = caffe.NetSpec()
    n.both = two
    with pytest.raises(TypeError, match=r"'both' is not a Top \(type is <class 'tuple'>\); with ntop=2"):
        n.to_proto()
    n = lenet()
    for error in (AttributeError, KeyError, NetError):
        with pytest.raises(error, match=r"The net has no top 'conv'. Did you mean 'conv1'\?"):
            n.conv  # noqa: B018
    assert not hasattr(n, "nothing")
    assert list(copy.copy(n).tops) == list(n.tops)
    n.c = L.Convolution(num_ouput=3)
    with pytest.raises(ParseError, match=r"layer 'c' \(Convolution\): LayerParameter has no field named 'num_ouput'"):
        n.to_proto()
    with pytest.raises(TypeError, match=r"layer 'Convolution1' \(Convolution\), num_output='x': "):
        L.Convolution(num_output="x").to_proto()
    with pytest.raises(AttributeError, match=r"no settings are named 'Poling'. Did you mean 'Pooling'\?"):
        P.Poling  # noqa: B018
    with pytest.raises(AttributeError, match="MEDIAN"):
        P.Pooling.MEDIAN  # noqa: B018
    assert not hasattr(Layers(), "__len__")
    assert not hasattr(P, "__len__")


# Coordinates


def test_maps_of_single_layers():
    data = L.Input()
    for top, scale, shift in [
        (L.Convolution(data, kernel_size=5, pad=2), 1, 0),
        (L.Convolution(data, kernel_size=3, stride=2), 0.5, -0.5),
        (L.Convolution(data, kernel_size=3, dilation=2, pad=1), 1, -1),
        (L.Pooling(data, kernel_size=2, stride=2), 0.5, -0.25),
        (L.Pooling(data, pooling_param={"kernel_size": 2, "stride": 2}), 0.5, -0.25),
        (L.Im2col(data, convolution_param={"kernel_size": 1, "stride": 4}), 0.25, 0),
        (L.Deconvolution(data, convolution_param={"kernel_size": 4, "stride": 2, "pad": 1}), 2, 0.5),
        (L.Crop(data, L.Input(), axis=2, offset=3), 1, -3),
    ]:
        axis, got_scale, got_shift = coord_map_from_to(data, top)
        assert (axis, got_scale, got_shift) == (1, scale, shift), top.fn.type_name
        back = coord_map_from_to(top, data)
        assert (back[1], back[2]) == (1 / scale, -shift / scale)
    assert coord_map_from_to(data, L.ReLU(L.Dropout(data))) == (None, 1, 0)


@pytest.mark.parametrize("input_size", [17, 20])
def test_a_crop_lays_the_output_upon_the_input(tmp_path, input_size):
    """Each pixel of the cropped output must come from the input's pixel at the same place."""
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [1, 1, input_size, input_size]})
    one = {"weight_filler": {"type": "constant", "value": 0}, "bias_term": False}
    n.conv = L.Convolution(n.data, num_output=1, kernel_size=3, pad=6, **one)
    n.pool = L.Pooling(n.conv, kernel_size=2, stride=2, pool=P.Pooling.AVE)
    bilinear = {"num_output": 1, "kernel_size": 4, "bias_term": False, "weight_filler": {"type": "bilinear"}}
    n.up = L.Deconvolution(n.pool, convolution_param={"stride": 2, **bilinear})
    n.score = crop(n.up, n.data)
    net = caffe.Net(n.to_proto(), caffe.TEST)
    net.params["conv"][0].data[0, 0, 1, 1] = 1
    ramp = np.arange(input_size, dtype=np.float32)
    net.blobs["data"].data[...] = ramp[:, None] + 100 * ramp
    score = net.forward()["score"]
    assert score.shape == (1, 1, input_size, input_size)
    inner = slice(3, -3)
    np.testing.assert_allclose(score[0, 0, inner, inner], net.blobs["data"].data[0, 0, inner, inner], rtol=1e-4)


def test_maps_go_by_common_tops():
    data = L.Input()
    left = L.Pooling(L.Convolution(data, kernel_size=3, pad=1), kernel_size=2, stride=2)
    right = L.Convolution(L.ReLU(data), kernel_size=1, stride=2)
    axis, scale, shift = coord_map_from_to(left, right)
    assert (axis, scale, shift) == (1, 1, 0.25)
    # Neither the size of a Crop nor what a layer without a map reads is on the way.
    with pytest.raises(RuntimeError, match="Could not compute map between tops"):
        coord_map_from_to(L.InnerProduct(data), data)
    other = L.Input()
    with pytest.raises(RuntimeError, match="connected by spatial layers"):
        coord_map_from_to(L.Crop(other, data), data)
    assert coord_map_from_to(data, L.Eltwise(L.InnerProduct(data), data)) == (None, 1, 0)


def test_what_cannot_be_cropped():
    data = L.Input()
    assert crop(L.ReLU(data), data).fn.params == {"crop_param": {"axis": 2, "offset": [0]}}
    larger = L.Convolution(data, kernel_size=3, pad=4)
    assert crop(larger, data).fn.params == {"crop_param": {"axis": 2, "offset": [3]}}
    for top, match in [
        (L.Pooling(data, kernel_size=2, stride=2), r"scale mismatch on crop \(a = \[2\.\]\)"),
        (L.Convolution(data, kernel_size=3), r"cannot crop negative offset \(b = \[1\.\]\)"),
        (L.Convolution(data, kernel_size=2, pad=1), r"cannot crop noninteger offset \(b = \[-0\.5\]\)"),
        (L.Convolution(data, kernel_h=3, kernel_w=3), "not support legacy _h/_w params; got kernel_h, kernel_w"),
        (L.Convolution(data, num_output=3), "kernel_size is not given"),
    ]:  # fmt: skip
        with pytest.raises(AssertionError, match=match) as raised:
            crop(top, data)
        assert isinstance(raised.value, CropError)
    with pytest.raises(AxisMismatchException, match="axis 2 does not fit one of axis 1"):
        crop(L.Convolution(L.Convolution(data, kernel_size=1), kernel_size=1, axis=2), data)
    with pytest.raises(UndefinedMapException, match="what a InnerProduct layer makes"):
        caffe.coord_map.coord_map(L.InnerProduct(data).fn)
    rectangle = L.Convolution(data, kernel_size=[3, 5], pad=[1, 4])
    assert crop(rectangle, data).fn.params == {"crop_param": {"axis": 2, "offset": [0, 2]}}
