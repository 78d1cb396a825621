"""Files of older Caffes, text and binary, written anew: today's form, the same net, and nothing half-written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from caffepy.errors import ParseError, WeightsError
from caffepy.proto.caffe_pb2 import NetParameter, SolverParameter, V1LayerParameter
from caffepy.proto.read import parse_net, read_net, read_text
from caffepy.proto.text import parse_text
from caffepy.proto.upgrade import net_is_old
from caffepy.proto.upgrade_file import upgrade_net_file, upgrade_solver_file
from tests.proto.test_wild import files

V1 = """name: "old"  # a comment
input: "data" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 9
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: 1 blobs_lr: 2
  convolution_param { num_output: 4 kernel_size: 3 } }
layers { name: "loss" type: SOFTMAX_LOSS bottom: "conv" bottom: "label" }
"""
V0 = """name: "older"
input: "data" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 9
layers { layer { name: "pad" type: "padding" pad: 2 } bottom: "data" top: "pad" }
layers { layer { name: "conv" type: "conv" num_output: 4 kernelsize: 3 } bottom: "pad" top: "conv" }
"""
TODAY = 'layer { name: "a" type: "ReLU" bottom: "x" top: "x" }\n'


def parsed(text: str) -> NetParameter:
    """A net as it is written, not upgraded."""
    net = NetParameter()
    parse_text(text, net, "f")
    return net


@pytest.mark.parametrize(
    ("text", "old"),
    [
        (V1, True),
        (V0, True),
        ('layer { name: "n" type: "BatchNorm" param { } param { } param { } }', True),
        ('input: "a" input_shape { dim: 5 }', True),
        (TODAY, False),
        ('layer { name: "n" type: "BatchNorm" param { } }', False),
    ],
)
def test_text(tmp_path, text, old):
    (tmp_path / "in").write_text(text)
    assert upgrade_net_file(tmp_path / "in", tmp_path / "out") is old
    written = parsed((tmp_path / "out").read_text())
    assert written == parse_net(text)[0]
    assert not written.layers
    assert not written.input
    assert upgrade_net_file(tmp_path / "out", tmp_path / "again") is False
    assert (tmp_path / "again").read_bytes() == (tmp_path / "out").read_bytes()
    assert (tmp_path / "in").read_text() == text


@pytest.mark.parametrize("text", [V1, V0, TODAY], ids=["V1", "V0", "today"])
def test_weights(tmp_path, text):
    net = parsed(text)
    layer = net.layer[0] if net.layer else net.layers[1].layer if text == V0 else net.layers[0]
    blob = layer.blobs.add(num=4, channels=3, height=3, width=3, data=[0.1 * i for i in range(108)])
    layer.blobs.add(double_data=[0.1, 0.2]).shape.dim.append(2)
    (tmp_path / "in").write_bytes(net.SerializeToString())
    assert upgrade_net_file(tmp_path / "in", tmp_path / "out") is (text != TODAY)
    written = NetParameter.FromString((tmp_path / "out").read_bytes())
    assert not written.layers
    assert not written.input
    got = written.layer[0 if text == TODAY else 1]
    assert (got.name, got.type) == (("a", "ReLU") if text == TODAY else ("conv", "Convolution"))
    assert got.blobs[0] == blob
    assert list(got.blobs[1].double_data) == [0.1, 0.2]
    got.ClearField("blobs")
    assert written == parse_net(text)[0]


@pytest.mark.parametrize("path", files("nets") + files("train"), ids=lambda path: path.name)
def test_published_nets(tmp_path, path):
    old = upgrade_net_file(path, tmp_path / "out")
    written = read_text(tmp_path / "out", "net")
    assert parsed(written) == read_net(path)[0]
    assert not net_is_old(parsed(written))
    source = parsed(path.read_bytes().decode("utf-8", "surrogateescape"))
    three = [layer.param for layer in source.layer if layer.type == "BatchNorm" and len(layer.param) == 3]
    norms = [specs for specs in three if any(spec.lr_mult or spec.decay_mult for spec in specs)]
    assert old is bool(source.layers or source.input or norms)


def test_a_file_may_be_written_over_itself(tmp_path):
    path = tmp_path / "net"
    path.write_text(V1)
    assert upgrade_net_file(path, path)
    assert parsed(path.read_text()) == parse_net(V1)[0]
    assert [entry.name for entry in tmp_path.iterdir()] == ["net"]


def test_names_in_any_alphabet_survive(tmp_path):
    (tmp_path / "in").write_text('layers { name: "卷积 \\"ü\\"" type: RELU }', encoding="utf-8")
    upgrade_net_file(tmp_path / "in", tmp_path / "out")
    assert read_net(tmp_path / "out")[0].layer[0].name == '卷积 "ü"'


def test_settings_of_forks_in_old_weights_are_named(tmp_path, caplog):
    # Field 900, and the type 77, which V1's enum does not have.
    strange = b"\xa2\x38\x01x"
    layers = (
        V1LayerParameter(name="odd").SerializeToString() + b"\x28\x4d",
        V1LayerParameter(name="plain", type=V1LayerParameter.RELU).SerializeToString(),
    )
    data = b"".join(b"\x12" + bytes([len(one)]) + one for one in (layers[0] + strange, layers[1]))
    (tmp_path / "in").write_bytes(data)
    upgrade_net_file(tmp_path / "in", tmp_path / "out")
    assert any(
        message.endswith(
            "1 layers, the first of them 'odd', have fields that Caffe 1.0 does not know; they are dropped"
        )
        for message in caplog.messages
    )
    caplog.clear()
    (tmp_path / "in").write_bytes(b"\x12" + bytes([len(layers[1])]) + layers[1])
    upgrade_net_file(tmp_path / "in", tmp_path / "out")
    assert not [message for message in caplog.messages if "does not know" in message]


@pytest.mark.parametrize(
    ("data", "error", "match"),
    [
        (b'layers {\n type: CONV }', ParseError, r'^IN:2:8: .*CONV'),
        (b'layer { }\nlayers { }', ParseError, r"^IN:1: a net is written either in 'layer' or in 'layers'"),
        (b"<!DOCTYPE html><html>", ParseError, "IN: expected the text of a net .*HTML page"),
        (b"", ParseError, "IN: expected the text of a net .*empty"),
        (b"\x12\xff\xff\x03\x01", WeightsError, "IN: Failed to parse NetParameter file: it is cut off or damaged"),
        (b"\x1f\x8b\x08\x00", WeightsError, "IN: expected a binary NetParameter, but the file is compressed with gzip"),
        (None, ParseError, r"Could not open file IN \(File not found\)"),
    ],
)  # fmt: skip
def test_what_is_no_net_is_refused_and_nothing_is_written(tmp_path, monkeypatch, data, error, match):
    monkeypatch.chdir(tmp_path)
    if data is not None:
        Path("IN").write_bytes(data)
    Path("OUT").write_text("before")
    with pytest.raises(error, match=match):
        upgrade_net_file("IN", "OUT")
    assert Path("OUT").read_text() == "before"
    assert {entry.name for entry in tmp_path.iterdir()} <= {"IN", "OUT"}


@pytest.mark.parametrize(("name", "error"), [("text", ParseError), ("binary", WeightsError)])
def test_what_cannot_be_written(tmp_path, name, error):
    source = tmp_path / name
    source.write_bytes(TODAY.encode() if name == "text" else parsed(TODAY).SerializeToString())
    target = tmp_path / "none" / "out"
    with pytest.raises(error, match=rf"^{re.escape(str(target))}: not written: No such file or directory\."):
        upgrade_net_file(source, target)
    with pytest.raises(error, match=rf"^{re.escape(str(tmp_path))}: not written: Is a directory\."):
        upgrade_net_file(source, tmp_path)


@pytest.mark.parametrize(
    ("text", "wanted", "old"),
    [
        ("base_lr: 0.1 # rate\nsolver_type: ADAGRAD", 'base_lr: 0.1 type: "AdaGrad"', True),
        ('base_lr: 0.1 type: "Adam"', 'base_lr: 0.1 type: "Adam"', False),
        (f"net_param {{ {V1.split('#')[0]} }}", 'net_param { name: "old" }', False),
        (
            'test_net_param { layers { name: "r" type: RELU } }',
            'test_net_param { layer { name: "r" type: "ReLU" } }',
            True,
        ),
        (
            'train_net_param { input: "a" input_shape { dim: 3 } }',
            'train_net_param { layer { name: "input" type: "Input" top: "a" input_param { shape { dim: 3 } } } }',
            True,
        ),
    ],
)
def test_solver(tmp_path, text, wanted, old):
    (tmp_path / "in").write_text(text)
    assert upgrade_solver_file(tmp_path / "in", tmp_path / "out") is old
    written, expected = SolverParameter(), SolverParameter()
    parse_text((tmp_path / "out").read_text(), written, "f")
    parse_text(wanted, expected, "f")
    # In particular no snapshot_prefix, which reading for a run sets.
    assert written == expected
    assert upgrade_solver_file(tmp_path / "out", tmp_path / "out") is False


def test_solver_refused(tmp_path):
    (tmp_path / "in").write_text('type: "SGD"\nsolver_type: SGD')
    with pytest.raises(
        ParseError, match=r"in:2: Failed to upgrade solver: old solver_type field \(enum\) and new type"
    ):
        upgrade_solver_file(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
