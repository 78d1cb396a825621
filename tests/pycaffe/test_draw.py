"""caffe.draw: pictures as files, and what pycaffe's functions say of layers."""

from __future__ import annotations

import io
import re
import sys
import types
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

import caffepy as caffe
from caffepy.drawing.graph import KINDS
from caffepy.errors import CaffepyError, NetError
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net
from tests.pycaffe.nets import DEPLOY

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def net():
    made, _ = parse_net(DEPLOY.replace('name: "ip"', 'name: "i<p&\\""'))
    made.layer.add(name="acc", type="Accuracy", bottom=["prob"], top=["acc"]).include.add(phase="TRAIN")
    return made


def test_svg(net):
    root = ElementTree.fromstring(caffe.draw.draw_net(net, "TB", "svg"))
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert texts[:2] == ["input", "Input"]
    assert {"conv", "Convolution 4, 3x3", "relu: ReLU", 'i<p&"', "InnerProduct 5"} <= set(texts)
    # Shapes; the Accuracy layer, which the TEST net has not, is shown as well.
    assert {"3x8x6", "4x6x4", "5"} <= set(texts)
    assert "acc" in texts
    paths = [element.get("d") for element in root.iter(f"{SVG}path") if element.get("marker-end")]
    assert len(paths) == 4
    assert all(
        re.fullmatch(r"M[\d.]+,[\d.]+(C[\d.]+,[\d.]+( [\d.]+,[\d.]+){2}|L[\d.]+,[\d.]+)+", path) for path in paths
    )
    fills = [element.get("fill") for element in root.iter(f"{SVG}rect")]
    assert {KINDS["convolution"], KINDS["activation"], KINDS["product"], KINDS["data"]} <= set(fills)
    width, height = (float(root.get(what)) for what in ("width", "height"))
    assert 0 < width < height


def test_png(net):
    image = np.asarray(Image.open(io.BytesIO(caffe.draw.draw_net(net, "TB"))).convert("RGB"))
    counts = {
        sort: (image == [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).all(2).sum() for sort, colour in KINDS.items()
    }
    assert {sort for sort, count in counts.items() if count > 200} == {
        "data",
        "convolution",
        "activation",
        "product",
        "loss",
    }
    # Text on them, and white around.
    assert (image < 60).all(2).sum() > 500
    assert (image == 255).all(2).mean() > 0.3


def test_one_phase(net):
    assert b"acc" in caffe.draw.draw_net(net, "TB", "svg", caffe.TRAIN)
    assert b"acc" not in caffe.draw.draw_net(net, "TB", "svg", phase=caffe.TEST)
    assert b"lr mult: 1, 1" in caffe.draw.draw_net(net, "LR", "svg", display_lrm=True)


@pytest.mark.parametrize(
    ("name", "begins"), [("a.svg", b"<svg"), ("a.PNG", b"\x89PNG"), ("a.dot", b"digraph"), ("a.raw", b"dig")]
)
def test_files(tmp_path, net, name, begins):
    path = tmp_path / name
    caffe.draw.draw_net_to_file(net, str(path), "BT")
    assert path.read_bytes().startswith(begins)
    with pytest.raises(OSError, match="nowhere"):
        caffe.draw.draw_net_to_file(net, str(tmp_path / "nowhere" / name))


def test_text_for_graphviz(net):
    text = caffe.draw.draw_net(net, "LR", "dot", display_lrm=True).decode()
    assert text.startswith('digraph "small" {\nrankdir=LR;\n')
    assert text.endswith("}\n")
    assert 'label="conv\\n(Convolution)\\nkernel size: 3\\nstride: 1\\npad: 0\\nlr mult: 1.0, 1.0"' in text
    assert 'label="i<p&\\"\\n(InnerProduct)' in text
    assert text.count("->") == 11
    assert re.search(
        r'layer1 -> blob(\d+) \[label="4"\];.*\nblob\1 \[shape=octagon, .*label="conv"\];', text, re.DOTALL
    )


def test_pydot(net, monkeypatch):
    seen = []
    monkeypatch.setitem(sys.modules, "pydot", None)
    with pytest.raises(CaffepyError, match="pip install pydot"):
        caffe.draw.get_pydot_graph(net, "TB")
    fake = types.SimpleNamespace(graph_from_dot_data=lambda text: [seen.append(text) or "graph"])
    monkeypatch.setitem(sys.modules, "pydot", fake)
    assert caffe.draw.get_pydot_graph(net, "TB", label_edges=False, phase=caffe.TEST) == "graph"
    assert "rankdir=TB" in seen[0]
    assert "acc" not in seen[0]
    assert '[label=""]' in seen[0]
    assert '[label="4"]' not in seen[0]
    assert '"conv (Convolution) kernel size: 3 stride: 1 pad: 0"' in seen[0]


def test_what_is_said_of_layers():
    def layer(text):
        return parse_net(f"layer {{ {text} }}")[0].layer[0]

    data = layer('type: "Data" data_param { batch_size: 7 }')
    conv = layer(
        'name: "c" type: "Convolution" param { lr_mult: 0 } convolution_param { num_output: 3 pad: 2 kernel_size: 5 }'
    )
    pool = layer('name: "p" type: "Pooling" pooling_param { pool: AVE kernel_size: 3 stride: 2 }')
    ip = layer('type: "InnerProduct" inner_product_param { num_output: 9 }')
    relu = layer('name: "r" type: "ReLU"')
    labels = [caffe.draw.get_edge_label(one) for one in (data, conv, pool, ip, relu)]
    assert labels == ["Batch 7", "3", '""', "9", '""']
    assert caffe.draw.get_layer_label(conv, "TB", True) == (
        '"c (Convolution) kernel size: 5 stride: 1 pad: 2 lr mult: 0.0, 1.0"'
    )
    assert caffe.draw.get_layer_label(pool, "LR") == '"p\\n(Pooling AVE)\\nkernel size: 3\\nstride: 2\\npad: 0"'
    assert caffe.draw.get_layer_label(relu, "BT", True) == '"r (ReLU)"'
    assert caffe.draw.get_layer_lr_mult(conv) == (0.0, 1.0)
    assert caffe.draw.get_layer_lr_mult(ip) == (1.0, 1.0)
    assert caffe.draw.get_pooling_types_dict() == {0: "MAX", 1: "AVE", 2: "STOCHASTIC"}
    colours = [
        caffe.draw.choose_color_by_layertype(name) for name in ("Convolution", "Deconvolution", "Pooling", "Foo")
    ]
    assert colours[0] == colours[1] != colours[2] != colours[3]
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours)
    with pytest.raises(ValueError, match="ReLU layers do not have a learning rate multiplier"):
        caffe.draw.get_layer_lr_mult(relu)
    conv.param.add(lr_mult=3)
    assert caffe.draw.get_layer_lr_mult(conv) == (0.0, 3.0)
    conv.param.add()
    with pytest.raises(NetError, match="Could not parse the learning rate multiplier: layer 'c' has 3 param"):
        caffe.draw.get_layer_lr_mult(conv)


def test_what_cannot_be_drawn(net, tmp_path):
    with pytest.raises(
        ValueError, match=r"pictures are png or svg, and dot is text for Graphviz; got 'sgv'. Did you mean"
    ):
        caffe.draw.draw_net(net, "TB", "sgv")
    with pytest.raises(ValueError, match="rankdir is one of LR, TB, BT; got 'RL'"):
        caffe.draw.draw_net(net, "RL")
    with pytest.raises(NetError, match="got ''"):
        caffe.draw.draw_net_to_file(net, tmp_path / "x")
    for kind in ("png", "svg", "dot"):
        assert caffe.draw.draw_net(caffe_pb2.NetParameter(), "LR", kind)
