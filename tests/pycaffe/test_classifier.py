"""caffe.Classifier and caffe.Detector: what images go through before the net, and what comes of several."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
from PIL import Image

import caffepy as caffe
from caffepy.errors import CaffepyError, DataError, NetError
from tests.pycaffe.nets import write

# The mean of each channel, blue first, as the net's only output: what it was given can be read off.
MEANS = """
name: "means"
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 3 dim: 3 dim: 8 dim: 8 } } }
layer { name: "mean" type: "Pooling" bottom: "data" top: "mean" pooling_param { pool: AVE global_pooling: true } }
layer { name: "flat" type: "Flatten" bottom: "mean" top: "flat" }
"""
# The pixels themselves.
PIXELS = MEANS.replace('"Pooling"', '"Power"').replace("pooling_param { pool: AVE global_pooling: true }", "")


@pytest.fixture
def images():
    return np.random.RandomState(0).rand(4, 12, 10, 3).astype(np.float32)


@pytest.mark.parametrize("number", [1, 4])
def test_the_centre(tmp_path, images, number, device):
    net = caffe.Classifier(
        write(tmp_path, MEANS), None, (12, 10), raw_scale=255, channel_swap=(2, 1, 0), backend=device
    )
    assert isinstance(net, caffe.Net)
    assert net.phase == caffe.TEST
    out = net.predict(images[:number], oversample=False)
    expected = 255 * images[:number, 2:10, 1:9].mean((1, 2))[:, ::-1]
    np.testing.assert_allclose(out, expected, rtol=1e-5)


def test_ten_crops_are_averaged(tmp_path, images):
    net = caffe.Classifier(write(tmp_path, MEANS), None, image_dims=[12, 10], mean=np.array([1.0, 2, 3]), input_scale=2)
    out = net.predict(list(images))
    places = [(0, 0), (0, 2), (4, 0), (4, 2), (2, 1)]
    crops = np.mean([images[:, y : y + 8, x : x + 8].mean((1, 2)) for y, x in places], axis=0)
    np.testing.assert_allclose(out, 2 * (crops - [1, 2, 3]), rtol=1e-4)


def test_mirrored_crops_are_among_the_ten(tmp_path, images):
    net = caffe.Classifier(write(tmp_path, PIXELS), None)
    out = net.predict(images[:2]).reshape(2, 3, 8, 8)
    resized = np.stack([caffe.io.resize_image(image, (8, 8)) for image in images[:2]])
    expected = (resized + resized[:, :, ::-1]) / 2
    np.testing.assert_allclose(out, expected.transpose(0, 3, 1, 2), atol=1e-5)


def test_images_of_several_sizes_are_resized_to_the_input(tmp_path, images):
    net = caffe.Classifier(write(tmp_path, PIXELS), None)
    out = net.predict([images[0], images[1][:9]], oversample=False).reshape(2, 3, 8, 8)
    np.testing.assert_allclose(out[1], caffe.io.resize_image(images[1][:9], (8, 8)).transpose(2, 0, 1), atol=1e-6)


def test_weights_and_errors(tmp_path):
    with pytest.raises(CaffepyError, match=r"none\.caffemodel"):
        caffe.Classifier(write(tmp_path, MEANS), str(tmp_path / "none.caffemodel"))
    net = caffe.Classifier(write(tmp_path, MEANS), None)
    with pytest.raises(DataError, match="there are no images to classify"):
        net.predict([])
    net = caffe.Classifier(write(tmp_path, MEANS), None, image_dims=(4, 4))
    with pytest.raises(DataError, match="cannot crop 8 x 8 out of images of 4 x 4"):
        net.predict([np.zeros((5, 5, 3))])
    with pytest.raises(NetError, match=r"net 'x' has no input of images \(N, C, H, W\)"):
        caffe.Classifier(
            write(tmp_path, 'name: "x" layer { type: "Input" top: "a" input_param { shape { dim: 1 } } }'), None
        )
    with pytest.raises(NetError, match="has no input of images"):
        caffe.Detector(
            write(tmp_path, 'layer { type: "DummyData" top: "a" dummy_data_param { shape { dim: 1 } } }'), None
        )


# Windows


@pytest.fixture
def file(tmp_path):
    """An image of a red ramp to the right and a green one downwards."""
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:, :, 0] = 8 * np.arange(30)
    pixels[:, :, 1] = 12 * np.arange(20)[:, None]
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return str(tmp_path / "a.png")


def test_windows(tmp_path, file, device):
    net = caffe.Detector(write(tmp_path, MEANS), None, raw_scale=255, channel_swap=(2, 1, 0), backend=device)
    windows = np.array([[4, 6, 12, 14], [0, 0, 8, 8], [12, 22, 20, 30], [2, 2, 10, 10]])
    out = net.detect_windows([(file, windows[:3]), (file, windows[3:])])
    assert [list(detection["window"]) for detection in out] == windows.tolist()
    assert {detection["filename"] for detection in out} == {file}
    for detection, (top, left, bottom, right) in zip(out, windows, strict=True):
        expected = [0, 12 * (top + bottom - 1) / 2, 8 * (left + right - 1) / 2]
        np.testing.assert_allclose(detection["prediction"], expected, rtol=1e-5)
    assert set(out[0]) == {"window", "prediction", "filename"}


def test_windows_are_resized_to_the_input(tmp_path, file):
    net = caffe.Detector(write(tmp_path, PIXELS), None)
    image = caffe.io.load_image(file)
    out = net.detect_windows(iter([(file, [(1, 2, 18, 7)])]))[0]["prediction"].reshape(3, 8, 8)
    np.testing.assert_allclose(out, caffe.io.resize_image(image[1:18, 2:7], (8, 8)).transpose(2, 0, 1), atol=1e-6)


def test_what_surrounds_a_window(tmp_path, file):
    """With one pixel of context in eight, 6 of the input are the window's: 8 / 6 of its size around its middle."""
    net = caffe.Detector(write(tmp_path, PIXELS), None, context_pad=1)
    image = caffe.io.load_image(file)
    # From its middle, 9 and 12, 4 / 3 of 6 up and down: rows 1 to 17, columns 4 to 20.
    crop = net.crop(image, np.array([3, 6, 14, 17]))
    assert crop.shape == (8, 8, 3)
    assert crop.dtype == np.float32
    np.testing.assert_allclose(crop, caffe.io.resize_image(image[1:17, 4:20], (8, 8)), atol=1e-6)


def test_beyond_the_image_lies_the_mean(tmp_path, file):
    mean = np.array([30.0, 60, 90])
    net = caffe.Detector(write(tmp_path, PIXELS), None, mean=mean, raw_scale=255, channel_swap=(2, 1, 0), context_pad=2)
    crop = net.crop(caffe.io.load_image(file), [1, 0, 9, 5])
    plain = net.transformer.preprocess("data", crop)
    # Twice the window: 9 up and down of its middle at 5.5, and 6 aside of 3: rows -4 to 14, columns -3 to 9, of which
    # 19 become 8 down and 13 become 8 across.
    assert np.abs(plain[:, :2]).max() < 1e-3
    assert np.abs(plain[:, :, :2]).max() < 1e-3
    assert (np.abs(plain[:, 2:, 2:]).max(0) > 1).all()
    net.configure_crop(None)
    assert net.crop(caffe.io.load_image(file), [-1, 0, 4, 4]).shape == (4, 4, 3)


def test_a_mean_image_is_seen_beyond_the_image(tmp_path, file):
    mean = np.random.RandomState(1).rand(3, 8, 8)
    net = caffe.Detector(write(tmp_path, PIXELS), None, mean=mean, context_pad=2)
    np.testing.assert_array_equal(net.crop_mean, mean.transpose(1, 2, 0))
    assert list(net.crop_dims) == [8, 8, 3]
    without = caffe.Detector(write(tmp_path, PIXELS), None, context_pad=2)
    assert not without.crop_mean.any()


def test_windows_and_images_that_are_not_there(tmp_path, file):
    net = caffe.Detector(write(tmp_path, PIXELS), None)
    with pytest.raises(DataError, match=r"window \(25, 0, 30, 5\) \(ymin, xmin, ymax, xmax\) has no pixel"):
        net.detect_windows([(file, [(25, 0, 30, 5)])])
    with pytest.raises(DataError, match="there are no windows"):
        net.detect_windows([(file, [])])
    with pytest.raises(DataError, match=r"Could not open or find file nowhere\.png"):
        net.detect_windows([("nowhere.png", [(0, 0, 1, 1)])])


def test_selective_search(tmp_path, file, monkeypatch):
    net = caffe.Detector(write(tmp_path, PIXELS), None)
    with pytest.raises(CaffepyError, match="Selective Search is not installed"):
        net.detect_selective_search([file])
    asked = []
    search = types.SimpleNamespace(
        get_windows=lambda files, cmd: asked.append((files, cmd)) or [np.array([[0, 0, 8, 8]])] * len(files)
    )
    monkeypatch.setitem(sys.modules, "selective_search_ijcv_with_python", search)
    monkeypatch.chdir(tmp_path)
    out = net.detect_selective_search(["a.png"])
    assert asked == [([file], "selective_search_rcnn")]
    assert [detection["filename"] for detection in out] == [file]
