"""Which way up a camera's image is, by its EXIF data: for a warning, for the pixels are taken as they lie."""

from __future__ import annotations

import io

from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

__all__ = ["is_turned"]

_ORIENTATION = 0x0112


def is_turned(data: bytes) -> bool:
    """Whether the EXIF data of a JPEG or PNG file asks for its pixels to be turned or mirrored; not where damaged."""
    reader: type[JpegImageFile] | type[PngImageFile]
    if data.startswith(b"\xff\xd8") and b"Exif\0\0" in data:
        reader = JpegImageFile
    elif data.startswith(b"\x89PNG") and b"eXIf" in data:
        reader = PngImageFile
    else:
        return False
    try:
        with reader(io.BytesIO(data)) as image:
            return image.getexif().get(_ORIENTATION, 1) in range(2, 9)
    # Pillow has errors of many kinds for what it cannot read.
    except Exception:
        return False
