"""Passes for one record or one image: what they show, and nets that cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from caffepy.errors import NetError
from caffepy.evaluation.one_record import ImagePass, blob_names, run_to_record
from caffepy.net import Net
from caffepy.net.data_layers import only_data_layers
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net, read_net

LENET = Path(__file__).resolve().parents[2] / "models" / "lenet"


@pytest.fixture
def tested():
    param, lines = read_net(LENET / "train_val.prototxt")
    for layer in param.layer:
        layer.data_param.source = str(LENET / "digits_test_lmdb")
    return param, lines


@pytest.mark.parametrize("record", [0, 59, 60, 359, 361])
def test_the_row_of_a_record(tested, record):
    with Net(tested) as net:
        row = run_to_record(net, record)
        shown = net.blobs["data"].data[row].copy()
    with Net(tested) as net:
        for _ in range(record // 60 + 1):
            net.forward()
        assert (net.blobs["data"].data[record % 60] == shown).all()


def test_nets_that_are_fed():
    with (
        Net(LENET / "deploy.prototxt") as net,
        pytest.raises(NetError, match=r"has an input, 'data', and no data of its own: give an image \(--image\)"),
    ):
        run_to_record(net, 0)


def test_an_image_needs_one_input(tested, tmp_path):
    Image.new("L", (28, 28)).save(tmp_path / "i.png")
    shape = "shape { dim: 1 dim: 1 dim: 28 dim: 28 }"
    two = "".join(f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ {shape} }} }}' for name in "ab")
    image = ImagePass(parse_net(two), str(tmp_path / "i.png"), tested)
    with Net(image.source) as net, pytest.raises(NetError, match="has 2 inputs; to be shown an image it needs one"):
        image.run(net)


def test_names_of_blobs_and_layers():
    text = (
        'layer { name: "in" type: "Input" top: "x" top: "y" input_param { shape { dim: 1 } } } '
        'layer { name: "r" type: "ReLU" bottom: "x" top: "r_top" }'
    )
    with Net(parse_net(text)) as net:
        assert blob_names(net, ["in", "r_top", "r", "x"]) == ["x", "y", "r_top", "r_top", "x"]
        with pytest.raises(NetError, match=r"The net has no blob or layer 'r_tpo'\. Did you mean 'r_top'\?"):
            blob_names(net, ["r_tpo"])


@pytest.mark.parametrize("phase", [caffe_pb2.TRAIN, caffe_pb2.TEST])
def test_data_layers_alone(tested, phase):
    param, lines = tested
    alone = only_data_layers(param, lines, phase)
    with Net((alone, lines), phase) as net:
        assert [layer.type for layer in net.layers] == ["Data"]
        assert net.blobs["data"].shape[0] == (64 if phase == caffe_pb2.TRAIN else 60)
    # The net that was given is as it was.
    assert not any(layer.exclude for layer in param.layer)
