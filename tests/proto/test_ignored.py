"""The table of ignored fields names fields that exist, all engines among them, and is found in nets and solvers."""

from __future__ import annotations

import re

from caffepy.proto import caffe_pb2
from caffepy.proto.ignored import IGNORED, ignored_fields, ignored_note, ignored_why
from caffepy.proto.lines import Lines
from caffepy.proto.read import parse_net, parse_solver

NET = """layer { name: "d" type: "Data" data_param { scale: 2 } }
layer { name: "c" type: "Convolution"
  convolution_param {
    engine: CAFFE
    force_nd_im2col: true } }
layer { name: "r" type: "ReLU" relu_param {
    engine: CUDNN } }
layer { name: "c2" type: "Convolution" convolution_param { engine: DEFAULT } }
layer { name: "p" type: "Python" python_param { share_in_parallel: true } }
"""


def test_every_key_is_a_field() -> None:
    messages = caffe_pb2.DESCRIPTOR.message_types_by_name
    for key, reason in IGNORED.items():
        message, _, field = key.partition(".")
        assert field in messages[message].fields_by_name, key
        assert reason


def test_every_engine_is_ignored() -> None:
    messages = caffe_pb2.DESCRIPTOR.message_types_by_name
    engines = {f"{name}.engine" for name, message in messages.items() if "engine" in message.fields_by_name}
    assert len(engines) == 8
    assert engines <= set(IGNORED)


def test_found_with_lines() -> None:
    assert ignored_fields(*parse_net(NET, "n")) == {
        "ConvolutionParameter.engine": ["n:4", "n:8"],
        "ConvolutionParameter.force_nd_im2col": ["n:5"],
        "DataParameter.scale": ["n:1"],
        "PythonParameter.share_in_parallel": ["n:9"],
        "ReLUParameter.engine": ["n:7"],
    }


def test_what_one_layer_alone_ignores_is_said_of_that_layer() -> None:
    block = "convolution_param { num_output: 2 weight_filler { std: 1 }\n engine: CAFFE }"
    net, lines = parse_net("".join(f'layer {{ type: "{kind}" {block} }}\n' for kind in ("Im2col", "Convolution")), "n")
    assert ignored_fields(net, lines) == {
        "ConvolutionParameter.engine": ["n:2", "n:4"],
        "ConvolutionParameter.num_output in Im2col": ["n:1"],
        "ConvolutionParameter.weight_filler in Im2col": ["n:1"],
    }
    assert "ConvolutionParameter.num_output in Im2col (n:1): it lays windows out" in ignored_note(net, lines)
    assert ignored_why("ConvolutionParameter.num_output", "Convolution") == ""
    net, lines = parse_net('layer { type: "WindowData" transform_param { scale: 2 crop_size: 3 } }', "n")
    assert list(ignored_fields(net, lines)) == ["TransformationParameter.scale in WindowData"]


def test_note_is_one_line() -> None:
    note = ignored_note(*parse_net(NET, "n"))
    assert re.match(r"Without effect here: ConvolutionParameter\.engine \(n:4 and 1 more\): the backend", note)
    assert "\n" not in note
    assert ignored_note(*parse_net("layer { relu_param { negative_slope: 1 } }")) == ""


def test_note_without_lines() -> None:
    net, _ = parse_net(NET)
    assert "ConvolutionParameter.engine and 1 more: " in ignored_note(net, Lines.unknown())


def test_solver() -> None:
    text = (
        "solver_mode: GPU device_id: 3\nlayer_wise_reduce: false\nnet_param { layer { lrn_param {\nengine: CAFFE } } }"
    )
    assert ignored_fields(*parse_solver(text, "s")) == {
        "LRNParameter.engine": ["s:4"],
        "SolverParameter.device_id": ["s:1"],
        "SolverParameter.layer_wise_reduce": ["s:2"],
        "SolverParameter.solver_mode": ["s:1"],
    }


def test_transform_of_old_layers_acts() -> None:
    net, lines = parse_net('layers { name: "d" type: DATA data_param { scale: 2 mirror: true } }')
    assert ignored_fields(net, lines) == {}
    assert net.layer[0].transform_param.scale == 2
