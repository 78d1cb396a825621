"""Windows through nets: as Detector has them, and as the net's WindowData layer cuts them out."""

from __future__ import annotations

import numpy as np
import pytest

import caffepy as caffe
from caffepy.errors import DataError, NetError
from caffepy.evaluation.by_flags import Flags
from caffepy.evaluation.detect import detect_as_trained, detect_by_flags
from caffepy.evaluation.windows import WindowList
from tests.evaluation.nets import PIXELS, save_images
from tests.reference.window import window_crop

INPUT = 'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 12 dim: 12 } } }\n'
#: ymin, xmin, ymax, xmax.
BOXES = [(2, 3, 15, 17), (0, 0, 29, 39), (5, 20, 9, 30), (0, 0, 12, 12)]


@pytest.fixture
def images(tmp_path):
    """Two images, and windows in them by turns; gives pixels (H, W, 3) and the windows."""
    names, pixels = save_images(tmp_path / "a", [(30, 40), (33, 41)])
    files = [names[i] for i in (0, 0, 1, 0)]
    return dict(zip(names, pixels, strict=True)), WindowList(files, np.array(BOXES, np.float64))


@pytest.mark.parametrize("pad", [0, 2])
def test_as_detector(tmp_path, images, device, pad):
    _, windows = images
    (tmp_path / "deploy.prototxt").write_text(INPUT + PIXELS)
    np.save(tmp_path / "mean.npy", np.array([10.0, 20, 30]))
    flags = Flags(str(tmp_path / "mean.npy"), 0.5)
    calls = []
    found = detect_by_flags(
        windows, str(tmp_path / "deploy.prototxt"), [], flags, backend=device, context_pad=pad,
        progress=lambda *at: calls.append(at),
    )  # fmt: skip
    net = caffe.Detector(
        tmp_path / "deploy.prototxt", None, np.array([10.0, 20, 30]), 0.5, 255, (2, 1, 0), pad or None, backend=device
    )
    expected = net.detect_windows([(file, [box]) for file, box in zip(windows.files, BOXES, strict=True)])
    np.testing.assert_array_equal(found.scores, [one["prediction"] for one in expected])
    assert calls[-1] == (4, 4)
    assert found.about["context_pad"] == str(pad)
    assert found.about["windows"] == "resized to 12 x 12"
    assert found.kind == "score"
    with pytest.raises(
        DataError,
        match=r"6 on both sides leaves nothing of an input of 12 x 12\. Give a smaller --context-pad, or 0\.",
    ):
        detect_by_flags(windows, str(tmp_path / "deploy.prototxt"), [], flags, backend=device, context_pad=6)


def window_net(fields="", transform="crop_size: 12", phase="TEST"):
    return (
        f'layer {{ name: "w" type: "WindowData" top: "data" top: "label" include {{ phase: {phase} }} '
        f'transform_param {{ {transform} }} window_data_param {{ source: "none" batch_size: 5 {fields} }} }}\n'
        f'layer {{ name: "q" type: "Silence" bottom: "label" include {{ phase: {phase} }} }}\n'
    )


@pytest.mark.parametrize(
    ("fields", "pad", "square"),
    [("", 0, False), ("context_pad: 2", 2, False), ('crop_mode: "square" context_pad: 3', 3, True)],
)
def test_as_its_own_layer(tmp_path, images, device, fields, pad, square):
    pixels, windows = images
    text = window_net(f"{fields} scale: 0.5", "crop_size: 12 mirror: true mean_value: 1 mean_value: 2 mean_value: 3")
    (tmp_path / "net.prototxt").write_text(text + PIXELS)
    found = detect_as_trained(windows, tmp_path / "net.prototxt", [], backend=device)
    for row, file, (ymin, xmin, ymax, xmax) in zip(found.scores, windows.files, BOXES, strict=True):
        image = pixels[file][:, :, ::-1].transpose(2, 0, 1)
        crop, filled = window_crop(image, (xmin, ymin, xmax, ymax), 12, pad, square, False)
        expected = np.where(filled, 0.5 * (crop - np.array([1, 2, 3])[:, None, None]), 0)
        assert np.abs(row.reshape(3, 12, 12) - expected).max() <= 0.51
    assert found.about["windows"] == f"{'square' if square else 'warped'} to 12 x 12"
    assert found.about["mean"] == "1, 2, 3"
    assert found.about["scale"] == "0.5"


def test_a_net_for_prediction_beside_it(tmp_path, images, device):
    _, windows = images
    (tmp_path / "net.prototxt").write_text(window_net(phase="TRAIN") + PIXELS)
    (tmp_path / "deploy.prototxt").write_text(INPUT + PIXELS)

    def detect():
        return detect_as_trained(
            windows, tmp_path / "net.prototxt", [], backend=device, model=str(tmp_path / "deploy.prototxt")
        )

    assert detect().scores.shape == (4, 3 * 12 * 12)
    (tmp_path / "deploy.prototxt").write_text(INPUT.replace("12", "13") + PIXELS)
    with pytest.raises(NetError, match=r"expected one input \(N, 3, 12, 12\).*got data \(2, 3, 13, 13\)"):
        detect()


def test_many_windows(tmp_path, images, device):
    pixels, _ = images
    (tmp_path / "net.prototxt").write_text(window_net() + PIXELS)
    rng = np.random.default_rng(3)
    corners = rng.integers(0, 18, (70, 2))
    boxes = np.concatenate([corners, corners + 11], 1)
    file = next(iter(pixels))
    found = detect_as_trained(
        WindowList([file] * 70, boxes.astype(float)), tmp_path / "net.prototxt", [], backend=device
    )
    # Of the crop's own size, so shown as they are.
    for row, (y, x) in zip(found.scores, corners, strict=True):
        np.testing.assert_array_equal(
            row.reshape(3, 12, 12), pixels[file][y : y + 12, x : x + 12, ::-1].transpose(2, 0, 1)
        )


def test_what_cannot_be_looked_at(tmp_path, images, device):
    pixels, _ = images
    good = next(iter(pixels))
    (tmp_path / "net.prototxt").write_text(window_net() + PIXELS)
    files = ["none.png", "none.png", good, good]
    boxes = np.array([(0, 0, 5, 5), (0, 0, 6, 6), (0, 0, 50, 50), (0, 0, 11, 11)], float)
    found = detect_as_trained(WindowList(files, boxes), tmp_path / "net.prototxt", [], backend=device)
    assert found.windows.files == [good]
    np.testing.assert_array_equal(found.windows.boxes, boxes[3:])
    assert [file for file, _ in found.bad] == ["none.png", good]
    assert "is not inside its image of 40 x 30" in found.bad[1][1]
    with pytest.raises(DataError, match=r"none of 2 windows can be looked at; the first: Could not open"):
        detect_as_trained(WindowList(files[:2], boxes[:2]), tmp_path / "net.prototxt", [], backend=device)


def test_errors(tmp_path, images, device):
    _, windows = images
    (tmp_path / "net.prototxt").write_text(INPUT + PIXELS)
    with pytest.raises(NetError, match="has no WindowData layer"):
        detect_as_trained(windows, tmp_path / "net.prototxt", [], backend=device)
    (tmp_path / "net.prototxt").write_text(window_net(transform="") + PIXELS)
    with pytest.raises(DataError, match=r"net\.prototxt:1: layer 'w': crop_size must be positive"):
        detect_as_trained(windows, tmp_path / "net.prototxt", [], backend=device)
