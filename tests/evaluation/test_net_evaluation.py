"""A net tested image by image, by its own passes and by ten crops."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from caffepy.errors import DataError, NetError
from caffepy.evaluation.net_evaluation import NetEvaluation
from caffepy.evaluation.scores import find_scores
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net
from tests.evaluation.nets import MEANS, image_data, save_images

LOSS = """layer { name: "loss" type: "SoftmaxWithLoss" bottom: "flat" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "flat" bottom: "label" top: "accuracy" }
"""
PROB = """layer { name: "prob" type: "Softmax" bottom: "flat" top: "prob" }
layer { name: "accuracy" type: "Accuracy" bottom: "prob" bottom: "label" top: "accuracy" }
"""
LABELS = [2, 0, 1, 1, 0, 2, 2]


@pytest.fixture
def images(tmp_path):
    """Seven images of 6 x 7, and list.txt; gives their pixels, blue first, (7, 3, 6, 7)."""
    names, pixels = save_images(tmp_path / "a", [(6, 7)] * 7)
    (tmp_path / "list.txt").write_text("".join(f"{name} {label}\n" for name, label in zip(names, LABELS, strict=True)))
    return np.stack(pixels)[..., ::-1].transpose(0, 3, 1, 2).astype(np.float64)


def evaluate(device, tmp_path, tail=LOSS, batch=3, transform="crop_size: 4 scale: 0.05", more=""):
    data = image_data(tmp_path / "list.txt", transform=transform, batch=batch).replace("is_color", f"{more} is_color")
    net = Net(parse_net(data + MEANS + tail), caffe_pb2.TEST, device)
    return NetEvaluation(net, find_scores(net))


def softmax(scores):
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def check(predictions, expected):
    np.testing.assert_array_equal(predictions.records, np.arange(len(expected)))
    np.testing.assert_array_equal(predictions.labels, LABELS[: len(expected)])
    np.testing.assert_array_equal(predictions.top, np.argsort(-expected, axis=1))
    np.testing.assert_allclose(predictions.probabilities, -np.sort(-expected, axis=1), rtol=1e-4)


@pytest.mark.parametrize("tail", [LOSS, PROB])
@pytest.mark.parametrize("more", ["", "shuffle: true"])
def test_passes(device, tmp_path, images, tail, more):
    found = evaluate(device, tmp_path, tail, more=more)
    for _ in range(4 if more else 3):
        found.net.forward()
        found.take()
    if not more:
        check(found.predictions, softmax(0.05 * images[:, :, 1:5, 1:5].mean((2, 3))))
    assert len(found.predictions) == len(np.unique(found.predictions.records))
    found.net.close()


def crops_of(images):
    places = [(0, 0), (0, 3), (2, 0), (2, 3), (1, 1)]
    crops = np.stack([images[:, :, y : y + 4, x : x + 4] for y, x in places], 1)
    return 0.05 * np.concatenate([crops, crops[..., ::-1]], 1)


@pytest.mark.parametrize("tail", [LOSS, PROB])
@pytest.mark.parametrize("average", ["probabilities", "scores"])
@pytest.mark.parametrize("batch", [3, 20, 70])
def test_ten_crops(device, tmp_path, images, tail, average, batch):
    found = evaluate(device, tmp_path, tail, batch)
    calls = []
    found.ten_crops(average, threads=2, progress=lambda *at: calls.append(at))
    scores = crops_of(images).mean((3, 4))
    check(found.predictions, softmax(scores).mean(1) if average == "probabilities" else softmax(scores.mean(1)))
    assert calls[-1] == (7, 7)
    # What the net's own loss and accuracy are of.
    last = (7 - 1) % max(1, batch // 10) + 1
    np.testing.assert_array_equal(device.to_host(found.net.blobs["label"].data), np.repeat(LABELS[-last:], 10))
    found.net.close()


def test_what_mirrors_see(device, tmp_path, images):
    """The left upper pixel of each crop: mirrored ones show the right upper one."""
    corner = (
        'layer { name: "c" type: "Crop" bottom: "data" bottom: "size" top: "corner" crop_param { axis: 2 offset: 0 } }'
        'layer { name: "flat" type: "Flatten" bottom: "corner" top: "flat" }'
    )
    size = (
        'layer { name: "s" type: "DummyData" top: "size" dummy_data_param { shape { dim: 1 dim: 1 dim: 1 dim: 1 } } }'
    )
    data = image_data(tmp_path / "list.txt", transform="crop_size: 4 scale: 0.01", batch=10)
    with Net(parse_net(size + data + corner + PROB), caffe_pb2.TEST, device) as net:
        found = NetEvaluation(net, find_scores(net))
        found.ten_crops("scores")
    crops = crops_of(images)[..., 0, 0] / 5
    check(found.predictions, softmax(crops.mean(1)))


def test_layers_before_the_data_run_too(device, tmp_path, images):
    factor = (
        'layer { name: "one" type: "DummyData" top: "one" dummy_data_param { shape { dim: 3 } '
        'data_filler { type: "constant" value: 1 } } }\n'
        'layer { name: "factor" type: "Power" bottom: "one" top: "factor" power_param { scale: 3 } }\n'
    )
    times = 'layer { name: "t" type: "Scale" bottom: "flat" bottom: "factor" top: "times" scale_param { axis: 1 } }\n'
    data = image_data(tmp_path / "list.txt", transform="crop_size: 4 scale: 0.05", batch=3)
    tail = LOSS.replace('"flat"', '"times"')
    with Net(parse_net(factor + data + MEANS + times + tail), caffe_pb2.TEST, device) as net:
        found = NetEvaluation(net, find_scores(net))
        found.ten_crops()
    check(found.predictions, softmax(3 * crops_of(images).mean((3, 4))).mean(1))


def test_some_images_only(device, tmp_path, images):
    found = evaluate(device, tmp_path)
    found.ten_crops(limit=2)
    assert found.predictions.records.tolist() == [0, 1]
    found.net.close()


def test_rows_of_other_layers(device, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["flat"] = np.eye(5, 3, dtype=np.float32)
        file["label"] = np.array([0, 1, 2, 0, 0], np.float32)
    (tmp_path / "list.txt").write_text(f"{tmp_path}/a.h5\n")
    data = (
        'layer { name: "d" type: "HDF5Data" top: "flat" top: "label" '
        f'hdf5_data_param {{ source: "{tmp_path}/list.txt" batch_size: 3 }} }}'
    )
    with Net(parse_net(data + LOSS), caffe_pb2.TEST) as net:
        found = NetEvaluation(net, find_scores(net))
        assert (found.layer, found.count, found.batch) == (None, None, 3)
        for rows in (3, 2):
            net.forward()
            found.take(rows)
        assert found.predictions.labels.tolist() == [0, 1, 2, 0, 0]
        assert found.predictions.accuracy(1) == 0.6
        with pytest.raises(NetError, match="ten crops need the images of a Data or ImageData layer"):
            found.ten_crops()


def test_errors(device, tmp_path, images):
    found = evaluate(device, tmp_path, transform="")
    with pytest.raises(DataError, match="ten crops of an image need a crop_size"):
        found.ten_crops()
    with pytest.raises(NetError, match="cannot average 'all' over crops; expected probabilities or scores"):
        found.ten_crops("all")
    found.net.close()
