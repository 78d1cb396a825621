"""Images in and out of nets, and arrays to and from Caffe's messages: pycaffe's ``caffe.io``.

Images are NumPy arrays (H, W, K), RGB, float32 from 0 to 1; nets expect (K, H, W), blue first, from 0 to 255, less a
mean. `Transformer` goes from one to the other.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from caffepy.data.datum import decode_image
from caffepy.data.image_files import read_image_file
from caffepy.data.ten_crops import ten_crops
from caffepy.errors import DataError, did_you_mean
from caffepy.proto import caffe_pb2
from caffepy.proto.arrays import blob_array, blob_shape
from caffepy.pycaffe import interpolate
from caffepy.pycaffe.blob_from_image import blob_from_image, blob_from_images

__all__ = [
    "ShapeError",
    "Size",
    "Transformer",
    "array_to_blobproto",
    "array_to_datum",
    "arraylist_to_blobprotovector_str",
    "blob_from_image",
    "blob_from_images",
    "blobproto_to_array",
    "blobprotovector_str_to_arraylist",
    "caffe_pb2",
    "datum_to_array",
    "load_image",
    "oversample",
    "resize_image",
]

#: Height and width.
Size: TypeAlias = "Sequence[int] | NDArray[Any]"

#: Shares of red, green and blue in the brightness, as scikit-image has them.
_BRIGHTNESS = np.array([0.2125, 0.7154, 0.0721])


class ShapeError(DataError, ValueError):
    """An array or message whose sizes do not fit; a ValueError, as pycaffe's is."""


# Arrays and messages


def blobproto_to_array(blob: caffe_pb2.BlobProto, return_diff: bool = False) -> NDArray[np.float64]:
    """The data of a BlobProto, or its diff, in its shape: (num, channels, height, width) where it has these old fields.

    Raises:
        ShapeError: another number of values than the shape has.
    """
    values = blob_array(blob, "diff" if return_diff else "data").astype(np.float64)
    return _shaped(values, blob_shape(blob), "BlobProto")


def array_to_blobproto(arr: NDArray[Any], diff: NDArray[Any] | None = None) -> caffe_pb2.BlobProto:
    """A BlobProto of an array of any shape, with ``diff`` of the same shape where that is given."""
    blob = caffe_pb2.BlobProto(shape=caffe_pb2.BlobShape(dim=arr.shape))
    blob.data.extend(arr.astype(float).ravel().tolist())
    if diff is not None:
        blob.diff.extend(diff.astype(float).ravel().tolist())
    return blob


def arraylist_to_blobprotovector_str(arraylist: Sequence[NDArray[Any]]) -> bytes:
    """The bytes of a BlobProtoVector of arrays."""
    return caffe_pb2.BlobProtoVector(blobs=map(array_to_blobproto, arraylist)).SerializeToString()


def blobprotovector_str_to_arraylist(str: bytes) -> list[NDArray[np.float64]]:
    """The arrays in the bytes of a BlobProtoVector.

    Raises:
        DataError: other bytes.
        ShapeError: as `blobproto_to_array`.
    """
    vector = caffe_pb2.BlobProtoVector()
    try:
        vector.ParseFromString(str)
    except DecodeError as error:
        raise DataError(f"not the bytes of a BlobProtoVector: {error}") from error
    return [blobproto_to_array(blob) for blob in vector.blobs]


def array_to_datum(arr: NDArray[Any], label: int | None = None) -> caffe_pb2.Datum:
    """A Datum of an array (C, H, W): bytes of a uint8 array, else ``float_data``.

    Raises:
        ShapeError: not three axes.
    """
    if arr.ndim != 3:
        raise ShapeError(f"Incorrect array shape. A Datum is of an array (C, H, W); got {arr.shape}.")
    channels, height, width = arr.shape
    datum = caffe_pb2.Datum(channels=channels, height=height, width=width)
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(arr.astype(float).ravel().tolist())
    if label is not None:
        datum.label = int(label)
    return datum


def datum_to_array(datum: caffe_pb2.Datum) -> NDArray[Any]:
    """The array (C, H, W) in a Datum: uint8 of ``data``, else float64 of ``float_data``.

    Raises:
        ShapeError: another number of values than the sizes say; an encoded image has none.
    """
    if datum.encoded:
        raise ShapeError(
            "The Datum holds an encoded image (JPEG or PNG), not pixels: "
            "caffepy.data.datum.decode_image(datum.data, name) decodes it."
        )
    shape = (datum.channels, datum.height, datum.width)
    if datum.data:
        return _shaped(np.frombuffer(datum.data, np.uint8).copy(), shape, "Datum")
    return _shaped(np.array(datum.float_data, np.float64), shape, "Datum")


def _shaped(values: NDArray[Any], shape: tuple[int, ...], what: str) -> NDArray[Any]:
    try:
        return values.reshape(shape)
    except ValueError:
        raise ShapeError(f"The {what} has {values.size} values for shape {str(shape)[:200]}.") from None


# Images


def load_image(filename: str | os.PathLike[str], color: bool = True) -> NDArray[np.float32]:
    """A JPEG, PNG or BMP file as (H, W, 3), RGB, or, if not ``color``, as (H, W, 1); from 0 to 1.

    Transparency is dropped. Grey is 0.2125 R + 0.7154 G + 0.0721 B.

    Raises:
        DataError: no such file, another format, damaged or too large.
    """
    path, data = read_image_file("", os.fspath(filename))
    planes = decode_image(data, f"image '{path}'", deep=True)
    image = planes[:3].transpose(1, 2, 0)[:, :, ::-1] / float(np.iinfo(planes.dtype).max)
    if color and image.shape[2] == 1:
        image = np.tile(image, (1, 1, 3))
    elif not color and image.shape[2] > 1:
        image = (image @ _BRIGHTNESS)[:, :, None]
    return np.ascontiguousarray(image, np.float32)


def resize_image(im: NDArray[Any], new_dims: Size, interp_order: int = 1) -> NDArray[np.float32]:
    """``im`` (H, W, K) at (h, w, K).

    Of one or three channels as scikit-image resizes, where what lies outside of the image counts as its smallest value;
    of others as ``scipy.ndimage.zoom``. See `caffepy.pycaffe.interpolate`.

    Args:
        im: the image, of any kind of number.
        new_dims: h and w.
        interp_order: 1 is bilinear, 0 the nearest pixel.

    Raises:
        ShapeError: no image, no size.
        DataError: another order.
    """
    if interp_order not in (0, 1):
        raise DataError(f"interp_order is 0 (nearest pixel) or 1 (bilinear); got {interp_order}.")
    height, width = (int(size) for size in new_dims)
    if im.ndim != 3 or im.size == 0 or min(height, width) < 1:
        raise ShapeError(f"cannot resize an image of shape {im.shape}, expected (H, W, K), to {height} x {width}.")
    if im.shape[2] in (1, 3):
        low, high = (np.float64(value) for value in (im.min(), im.max()))
        if not high > low:
            return np.full((height, width, im.shape[2]), low, np.float32)
        result = interpolate.resize((im - low) / (high - low), (height, width), interp_order) * (high - low) + low
    else:
        result = interpolate.zoom(im, (height, width), interp_order)
        if im.dtype.kind in "iu":
            # SciPy gives back the kind of number that it was given.
            result = np.trunc(result + np.copysign(0.5, result))
    return result.astype(np.float32)


def oversample(images: Sequence[NDArray[Any]], crop_dims: Size) -> NDArray[np.float32]:
    """Ten crops of each image: the four corners and the centre, then the same five mirrored.

    Args:
        images: of one shape (H, W, K).
        crop_dims: h and w.

    Returns:
        (10 * n, h, w, K), those of an image one after another; their predictions are averaged.

    Raises:
        ShapeError: no images, or a crop larger than they are.
    """
    if not len(images):
        raise ShapeError("there are no images to crop.")
    height, width, channels = images[0].shape
    h, w = (int(size) for size in crop_dims)
    try:
        places = ten_crops(height, width, h, w)
    except DataError as error:
        raise ShapeError(str(error)) from None
    crops = np.empty((len(images), len(places), h, w, channels), np.float32)
    for image, own in zip(images, crops, strict=True):
        for crop, (y, x, mirror) in zip(own, places, strict=True):
            part = image[y : y + h, x : x + w]
            crop[...] = part[:, ::-1] if mirror else part
    return crops.reshape(-1, h, w, channels)


class Transformer:
    """From images to what a net takes, and back.

    `preprocess` resizes to the input's size, transposes, reorders channels, multiplies by the raw scale, subtracts the
    mean and multiplies by the input scale, each where it was set. For a net trained by Caffe on pixels from 0 to 255::

        transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
        transformer.set_transpose("data", (2, 0, 1))
        transformer.set_channel_swap("data", (2, 1, 0))
        transformer.set_raw_scale("data", 255)
        transformer.set_mean("data", np.array([104, 117, 123]))
        net.blobs["data"].data[...] = transformer.preprocess("data", caffe.io.load_image("cat.jpg"))

    Args:
        inputs: shapes (N, C, H, W) of the net's inputs by name.

    Raises:
        DataError: from all methods: an input of another name, or settings that do not fit its shape.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = dict(inputs)
        self.transpose: dict[str, tuple[int, ...]] = {}
        self.channel_swap: dict[str, tuple[int, ...]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, NDArray[Any]] = {}
        self.input_scale: dict[str, float] = {}

    def _shape(self, in_: str) -> tuple[int, ...]:
        if in_ not in self.inputs:
            known = list(self.inputs)
            raise DataError(f"{in_} is not one of the net inputs: {', '.join(known)}.{did_you_mean(in_, known)}")
        return tuple(self.inputs[in_])

    def preprocess(self, in_: str, data: NDArray[Any]) -> NDArray[np.float32]:
        """An image (H, W, K) as input ``in_`` takes it; the image itself stays as it is."""
        shape = self._shape(in_)
        values = np.array(data, np.float32)
        if values.shape[:2] != shape[2:]:
            values = resize_image(values, shape[2:])
        if (order := self.transpose.get(in_)) is not None:
            values = values.transpose(order)
        if (swap := self.channel_swap.get(in_)) is not None:
            values = values[list(swap), :, :]
        if (scale := self.raw_scale.get(in_)) is not None:
            values *= scale
        if (mean := self.mean.get(in_)) is not None:
            values -= mean
        if (scale := self.input_scale.get(in_)) is not None:
            values *= scale
        return values

    def deprocess(self, in_: str, data: NDArray[Any]) -> NDArray[Any]:
        """What `preprocess` made as an image again; the size stays what it is."""
        self._shape(in_)
        values = np.array(data, data.dtype if data.dtype.kind == "f" else np.float32)
        if in_ in self.transpose or in_ in self.channel_swap:
            # pycaffe takes away every axis of length 1, and then has none to move where the image is gray.
            values = values.reshape(values.shape[-3:]) if math.prod(values.shape[:-3]) == 1 else values
        else:
            values = values.squeeze()
        if (scale := self.input_scale.get(in_)) is not None:
            values /= scale
        if (mean := self.mean.get(in_)) is not None:
            values += mean
        if (scale := self.raw_scale.get(in_)) is not None:
            values /= scale
        if (swap := self.channel_swap.get(in_)) is not None:
            values = values[np.argsort(swap), :, :]
        if (order := self.transpose.get(in_)) is not None:
            values = values.transpose(np.argsort(order))
        return values

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """The order of axes: (2, 0, 1) makes (K, H, W) of (H, W, K)."""
        if len(order) != len(self._shape(in_)) - 1:
            raise DataError(
                "Transpose order needs to have the same number of dimensions as the input; "
                f"got {tuple(order)} for {self._shape(in_)}."
            )
        self.transpose[in_] = tuple(order)

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """The order of channels: (2, 1, 0) makes BGR of RGB. The channels are the first axis by then."""
        if len(order) != self._shape(in_)[1]:
            raise DataError(
                "Channel swap needs to have the same number of dimensions as the input channels; "
                f"got {tuple(order)} for {self._shape(in_)}."
            )
        self.channel_swap[in_] = tuple(order)

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """What values are multiplied by before the mean is subtracted: 255 where the mean is of bytes."""
        self._shape(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: NDArray[Any]) -> None:
        """What is subtracted: a value for each channel (C,), or an image (C, H, W) or (H, W), resized where it must be.

        Raises:
            ShapeError: it does not fit the input.
        """
        shape = self._shape(in_)
        mean = np.asarray(mean)
        if mean.ndim == 1:
            if len(mean) != shape[1]:
                raise ShapeError(f"Mean channels incompatible with input: {len(mean)} values for shape {shape}.")
            self.mean[in_] = mean[:, None, None]
            return
        if mean.ndim == 2:
            mean = mean[None]
        if mean.ndim != 3:
            raise ShapeError(f"Mean shape invalid: {mean.shape}; expected (C,), (H, W) or (C, H, W).")
        if mean.shape != shape[1:]:
            if mean.shape[0] not in (1, shape[1]):
                raise ShapeError(f"Mean shape incompatible with input shape: {mean.shape} for {shape}.")
            low, high = mean.min(), mean.max()
            extent = high - low if high > low else 1
            resized = resize_image(((mean - low) / extent).transpose(1, 2, 0), shape[2:])
            mean = resized.transpose(2, 0, 1) * extent + low
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """What values are multiplied by in the end."""
        self._shape(in_)
        self.input_scale[in_] = scale
