"""The line of every field, and what it costs."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from caffepy.proto.caffe_pb2 import NetParameter
from caffepy.proto.lines import Lines
from caffepy.proto.text import parse_text

TEXT = """name: "n"
layer {
  name: "a"
  bottom: "x"
  bottom:
    "y"
  convolution_param {
    kernel_size: [3,
      5]
    weight_filler { type: "xavier" }
  }
}

layer { name: "b" }
"""


@pytest.fixture
def lines() -> Lines:
    return parse_text(TEXT, NetParameter(), "models/lenet.prototxt")


def test_line_of_each_field(lines: Lines) -> None:
    layer = lines.at("layer", 0)
    conv = layer.at("convolution_param")
    assert [lines.line, lines.at("name").line, layer.line, layer.at("name").line] == [1, 1, 2, 3]
    assert [layer.at("bottom", 0).line, layer.at("bottom", 1).line] == [4, 5]
    assert [conv.line, conv.at("kernel_size", 0).line, conv.at("kernel_size", 1).line] == [7, 8, 9]
    assert conv.at("weight_filler").at("type").line == 10
    assert lines.at("layer", 1).line == 14


def test_where(lines: Lines) -> None:
    assert lines.at("layer", 1).at("name").where() == "models/lenet.prototxt:14"
    assert repr(lines.at("layer")) == "<Lines models/lenet.prototxt:2>"


def test_absent_field_is_at_its_message(lines: Lines) -> None:
    layer = lines.at("layer", 0)
    assert layer.at("pooling_param").line == 2
    assert layer.at("bottom", 2).line == 2
    assert layer.at("bottom", -1).line == 2
    assert layer.at("no_such_field_anywhere").line == 2
    assert layer.at("name").at("more").line == 3


def test_unknown() -> None:
    assert Lines.unknown().where() == ""
    assert Lines.unknown("w.caffemodel").at("layer", 3).where() == "w.caffemodel"
    assert Lines.unknown("w").replaced(layer=[]).where() == "w"
    assert repr(Lines.unknown()) == "<Lines unknown>"


def test_replaced(lines: Lines) -> None:
    swapped = lines.replaced(layer=[lines.at("layer", 1), lines.at("layer", 0)])
    assert [swapped.at("layer", 0).line, swapped.at("layer", 1).at("bottom", 1).line] == [14, 5]
    assert swapped.at("name").line == 1
    assert swapped.where() == "models/lenet.prototxt:1"
    assert lines.at("layer", 0).line == 2
    assert lines.replaced(layer=[]).at("layer", 0).line == 1


def test_replaced_takes_lines_of_the_same_file_only(lines: Lines) -> None:
    with pytest.raises(ValueError, match=r"other:1 is not of models/lenet\.prototxt"):
        lines.replaced(layer=[parse_text("", NetParameter(), "other")])


def test_many_layers_are_cheap() -> None:
    count = 20_000
    text = 'layer { name: "a" type: "ReLU"\n bottom: "b" top: "b" relu_param { negative_slope: 1 } }\n' * count
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    lines = parse_text(text, NetParameter(), "f")
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    # Six fields of a layer at 12 bytes, two blocks at 8, and spare room of growing arrays; the message is not traced.
    assert used < 200 * count
    assert [lines.at("layer", index).line for index in (count - 1, count, -1)] == [2 * count - 1, 1, 1]
    start = time.perf_counter()
    assert sum(lines.at("layer", i).at("relu_param").line for i in range(count)) == sum(range(2, 2 * count + 2, 2))
    # One look-up that scans all layers takes a millisecond: in a walk over all of them that would be 20 seconds.
    assert time.perf_counter() - start < 5
