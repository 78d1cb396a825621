"""What a picture of a net shows."""

from __future__ import annotations

from pathlib import Path

import pytest

import caffepy as caffe
from caffepy.drawing.graph import KINDS, blob_shapes, kind, net_graph, settings
from caffepy.errors import NetError
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net, read_net

MODELS = Path(__file__).parents[2] / "models"

NET = """
name: "n"
layer { name: "data" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 9 } } }
layer { name: "fork" type: "Split" bottom: "x" top: "a" top: "b" }
layer { name: "conv" type: "Convolution" bottom: "a" top: "c" param { lr_mult: 2 }
  convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }
layer { name: "drop" type: "Dropout" bottom: "c" top: "c" include { phase: TRAIN } }
layer { name: "pool" type: "Pooling" bottom: "b" top: "p" pooling_param { kernel_size: 3 } }
layer { name: "sum" type: "Eltwise" bottom: "c" bottom: "p" bottom: "c" top: "s" exclude { phase: TEST } }
"""


def graph(text=NET, **arguments):
    return net_graph(parse_net(text)[0], **arguments)


def names(made):
    return [[row.text for row in box.rows] for box in made.boxes]


def test_boxes_and_edges():
    made = graph()
    assert made.name == "n"
    assert names(made) == [
        ["data", "Input"],
        ["fork", "Split"],
        ["conv", "Convolution 4, 3x3", "relu: ReLU", "drop: Dropout 0.5"],
        ["pool", "MAX pooling 3x3"],
        ["sum", "Eltwise SUM"],
    ]
    assert [(edge.source, edge.target, edge.blob, edge.label) for edge in made.edges] == [
        (0, 1, "x", ""), (1, 2, "a", ""), (1, 3, "b", ""), (2, 4, "c", ""), (3, 4, "p", ""),
    ]  # fmt: skip
    assert [row.strong for row in made.boxes[2].rows] == [True, False, False, False]
    assert [row.kind for row in made.boxes[2].rows] == ["convolution"] * 2 + ["activation"] * 2


def test_one_phase():
    assert names(graph(phase=caffe.TEST))[2:] == [
        ["conv", "Convolution 4, 3x3", "relu: ReLU"],
        ["pool", "MAX pooling 3x3"],
    ]
    assert len(graph(phase=caffe.TRAIN).boxes) == 5
    both = NET.replace("exclude { phase: TEST }", "exclude { phase: TEST } include { phase: TRAIN }")
    with pytest.raises(NetError, match="either include rules or exclude rules"):
        graph(both, phase=caffe.TRAIN)


def test_layers_of_two_phases_make_a_blob():
    text = """
layer { name: "train" type: "DummyData" top: "x" top: "y" include { phase: TRAIN } }
layer { name: "test" type: "DummyData" top: "x" top: "y" include { phase: TEST } }
layer { name: "relu" type: "ReLU" bottom: "x" top: "x" }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 2 } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "y" top: "a" include { phase: TEST } }
"""
    made = graph(text)
    assert [box[0] for box in names(made)] == ["train", "test", "relu", "ip", "accuracy"]
    assert [(edge.source, edge.target, edge.blob) for edge in made.edges] == [
        (0, 2, "x"), (1, 2, "x"), (2, 3, "x"), (3, 4, "ip"), (1, 4, "y"),
    ]  # fmt: skip
    assert names(graph(text, phase=caffe.TEST))[0] == ["test", "DummyData", "relu: ReLU"]


def test_shapes_and_rates():
    shapes = blob_shapes(parse_net(NET)[0])
    assert shapes["c"] == (2, 4, 7, 7)
    made = graph(shapes={**shapes, "p": (5,)}, display_lrm=True)
    assert [edge.label for edge in made.edges] == ["3x9x9", "3x9x9", "3x9x9", "4x7x7", ""]
    assert made.boxes[2].rows[2].text == "lr mult: 2, 1"


def test_shapes_that_cannot_be_known():
    text = 'layer { name: "d" type: "Data" top: "x" data_param { source: "nowhere" batch_size: 5 } %s }'
    assert blob_shapes(parse_net(text % "")[0]) == {}
    assert blob_shapes(parse_net(text % "transform_param { crop_size: 7 }")[0])["x"] == (5, 3, 7, 7)
    python = 'layer { type: "Python" top: "x" python_param { module: "nowhere" layer: "X" } }'
    assert blob_shapes(parse_net(python)[0]) == {}


def test_old_formats_and_inputs():
    old = caffe_pb2.NetParameter(input=["x"], input_dim=[1, 3, 4, 4])
    old.layers.add(name="r", type=caffe_pb2.V1LayerParameter.TANH, bottom=["x"], top=["y"])
    made = net_graph(old)
    assert names(made) == [["input", "Input"], ["r", "TanH"]]
    assert len(made.edges) == 1
    assert old.layers
    assert names(net_graph(caffe_pb2.NetParameter())) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('type: "Convolution" convolution_param { num_output: 8 kernel_size: 7 stride: 2 pad: 3 group: 2 }',
         "Convolution 8, 7x7/2, pad 3, group 2"),
        ('type: "Convolution" convolution_param { num_output: 8 kernel_h: 1 kernel_w: 5 stride_h: 1 stride_w: 2 '
         'pad_w: 2 }',
         "Convolution 8, 1x5/1x2, pad 0x2"),
        ('type: "Deconvolution" convolution_param { num_output: 8 kernel_size: 4 kernel_size: 6 stride: 2 }',
         "Deconvolution 8, 4x6/2"),
        ('type: "Pooling" pooling_param { pool: AVE global_pooling: true }', "AVE pooling, global"),
        ('type: "Pooling" pooling_param { pool: AVE kernel_h: 2 kernel_w: 3 pad_h: 1 pad_w: 0 '
         'stride_h: 2 stride_w: 2 }',
         "AVE pooling 2x3/2x2, pad 1x0"),
        ('type: "InnerProduct" inner_product_param { num_output: 10 }', "InnerProduct 10"),
        ('type: "Eltwise" eltwise_param { operation: MAX }', "Eltwise MAX"),
        ('type: "Python" python_param { module: "m" layer: "L" }', "Python m.L"),
        ('type: "LRN"', "LRN"),
    ],
)  # fmt: skip
def test_what_a_layer_is_known_by(text, said):
    assert settings(parse_net(f"layer {{ {text} }}")[0].layer[0]) == said


def test_every_type_has_a_kind():
    kinds = {name: kind(name) for name in caffe.layer_type_list()}
    assert set(kinds.values()) <= set(KINDS)
    # What is left over: neither data nor any of the kinds that a picture tells apart.
    assert {name for name, sort in kinds.items() if sort == "other" and name in BUILT_IN} == {
        "BatchReindex", "HDF5Output", "LSTMUnit", "Python", "Reduction", "Silence",
    }  # fmt: skip
    assert (kinds["ImageData"], kinds["Input"], kinds["HingeLoss"], kinds["Accuracy"]) == (
        "data",
        "data",
        "loss",
        "loss",
    )
    assert len({*KINDS.values()}) == len(KINDS)


BUILT_IN = {path.stem.replace("_", "") for path in (MODELS.parent / "caffepy" / "layers").glob("*.py")}
BUILT_IN = {name for name in caffe.layer_type_list() if name.lower() in BUILT_IN}


def test_googlenet():
    made = net_graph(read_net(str(MODELS / "googlenet" / "train_val.prototxt"))[0], phase=caffe.TRAIN)
    assert sum(len(box.rows) - 2 for box in made.boxes) == 64
    assert len(made.boxes) == 95
