"""Blobs of images as OpenCV makes them: against the definition, against recorded ones, and against OpenCV itself."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

import caffepy as caffe

MEAN = (104.0, 117.0, 123.0)

#: What cv2.dnn.blobFromImage (OpenCV 4.14.0) makes of `picture`: arguments, shape, SHA-256 of its float32 bytes.
RECORDED = [
    ((1.0, (21, 17), MEAN, False, False), (1, 3, 17, 21), "28db57a1508a3471"),
    ((1 / 255, (64, 50), (0, 0, 0), True, False), (1, 3, 50, 64), "23433da84eccae0e"),
    ((0.017, (24, 24), MEAN, False, True), (1, 3, 24, 24), "f2d3db62a5999bbc"),
    ((0.007843, (30, 80), 127.5, True, True), (1, 3, 80, 30), "4bd08bdd22ee5973"),
    ((1.0, (20, 15), MEAN, False, True), (1, 3, 15, 20), "91c78eaa062fc552"),
    ((1.0, (20, 15), MEAN, False, False), (1, 3, 15, 20), "9bbc0d638e18b288"),
    ((2.0, (0, 0), (1.5, -2), True, True), (1, 3, 31, 40), "2e137b13e66331b6"),
]


def picture(height=31, width=40, channels=3, seed=5):
    """Pixels that no rounding error leaves alone."""
    numbers = np.arange(height * width * channels, dtype=np.uint64) + np.uint64(seed)
    pixels = (numbers * np.uint64(2654435761) >> np.uint64(7)) % np.uint64(256)
    return pixels.astype(np.uint8).reshape(height, width, channels)


def digest(blob):
    return hashlib.sha256(np.ascontiguousarray(blob, "<f4").tobytes()).hexdigest()[:16]


@pytest.mark.parametrize(("arguments", "shape", "expected"), RECORDED)
def test_equals_what_opencv_made(arguments, shape, expected):
    blob = caffe.io.blob_from_image(picture(), *arguments)
    assert (blob.shape, blob.dtype, digest(blob)) == (shape, np.float32, expected)


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_equals_opencv(channels, crop):
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed: pip install '.[bench]'")
    draw = np.random.default_rng(channels)
    for case in range(150):
        height, width, new_height, new_width = (int(number) for number in draw.integers(2, 70, 4))
        if case % 5 == 0:
            height, width = 2 * new_height, 2 * new_width + int(draw.integers(0, 3))
        image = draw.integers(0, 256, (height, width, channels), dtype=np.uint8)
        mean = tuple(draw.random(int(draw.integers(1, 5))) * 200)
        arguments = (float(draw.choice([1, 1 / 255, 0.017])), (new_width, new_height), mean, bool(case % 2), crop)
        expected = cv2.dnn.blobFromImage(image, *arguments)
        np.testing.assert_array_equal(caffe.io.blob_from_image(image, *arguments), expected, str((image.shape, case)))


def test_several_equal_opencv():
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed: pip install '.[bench]'")
    images = [picture(31, 40), picture(20, 20, seed=9), picture(50, 13, seed=2)]
    for arguments in [(), (0.5, (17, 9), 10.0, True, True)]:
        blob = caffe.io.blob_from_images(images, *arguments)
        np.testing.assert_array_equal(blob, cv2.dnn.blobFromImages(images, *arguments))


def test_definition():
    """Each argument by itself, in NumPy."""
    image = picture(6, 8)
    planes = image.transpose(2, 0, 1).astype(np.float32)
    same = caffe.io.blob_from_image
    np.testing.assert_array_equal(same(image), planes[None])
    np.testing.assert_array_equal(same(image, 0.5)[0], planes / 2)
    np.testing.assert_array_equal(same(image, swapRB=True)[0], planes[::-1])
    # The mean is in the order of what comes out, and is subtracted before the values are scaled.
    blob = same(image, 2, mean=(1, 2, 3), swapRB=True)
    np.testing.assert_array_equal(blob[0], 2 * (planes[::-1] - np.array([1, 2, 3])[:, None, None]))
    np.testing.assert_array_equal(same(image, mean=7)[0, :, 0, 0] - planes[:, 0, 0], [-7, 0, 0])
    # Covering 4 x 2 (width x height) takes half of 8 x 6: 4 x 3, of which the upper rows are the middle.
    np.testing.assert_array_equal(same(image, size=(4, 2), crop=True), same(image, size=(4, 3))[:, :, :2])
    np.testing.assert_array_equal(same(picture(4, 4), size=(2, 4), crop=True), same(picture(4, 4))[:, :, :, 1:3])


def test_grey_and_alpha():
    grey = picture(5, 4, 1)
    blob = caffe.io.blob_from_image(grey[:, :, 0], mean=(1, 2, 3), swapRB=True)
    np.testing.assert_array_equal(blob, grey.transpose(2, 0, 1)[None].astype(np.float32) - 1)
    four = picture(5, 4, 4)
    np.testing.assert_array_equal(
        caffe.io.blob_from_image(four, swapRB=True)[0], four.transpose(2, 0, 1)[[2, 1, 0, 3]].astype(np.float32)
    )


def test_floats_of_the_right_size():
    image = np.random.default_rng(1).random((4, 5, 3))
    blob = caffe.io.blob_from_images([image, 2 * image], 3, mean=(0.5,))
    assert blob.dtype == np.float32
    np.testing.assert_allclose(blob[1, 0], 3 * (2 * image[:, :, 0] - 0.5), rtol=1e-6, atol=1e-6)


def test_the_image_stays_as_it_is():
    image = picture(6, 8).astype(np.float32)
    before = image.copy()
    caffe.io.blob_from_image(image, 2, mean=(1, 2, 3), swapRB=True)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("image", "arguments", "message"),
    [
        (np.zeros((4, 4, 2), np.uint8), {}, r"C of 1, 3 or 4.*got \(4, 4, 2\), uint8"),
        (np.zeros((0, 4, 3), np.uint8), {}, r"got \(0, 4, 3\)"),
        (np.zeros((4, 4, 3), bool), {}, "array of numbers.*bool"),
        (np.zeros((4, 4, 3), np.uint8), {"size": (0, 5)}, r"\(width, height\), both at least 1; got \(0, 5\)"),
        (np.zeros((4, 4, 3), np.uint8), {"mean": (1, 2, 3, 4, 5)}, "up to four values"),
        (np.zeros((4, 4, 3), np.float32), {"size": (2, 3)}, r"4 x 4 to 2 x 3 \(width x height\).*uint8.*got float32"),
    ],
)
def test_errors(image, arguments, message):
    with pytest.raises(caffe.CaffepyError, match=message) as caught:
        caffe.io.blob_from_image(image, **arguments)
    assert isinstance(caught.value, ValueError)


def test_errors_of_several():
    with pytest.raises(caffe.CaffepyError, match="there are no images"):
        caffe.io.blob_from_images([])
    with pytest.raises(caffe.CaffepyError, match="as many channels; got 3 and 1"):
        caffe.io.blob_from_images([picture(), picture(channels=1)])
