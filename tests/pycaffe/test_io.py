"""caffe.io: arrays and messages, images from files, resizing, crops and the Transformer."""

from __future__ import annotations

import io as streams

import numpy as np
import pytest
from PIL import Image

import caffepy as caffe
from caffepy.errors import CaffepyError, DataError
from caffepy.proto import caffe_pb2
from caffepy.pycaffe import interpolate
from tests.reference.resize import at_centres, at_corners, resize

# Messages


def test_blobs():
    array = np.random.rand(2, 3, 4)
    blob = caffe.io.array_to_blobproto(array, diff=-array)
    assert list(blob.shape.dim) == [2, 3, 4]
    for values, sign in [
        (caffe.io.blobproto_to_array(blob), 1),
        (caffe.io.blobproto_to_array(blob, return_diff=True), -1),
    ]:
        assert values.dtype == np.float64
        np.testing.assert_array_equal(values, sign * array.astype(np.float32))
    assert not caffe.io.array_to_blobproto(array).diff


def test_a_blob_of_four_old_sizes():
    blob = caffe_pb2.BlobProto(num=1, channels=2, height=1, width=3, data=range(6))
    np.testing.assert_array_equal(caffe.io.blobproto_to_array(blob), np.arange(6).reshape(1, 2, 1, 3))
    # Zero, as the legacy sizes that are not given are, is a size.
    assert caffe.io.blobproto_to_array(caffe_pb2.BlobProto(num=3)).shape == (3, 0, 0, 0)
    assert caffe.io.blobproto_to_array(caffe_pb2.BlobProto(data=[7])) == 7


def test_a_scalar_and_nothing():
    scalar = caffe.io.array_to_blobproto(np.array(123.0))
    assert caffe.io.blobproto_to_array(scalar).shape == ()
    empty = caffe.io.array_to_blobproto(np.zeros((0, 2)))
    assert caffe.io.blobproto_to_array(empty).shape == (0, 2)


def test_lists_of_arrays():
    arrays = [np.random.rand(2, 3).astype("f4"), np.arange(4)]
    text = caffe.io.arraylist_to_blobprotovector_str(arrays)
    assert isinstance(text, bytes)
    for before, after in zip(arrays, caffe.io.blobprotovector_str_to_arraylist(text), strict=True):
        np.testing.assert_array_equal(before, after)
    with pytest.raises(DataError, match="not the bytes of a BlobProtoVector"):
        caffe.io.blobprotovector_str_to_arraylist(b"\x0a\xff")


def test_datums():
    pixels = np.random.RandomState(0).randint(0, 256, (3, 4, 5)).astype(np.uint8)
    datum = caffe.io.array_to_datum(pixels, label=np.int64(7))
    assert (datum.label, datum.data, len(datum.float_data)) == (7, pixels.tobytes(), 0)
    back = caffe.io.datum_to_array(caffe_pb2.Datum.FromString(datum.SerializeToString()))
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, pixels)
    back += 1
    numbers = pixels / 2
    datum = caffe.io.array_to_datum(numbers)
    assert not datum.data
    assert not datum.HasField("label")
    back = caffe.io.datum_to_array(datum)
    assert back.dtype == np.float64
    np.testing.assert_array_equal(back, numbers)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: caffe.io.array_to_datum(np.zeros((2, 2))), r"Incorrect array shape. .* got \(2, 2\)"),
        (
            lambda: caffe.io.datum_to_array(caffe_pb2.Datum(channels=2, height=2, width=2, data=b"1234567")),
            r"The Datum has 7 values for shape \(2, 2, 2\)",
        ),
        (lambda: caffe.io.datum_to_array(caffe_pb2.Datum(data=b"\xff\xd8", encoded=True)), "holds an encoded image"),
        (
            lambda: caffe.io.blobproto_to_array(caffe_pb2.BlobProto(num=2, channels=2, height=1, width=1, data=[1])),
            r"The BlobProto has 1 values for shape \(2, 2, 1, 1\)",
        ),
    ],
)
def test_sizes_that_do_not_fit(call, match):
    with pytest.raises(ValueError, match=match) as raised:
        call()
    assert isinstance(raised.value, CaffepyError)


# Images


@pytest.fixture
def picture():
    return np.random.RandomState(1).randint(0, 256, (5, 7, 3)).astype(np.uint8)


def saved(folder, array, name="x.png", mode=None):
    path = str(folder / name)
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path)
    return path


def test_a_colour_image(tmp_path, picture):
    image = caffe.io.load_image(saved(tmp_path, picture))
    assert (image.dtype, image.shape) == (np.float32, (5, 7, 3))
    np.testing.assert_array_equal(image, (picture / 255.0).astype(np.float32))
    assert image.flags.c_contiguous


def test_a_colour_image_as_grey(tmp_path, picture):
    image = caffe.io.load_image(saved(tmp_path, picture), color=False)
    assert image.shape == (5, 7, 1)
    expected = (picture / 255.0 * [0.2125, 0.7154, 0.0721]).sum(2)
    np.testing.assert_allclose(image[:, :, 0], expected, rtol=1e-6)


def test_a_grey_image(tmp_path, picture):
    path = saved(tmp_path, picture[:, :, 0])
    grey = (picture[:, :, :1] / 255.0).astype(np.float32)
    np.testing.assert_array_equal(caffe.io.load_image(path), np.tile(grey, (1, 1, 3)))
    np.testing.assert_array_equal(caffe.io.load_image(path, False), grey)


def test_sixteen_bits(tmp_path):
    deep = np.array([[0, 1, 65535, 4097]], np.uint16)
    np.testing.assert_array_equal(
        caffe.io.load_image(saved(tmp_path, deep), False)[:, :, 0], (deep / 65535.0).astype(np.float32)
    )


def test_transparency_is_dropped(tmp_path, picture):
    clear = np.concatenate([picture, np.full((5, 7, 1), 9, np.uint8)], 2)
    np.testing.assert_array_equal(
        caffe.io.load_image(saved(tmp_path, clear)), caffe.io.load_image(saved(tmp_path, picture, "y.png"))
    )


def test_a_jpeg(tmp_path, picture):
    path = saved(tmp_path, picture, "x.jpg")
    np.testing.assert_array_equal(caffe.io.load_image(path), (np.asarray(Image.open(path)) / 255.0).astype(np.float32))


def test_what_is_no_image(tmp_path):
    with pytest.raises(DataError, match=r"Could not open or find file .*none\.jpg: No such file .*\)\.$"):
        caffe.io.load_image(str(tmp_path / "none.jpg"))
    with pytest.raises(DataError, match=r"it is a folder|Is a directory"):
        caffe.io.load_image(tmp_path)
    (tmp_path / "x.jpg").write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"image '.*x.jpg' cannot be decoded: expected JPEG, PNG or BMP"):
        caffe.io.load_image(tmp_path / "x.jpg")
    stream = streams.BytesIO()
    Image.new("RGB", (64, 64)).save(stream, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(stream.getvalue()[:-100])
    with pytest.raises(DataError, match=r"cut\.jpg"):
        caffe.io.load_image(tmp_path / "cut.jpg")


# Resizing

# Of [[0, 1, 1/2], [1/4, 3/4, 1]].
SKIMAGE_3_2 = [[0.208333333, 0.520833333], [0.3125, 0.78125], [0.3125, 0.78125]]
SKIMAGE_4_5 = [
    [0, 0.3, 0.75, 0.525, 0.3],
    [0.05, 0.4125, 0.9375, 0.75, 0.5],
    [0.15, 0.4375, 0.8125, 0.85, 0.7],
    [0.15, 0.3375, 0.5625, 0.675, 0.6],
]
SCIPY_4_5 = [
    [0, 0.5, 1, 0.75, 0.5],
    [0.083333333, 0.5, 0.916666667, 0.791666667, 0.666666667],
    [0.166666667, 0.5, 0.833333333, 0.833333333, 0.833333333],
    [0.25, 0.5, 0.75, 0.875, 1],
]
SIZES = [(3, 4), (10, 9), (5, 7), (1, 1), (2, 14), (6, 6)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("order", [0, 1])
def test_both_ways_are_those_of_the_definition(size, order):
    image = np.random.rand(5, 7, 2)
    np.testing.assert_allclose(
        interpolate.resize(image, size, order), resize(image, *size, at_centres, order), atol=1e-12
    )
    np.testing.assert_allclose(
        interpolate.zoom(image, size, order), resize(image, *size, at_corners, order), atol=1e-12
    )


def test_numbers_that_scikit_image_and_scipy_give():
    """skimage.transform.resize(a, s, order=1, mode="constant", anti_aliasing=False), 0.26; ndimage.zoom, SciPy 1.17."""
    a = np.array([[0.0, 1.0, 0.5], [0.25, 0.75, 1.0]])[:, :, None]
    np.testing.assert_allclose(interpolate.resize(a, (3, 2))[:, :, 0], SKIMAGE_3_2, atol=1e-7)
    np.testing.assert_allclose(interpolate.resize(a, (4, 5))[:, :, 0], SKIMAGE_4_5, atol=1e-7)
    np.testing.assert_allclose(interpolate.zoom(a, (4, 5))[:, :, 0], SCIPY_4_5, atol=1e-7)


def test_images_of_three_channels():
    image = np.random.rand(5, 7, 3).astype(np.float32) * 40 - 10
    small = caffe.io.resize_image(image, (3, 4))
    low = image.min()
    np.testing.assert_allclose(small, resize(image - low, 3, 4, at_centres, 1) + low, atol=1e-5)
    assert (small.dtype, small.shape) == (np.float32, (3, 4, 3))
    np.testing.assert_allclose(caffe.io.resize_image(image, np.array([5, 7])), image, atol=1e-5)
    # Enlarged, the edges turn to the smallest value.
    large = caffe.io.resize_image(np.array([[1.0, 0.0]])[:, :, None], (1, 4))
    np.testing.assert_allclose(large[0, :, 0], [0.75, 0.75, 0.25, 0.0], atol=1e-6)


def test_bytes_are_resized_as_numbers():
    image = np.random.RandomState(3).randint(0, 256, (5, 7, 1)).astype(np.uint8)
    low = int(image.min())
    expected = resize(image.astype(float) - low, 4, 4, at_centres, 1) + low
    np.testing.assert_allclose(caffe.io.resize_image(image, (4, 4)), expected, rtol=1e-6)


def test_images_of_other_channels():
    image = np.random.rand(5, 7, 4)
    np.testing.assert_allclose(caffe.io.resize_image(image, (8, 3)), resize(image, 8, 3, at_corners, 1), atol=1e-6)
    whole = (image * 255).astype(np.uint8)
    exact = resize(whole.astype(float), 8, 3, at_corners, 1)
    np.testing.assert_array_equal(caffe.io.resize_image(whole, (8, 3)), np.floor(exact + 0.5))
    negative = -whole.astype(np.int32)
    np.testing.assert_array_equal(caffe.io.resize_image(negative, (8, 3)), -np.floor(exact + 0.5))


def test_an_image_of_one_value():
    flat = caffe.io.resize_image(np.full((4, 4, 3), 7.5), (2, 9))
    assert (flat.dtype, flat.shape) == (np.float32, (2, 9, 3))
    assert (flat == 7.5).all()


@pytest.mark.parametrize(
    ("image", "size", "order", "match"),
    [
        (np.zeros((4, 4, 3)), (2, 2), 3, r"interp_order is 0 \(nearest pixel\) or 1 \(bilinear\); got 3"),
        (np.zeros((4, 4)), (2, 2), 1, r"shape \(4, 4\), expected \(H, W, K\), to 2 x 2"),
        (np.zeros((4, 0, 3)), (2, 2), 1, "cannot resize"),
        (np.zeros((4, 4, 3)), (0, 2), 1, "to 0 x 2"),
    ],
)
def test_what_cannot_be_resized(image, size, order, match):
    with pytest.raises(DataError, match=match):
        caffe.io.resize_image(image, size, order)


def test_ten_crops():
    images = np.random.rand(2, 6, 9, 3).astype(np.float32)
    crops = caffe.io.oversample(images, (4, 5))
    assert (crops.shape, crops.dtype) == ((20, 4, 5, 3), np.float32)
    for image, own in zip(images, crops.reshape(2, 10, 4, 5, 3), strict=True):
        places = [(0, 0), (0, 4), (2, 0), (2, 4), (1, 2)]
        for (y, x), plain, mirrored in zip(places, own[:5], own[5:], strict=True):
            np.testing.assert_array_equal(plain, image[y : y + 4, x : x + 5])
            np.testing.assert_array_equal(mirrored, image[y : y + 4, x : x + 5][:, ::-1])
    # Half pixels are cut off.
    odd = caffe.io.oversample([np.arange(7.0).reshape(1, 7, 1)], np.array([1, 4]))
    np.testing.assert_array_equal(odd[4, 0, :, 0], [1, 2, 3, 4])
    for given, size, match in [(images, (7, 5), "cannot crop 7 x 5 out of images of 6 x 9"), ([], (1, 1), "no images")]:
        with pytest.raises(DataError, match=match):
            caffe.io.oversample(given, size)


# The Transformer


@pytest.fixture
def image():
    return np.random.RandomState(2).rand(8, 6, 3).astype(np.float32)


def transformer(shape=(2, 3, 8, 6)):
    return caffe.io.Transformer({"data": shape})


def test_nothing_is_set(image):
    made = transformer((1, 8, 6, 3)).preprocess("data", image)
    np.testing.assert_allclose(made, caffe.io.resize_image(image, (6, 3)))
    same = caffe.io.Transformer({"data": (1, 3, 8, 6)}).preprocess("data", image)
    np.testing.assert_array_equal(same, image)


def test_everything_in_its_order(image):
    before = image.copy()
    t = transformer()
    mean = np.random.rand(3, 8, 6) * 100
    t.set_transpose("data", (2, 0, 1))
    t.set_channel_swap("data", (2, 1, 0))
    t.set_raw_scale("data", 255)
    t.set_mean("data", mean)
    t.set_input_scale("data", 0.5)
    made = t.preprocess("data", image)
    expected = np.empty((3, 8, 6))
    for c in range(3):
        expected[c] = (image[:, :, 2 - c] * 255.0 - mean[c]) * 0.5
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(image, before)
    made_before = made.copy()
    back = t.deprocess("data", made[None])
    np.testing.assert_allclose(back, image, atol=1e-5)
    np.testing.assert_array_equal(made, made_before)


def test_a_gray_image_and_back():
    t = transformer((1, 1, 4, 5))
    t.set_transpose("data", (2, 0, 1))
    t.set_channel_swap("data", (0,))
    image = np.random.rand(4, 5, 1).astype(np.float32)
    made = t.preprocess("data", image)
    assert made.shape == (1, 4, 5)
    for data in (made, made[None]):
        np.testing.assert_array_equal(t.deprocess("data", data), image)
    # Where no axis is moved, pycaffe's image has no axes of length 1.
    assert transformer((1, 1, 4, 5)).deprocess("data", made[None]).shape == (4, 5)


def test_the_image_is_resized_first():
    t = transformer((1, 3, 4, 5))
    t.set_transpose("data", (2, 0, 1))
    large = np.random.rand(9, 9, 3)
    expected = caffe.io.resize_image(large.astype(np.float32), (4, 5)).transpose(2, 0, 1)
    np.testing.assert_array_equal(t.preprocess("data", large), expected)
    # A list for a shape, as list(blob.shape) is.
    t.inputs["data"] = [1, 3, 4, 5]
    np.testing.assert_array_equal(t.preprocess("data", large), expected)


def test_an_image_of_the_right_size_is_not_resized(image, monkeypatch):
    monkeypatch.setattr(caffe.io, "resize_image", None)
    t = transformer()
    t.set_transpose("data", (2, 0, 1))
    np.testing.assert_array_equal(t.preprocess("data", image.astype(np.float64)), image.transpose(2, 0, 1))


def test_other_orders(image):
    t = transformer()
    t.set_transpose("data", (2, 1, 0))
    t.set_channel_swap("data", (1, 2, 0))
    made = t.preprocess("data", image)
    np.testing.assert_array_equal(made[0], image[:, :, 1].T)
    np.testing.assert_array_equal(t.deprocess("data", made), image)


@pytest.mark.parametrize(
    ("mean", "expected"),
    [
        (np.array([1.0, 2, 3]), np.array([1.0, 2, 3])[:, None, None]),
        (np.full((3, 16, 12), 4.0), 4.0),
        (np.arange(48.0).reshape(8, 6), np.arange(48.0).reshape(1, 8, 6)),
    ],
)
def test_means(image, mean, expected):
    t = transformer()
    t.set_transpose("data", (2, 0, 1))
    t.set_mean("data", mean)
    np.testing.assert_allclose(t.preprocess("data", image), image.transpose(2, 0, 1) - expected, rtol=1e-4, atol=1e-5)


def test_a_mean_of_another_size_is_resized():
    mean = np.random.rand(3, 16, 12) * 90 + 5
    t = transformer()
    t.set_mean("data", mean)
    expected = caffe.io.resize_image(mean.transpose(1, 2, 0), (8, 6)).transpose(2, 0, 1)
    assert t.mean["data"].shape == (3, 8, 6)
    np.testing.assert_allclose(t.mean["data"], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda t: t.preprocess("x", np.zeros((8, 6, 3))), DataError, "x is not one of the net inputs: data"),
        (lambda t: t.deprocess("dat", np.zeros(3)), DataError, "Did you mean 'data'"),
        (lambda t: t.set_raw_scale("x", 1), DataError, "x is not one of the net inputs"),
        (lambda t: t.set_input_scale("x", 1), DataError, "x is not one of the net inputs"),
        (lambda t: t.set_transpose("data", (1, 0)), DataError, "Transpose order needs to have the same number of dim"),
        (lambda t: t.set_channel_swap("data", (1, 0)), DataError, "Channel swap needs to have the same number of dim"),
        (lambda t: t.set_mean("data", np.zeros(4)), ValueError, "Mean channels incompatible with input: 4 values"),
        (lambda t: t.set_mean("data", np.zeros((1, 3, 8, 6))), ValueError, "Mean shape invalid"),
        (lambda t: t.set_mean("data", np.zeros((4, 8, 6))), ValueError, "Mean shape incompatible with input shape"),
    ],
)
def test_what_does_not_fit_the_input(call, error, match):
    with pytest.raises(error, match=match) as raised:
        call(transformer())
    assert isinstance(raised.value, CaffepyError)
