"""Batches made visible: the very pixels that the net got, with mean and scale undone."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.data.lmdb_writer import LmdbWriter
from caffepy.data.mean import write_mean
from caffepy.data.options import DataOptions
from caffepy.drawing.batch import find_images, visible
from caffepy.errors import DataError
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net

COUNT, SIDE, CROP = 8, 12, 9


@pytest.fixture
def images():
    return np.random.default_rng(2).integers(0, 256, (COUNT, 3, SIDE, SIDE), np.uint8)


@pytest.fixture
def database(tmp_path, monkeypatch, images):
    monkeypatch.chdir(tmp_path)
    with LmdbWriter("base") as writer:
        for i, image in enumerate(images):
            datum = caffe_pb2.Datum(channels=3, height=SIDE, width=SIDE, data=image.tobytes(), label=i)
            writer.put(b"%08d" % i, datum.SerializeToString())
    write_mean("mean.binaryproto", np.random.default_rng(3).uniform(0, 255, (3, SIDE, SIDE)).astype(np.float32))
    return tmp_path


def seen(transform, phase=caffe_pb2.TRAIN, passes=1, data=None, layer="Data", more=""):
    text = (
        f'layer {{ name: "d" type: "{layer}" top: "data" top: "label" transform_param {{ {transform} }} '
        f'data_param {{ source: "base" batch_size: 5 backend: LMDB }} {more} }}'
    )
    with Net(parse_net(text), phase, seed=4, data=data) as net:
        for _ in range(passes):
            net.forward()
        shown, how = visible(net, find_images(net))
        return shown, how, net.blobs["label"].data.astype(int)


def crops(image):
    """All crops of an image and their mirror images, red first, last axis colours."""
    whole = image[::-1].transpose(1, 2, 0) / 255
    for y in range(SIDE - CROP + 1):
        for x in range(SIDE - CROP + 1):
            part = whole[y : y + CROP, x : x + CROP]
            yield part
            yield part[:, ::-1]


@pytest.mark.parametrize(
    ("mean", "how"),
    [
        ('mean_file: "mean.binaryproto" scale: 0.02', "divided by scale 0.02, mean added"),
        ("mean_value: 104 mean_value: 117 mean_value: 123", "mean added"),
        ("mean_value: 90", "mean added"),
        ("scale: 0.00390625", "divided by scale 0.00390625"),
        ("", "as they are"),
    ],
)
def test_every_pixel_is_that_of_the_image(database, images, mean, how):
    shown, said, labels = seen(f"{mean} crop_size: {CROP} mirror: true", passes=2)
    assert said == how
    assert labels.tolist() == [5, 6, 7, 0, 1]
    mirrored = 0
    for picture, label in zip(shown, labels, strict=True):
        apart = [abs(picture - crop).max() for crop in crops(images[label])]
        assert min(apart) < 1e-4
        mirrored += int(np.argmin(apart)) % 2
    assert 0 < mirrored < 5


def test_noise_is_seen(database, images):
    noisy = DataOptions(colour_noise=0.3)
    shown, _, labels = seen("", data=noisy)
    plain = images[labels][:, ::-1].transpose(0, 2, 3, 1) / 255
    shift = np.median(shown - plain, axis=(1, 2))
    assert 0.002 < abs(shift).max() < 0.4
    assert (shown >= 0).all()
    assert (shown <= 1).all()


def test_floats_of_another_range_are_stretched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(1).normal(0, 1000, (5, 1, 4, 4)).astype(np.float32)
    with LmdbWriter("base") as writer:
        for i, image in enumerate(values):
            datum = caffe_pb2.Datum(channels=1, height=4, width=4, float_data=image.ravel())
            writer.put(b"%d" % i, datum.SerializeToString())
    shown, how, _ = seen("")
    assert how == "stretched from the smallest value to the largest"
    expected = (values - values.min()) / (values.max() - values.min())
    np.testing.assert_allclose(shown, expected[:, 0], atol=1e-6)


def test_images_that_no_layer_of_records_gives():
    shape = "shape { dim: 2 dim: 3 dim: 4 dim: 5 }"
    settings = f'{shape} data_filler {{ type: "uniform" }}'
    text = f'layer {{ name: "d" type: "DummyData" top: "x" dummy_data_param {{ {settings} }} }}'
    with Net(parse_net(text)) as net:
        net.forward()
        shown, how = visible(net, find_images(net))
    assert shown.shape == (2, 4, 5, 3)
    assert how.startswith("stretched")
    assert (shown.min(), shown.max()) == (0, 1)


def test_no_images():
    text = 'layer { name: "d" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 dim: 4 dim: 5 } } }'
    with (
        Net(parse_net(text)) as net,
        pytest.raises(DataError, match=r"no data layer gives images .*'x' \(2, 4, 4, 5\)"),
    ):
        find_images(net)
    with (
        Net(parse_net('layer { name: "p" type: "Parameter" top: "p" parameter_param { shape { dim: 1 } } }')) as net,
        pytest.raises(DataError, match="no data layer gives images"),
    ):
        find_images(net)
