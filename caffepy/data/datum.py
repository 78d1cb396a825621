"""A record's value, Caffe's Datum, as an image and its label, and back.

Images are ``(C, H, W)`` in OpenCV's order of channels (blue, green, red), as Caffe's nets expect. A decoded JPEG or PNG
is a strided view of interleaved pixels; nothing is copied to turn it round.
"""

from __future__ import annotations

import io
from typing import Any, Literal, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from PIL import Image as pillow
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from caffepy.data.pixels import pixels
from caffepy.data.source import key_text
from caffepy.errors import DataError
from caffepy.proto import caffe_pb2

__all__ = ["MAX_PIXELS", "Color", "Image", "compress", "decode", "decode_image", "encode", "is_deep", "size_text"]

#: Larger images are refused before their pixels are unpacked.
MAX_PIXELS = 8192 * 8192
#: What to decode to: as stored, three channels, or one.
Color = Literal["color", "gray"] | None

# Only these are tried, by their first bytes; Pillow's other readers are never reached.
_READERS: tuple[tuple[bytes, Any], ...] = (
    (b"\xff\xd8\xff", JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", PngImageFile),
    (b"BM", BmpImageFile),
)


class Image(NamedTuple):
    """A decoded record: ``array`` (C, H, W), uint8, or float32 where the Datum holds ``float_data``; and its label.

    ``encoded`` says whether the record was a compressed image.
    """

    array: NDArray[Any]
    label: int
    encoded: bool = False


def size_text(shape: tuple[int, ...]) -> str:
    """A size as messages show it: ``3 x 227 x 227``."""
    return " x ".join(map(str, shape))


def decode(value: bytes, key: bytes, *, color: Color = None, max_pixels: int = MAX_PIXELS) -> Image:
    """The image and label in a serialised Datum.

    Args:
        value: the record's bytes.
        key: the record's key, for messages.
        color: ``"color"`` or ``"gray"`` is Caffe's force_color or force_gray. As in Caffe, raw pixels stay as they are.
        max_pixels: refuse an encoded image of more pixels.

    Raises:
        DataError: no Datum, no data, a size that does not match the data, an image that cannot be decoded whole.
    """
    datum = caffe_pb2.Datum()
    try:
        datum.ParseFromString(value)
    except DecodeError as error:
        raise DataError(
            f"record '{key_text(key)}' is not a Datum: {error}. Was the database written by convert_imageset?"
        ) from error
    if datum.encoded:
        array = decode_image(datum.data, f"record '{key_text(key)}'", color=color, max_pixels=max_pixels)
        return Image(array, datum.label, True)
    return Image(_raw(datum, key), datum.label)


def _raw(datum: caffe_pb2.Datum, key: bytes) -> NDArray[Any]:
    shape = (datum.channels, datum.height, datum.width)
    if min(shape) <= 0:
        hint = " Its data is an encoded image: was 'encoded' left unset?" if _reader(datum.data) else ""
        raise DataError(f"record '{key_text(key)}' has no size: channels x height x width = {size_text(shape)}.{hint}")
    count = shape[0] * shape[1] * shape[2]
    data = datum.data
    if data:
        if len(data) != count:
            raise DataError(
                f"record '{key_text(key)}': Incorrect data field size {len(data)}, expected {count} "
                f"for channels x height x width = {size_text(shape)}."
            )
        return np.frombuffer(data, np.uint8).reshape(shape)
    if len(datum.float_data) != count:
        raise DataError(
            f"record '{key_text(key)}': Incorrect data field size: no data and {len(datum.float_data)} "
            f"float_data, expected {count} for channels x height x width = {size_text(shape)}."
        )
    return np.fromiter(datum.float_data, np.float32, count).reshape(shape)


def decode_image(
    data: bytes, name: str, *, color: Color = None, max_pixels: int = MAX_PIXELS, deep: bool = False
) -> NDArray[Any]:
    """The pixels of a JPEG, PNG or BMP file, (C, H, W), blue first, as ``cv::imdecode`` gives them.

    A file keeps its channels (1, 3, or 4 with transparency) unless ``color`` asks for others. Of 16 bits the upper
    eight are kept then, as OpenCV keeps them. The EXIF orientation is not applied, as in OpenCV 2.4, Caffe's; from
    OpenCV 3.1 on colour images are turned by it. ``name`` says in messages whose data this is. ``deep`` gives a gray
    file of 16 bits as uint16; all others are uint8.

    Raises:
        DataError: another format, damaged or cut short, too large, or 16 bits deep where the file's own depth is kept.
    """
    reader = _reader(data)
    if reader is None:
        raise DataError(f"{name} cannot be decoded: expected JPEG, PNG or BMP, got {_describe(data)}.")
    try:
        with reader(io.BytesIO(data)) as image:
            width, height = image.size
            if not 0 < width * height <= max_pixels:
                raise DataError(f"{name}: {width} x {height} pixels, allowed are at most {max_pixels}.")
            if color == "gray" and reader is JpegImageFile:
                # The file's own brightness, as OpenCV reads it, not one computed from red, green and blue.
                image.draft("L", image.size)
            if color is None and not deep and is_deep(data):
                raise DataError(
                    f"{name} is 16 bits deep: Image data type must be unsigned byte. "
                    "Set force_gray or force_color, or convert it."
                )
            image.load()
            if deep and image.mode.startswith("I"):
                return np.asarray(image).astype(np.uint16)[None]
            array = _planes(image, color, name)
    except DataError:
        raise
    # Pillow raises OSError, SyntaxError, ValueError, struct.error and others, depending on where a file is damaged.
    except Exception as error:
        raise DataError(f"{name} cannot be decoded: {error} (Caffe: Could not decode datum).") from error
    if color == "gray":
        return _gray(array, png=reader is PngImageFile)
    if color == "color" and array.shape[0] != 3:
        return np.broadcast_to(array, (3, *array.shape[1:])) if array.shape[0] == 1 else array[:3]
    return array


def is_deep(data: bytes) -> bool:
    """Whether the bytes are those of a PNG file with 16 bits for each value."""
    # The header comes first: 8 bytes of signature, 8 of the block's length and name, width, height, depth.
    return data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR" and data[24:25] == b"\x10"


def encode(image: NDArray[np.uint8] | bytes, label: int, encode_type: str = "") -> caffe_pb2.Datum:
    """A Datum of an image.

    Args:
        image: pixels (C, H, W), blue first; or the bytes of a JPEG or PNG file, stored as they are.
        label: fits 32 bits.
        encode_type: ``"jpg"`` (quality 95, OpenCV's default) or ``"png"``; empty stores the pixels themselves.

    Raises:
        DataError: a label that does not fit, an unknown encode_type, channels that the format cannot hold.
    """
    if not -(2**31) <= label < 2**31:
        raise DataError(f"label {label} does not fit the 32 bits of a Datum's label.")
    if isinstance(image, bytes):
        return caffe_pb2.Datum(data=image, label=label, encoded=True)
    if encode_type:
        return caffe_pb2.Datum(data=compress(image, encode_type), label=label, encoded=True)
    channels, height, width = image.shape
    # The label and encoded=false are written out even where they are the default, as Caffe's own tool does.
    return caffe_pb2.Datum(
        channels=channels, height=height, width=width, data=image.tobytes(), label=label, encoded=False
    )


def compress(image: NDArray[np.uint8], encode_type: str, quality: int = 95) -> bytes:
    """The bytes of a file of ``image`` (C, H, W), blue first, C 1 or 3.

    Args:
        image: pixels.
        encode_type: ``"jpg"``, ``"png"`` or ``"bmp"``.
        quality: of a JPEG, 1 to 95; OpenCV's default unless given.

    Raises:
        DataError: another type, or channels that the format cannot hold.
    """
    kind = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "bmp": "BMP"}.get(encode_type)
    if kind is None:
        raise DataError(f"encode_type '{encode_type}' is unknown; expected jpg or png.")
    channels = image.shape[0]
    if channels == 1:
        picture = pillow.fromarray(np.ascontiguousarray(image[0]))
    elif channels == 3:
        picture = pillow.fromarray(np.ascontiguousarray(image[::-1].transpose(1, 2, 0)))
    else:
        raise DataError(f"an image of {channels} channels cannot be written as {encode_type}; expected 1 or 3.")
    out = io.BytesIO()
    settings = {"JPEG": {"quality": quality}, "PNG": {"compress_level": 3}, "BMP": {}}[kind]
    picture.save(out, kind, **settings)
    return out.getvalue()


def _reader(data: bytes) -> Any:
    return next((reader for magic, reader in _READERS if data.startswith(magic)), None)


def _describe(data: bytes) -> str:
    if not data:
        return "no data"
    if data.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer ('git lfs pull' fetches the file)"
    return f"{len(data)} bytes that begin with {data[:8]!r}"


def _planes(image: pillow.Image, color: Color, name: str) -> NDArray[np.uint8]:
    """A loaded Pillow image as (C, H, W), blue first, with the channels that OpenCV would keep."""
    mode = image.mode
    if mode == "RGB":
        return pixels(image)[:, :, ::-1].transpose(2, 0, 1)
    if mode == "L":
        return pixels(image).transpose(2, 0, 1)
    if mode in ("P", "1"):
        return _planes(image.convert("RGB" if mode == "P" else "L"), color, name)
    if mode in ("RGBA", "LA"):
        return pixels(image.convert("RGBA"))[:, :, (2, 1, 0, 3)].transpose(2, 0, 1)
    if mode == "CMYK":
        return _from_cmyk(pixels(image))
    if mode.startswith("I"):
        return (np.asarray(image) >> 8).astype(np.uint8)[None]
    raise DataError(f"{name} cannot be decoded: pixels of kind '{mode}' are not supported.")


def _from_cmyk(inks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    # OpenCV's rule for the inverted inks that Adobe's files hold; Pillow has inverted them all back.
    black = 255 - inks[:, :, 3:].astype(np.int32)
    rgb = black - (inks[:, :, :3] * black >> 8)
    return rgb[:, :, ::-1].astype(np.uint8).transpose(2, 0, 1)


def _gray(bgr: NDArray[np.uint8], *, png: bool) -> NDArray[np.uint8]:
    """Brightness of (C, H, W) with C 1, 3 or 4, in the fixed point of the library that OpenCV leaves it to.

    PNG, by libpng: ``(9797 R + 19234 G + 3737 B) >> 15``; others: ``(4899 R + 9617 G + 1868 B + 8192) >> 14``.
    """
    if bgr.shape[0] == 1:
        return bgr
    blue, green, red = (plane.astype(np.uint32) for plane in bgr[:3])
    if png:
        wide = (red * 9797 + green * 19234 + blue * 3737) >> 15
    else:
        wide = (red * 4899 + green * 9617 + blue * 1868 + 8192) >> 14
    gray: NDArray[np.uint8] = wide.astype(np.uint8)[None]
    return gray
