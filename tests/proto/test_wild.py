"""Prototxts as people published them: read as protobuf reads them, refused where Caffe refuses them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from google.protobuf import text_format

from caffepy.errors import ParseError
from caffepy.proto.caffe_pb2 import TEST, LayerParameter, NetParameter, SolverParameter
from caffepy.proto.read import parse_net, read_net, read_solver
from caffepy.proto.text import parse_text, to_text

WILD = Path(__file__).resolve().parents[3] / "shared" / "wild"

pytestmark = pytest.mark.skipif(not WILD.exists(), reason=f"the sample of public prototxts is not here: {WILD}")

# Each is refused by Caffe's parser too: fields of forks, templates, values without quotes.
REFUSED = {
    "AmirooR+caffe_video_segmentation__solver.prototxt": r":4:10: .*This is a template",
    "GuanshuoXu+caffe_deep_learning_for_steganalysis__solver.prototxt": r':13:1: .*no field named "use_polyak"',
    "HolmesShuan+ResNet-18-Caffemodel-on-ImageNet__solver.prototxt": r":15:14: Expected identifier, got: 1",
    "MyCaffe+MyCaffe__solver.prototxt": r':9:12: .*Put it in quotes: lr_policy: "poly"',
    "NVIDIA+caffe__solver.prototxt": r":10:1: .*'solver_data_type' is a field of NVIDIA's Caffe",
    "cdoersch+deepcontext__solver_mko.prototxt": r":2:1: .*This is a template",
    "eric612+MnasNet-caffe__solver.prototxt": r':19:1: .*no field named "stagelr"',
    "shangzw12+ssd__solver.prototxt": r":25:1: .*'eval_type' is a field of SSD",
    "yjxiong+caffe__vgg_16_flow_solver.prototxt": r":15:12: Expected integer, got: \[",
}


def files(folder: str) -> list[Path]:
    return sorted((WILD / folder).glob("*.prototxt")) if WILD.exists() else []


@pytest.mark.parametrize("path", files("nets") + files("train"), ids=lambda path: path.name)
def test_net(path: Path) -> None:
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    ours, theirs = NetParameter(), NetParameter()
    parse_text(text, ours, path.name)
    text_format.Parse(path.read_bytes(), theirs)
    assert ours == theirs

    net, lines = read_net(path)
    assert not net.layers
    assert not net.input
    assert len(net.layer) >= len(ours.layer) + len(ours.layers) - sum(
        old.layer.type == "padding" for old in ours.layers
    )
    again, _ = parse_net(to_text(net))
    assert again == net
    starts = [lines.at("layer", index).line for index in range(len(net.layer))]
    source = text.split("\n")
    for index, (layer, line) in enumerate(zip(net.layer, starts, strict=True)):
        if layer.type == "Input" and layer.name == "input" and "input" in source[line - 1]:
            continue
        assert re.search(r"\blayers?\b", source[line - 1]), f"layer {index} is not on line {line}"
    assert starts[1:] == sorted(set(starts[1:])) or text.count("\n") < len(starts)


@pytest.mark.parametrize("path", files("solvers"), ids=lambda path: path.name)
def test_solver(path: Path) -> None:
    if path.name in REFUSED:
        with pytest.raises(ParseError, match="^" + re.escape(str(path)) + REFUSED[path.name]):
            read_solver(path)
        return
    solver, lines = read_solver(path)
    assert solver.snapshot_prefix
    assert not solver.HasField("solver_type")
    assert lines.at("base_lr").line > 0
    again = SolverParameter()
    parse_text(to_text(solver), again, "f")
    assert again == solver


def test_all_are_read() -> None:
    assert (len(files("nets")), len(files("train")), len(files("solvers"))) == (80, 56, 59)
    assert {path.name for path in files("solvers")} >= set(REFUSED)


def exists_in_test(layer: LayerParameter) -> bool:
    """Whether a net in phase TEST, level 0, without stages has the layer."""
    if layer.include:
        return any(
            (not rule.HasField("phase") or rule.phase == TEST)
            and not rule.stage
            and (not rule.HasField("min_level") or rule.min_level <= 0)
            for rule in layer.include
        )
    return not any(rule.phase == TEST and rule.HasField("phase") for rule in layer.exclude)


@pytest.mark.parametrize("path", files("nets"), ids=lambda path: path.name)
def test_upgraded_net_is_caffes(path: Path) -> None:
    shapes = json.loads((WILD / "shapes.json").read_text())[path.name]
    net, _ = read_net(path)
    layers = [layer for layer in net.layer if exists_in_test(layer)]
    tops = {top for layer in layers for top in layer.top}
    blobs = {name for name in shapes["blobs"] if not re.search(r"_split_\d+$", name)}
    assert blobs == tops
    inputs = {
        top: list(layer.input_param.shape[min(index, len(layer.input_param.shape) - 1)].dim)
        for layer in layers
        if layer.type == "Input"
        for index, top in enumerate(layer.top)
    }
    assert {name: shapes["blobs"][name] for name in inputs} == inputs
    assert set(shapes["params"]) <= {layer.name for layer in layers}
