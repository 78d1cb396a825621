"""What a Pillow image holds, as an array, without a copy where Pillow allows it; and such pixels as words.

``numpy.asarray(image)`` copies twice and holds the interpreter's lock meanwhile, which costs as much as half the JPEG's
decoding. Pillow 11.3 and later hand out their memory by the Arrow C data interface; `pixels` reads that.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

__all__ = ["pixels", "planes", "words"]

_CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4, "CMYK": 4}


class _ArrowArray(ctypes.Structure):
    # https://arrow.apache.org/docs/format/CDataInterface.html
    pass


_ArrowArray._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_ArrowArray))),
    ("dictionary", ctypes.POINTER(_ArrowArray)),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
]

_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype = ctypes.c_void_p
_pointer_of.argtypes = [ctypes.py_object, ctypes.c_char_p]


def pixels(image: pillow.Image) -> NDArray[np.uint8]:
    """The pixels of a loaded image of mode L, RGB, RGBA or CMYK, (H, W, C) with Pillow's order of channels; read only.

    RGB pixels lie four bytes apart, as Pillow keeps them, in an array of words; see `words`.
    """
    channels = _CHANNELS[image.mode]
    width, height = image.size
    packed = _shared(image, height * width * (1 if channels == 1 else 4), np.uint32 if channels == 3 else np.uint8)
    if packed is None:
        return np.asarray(image).reshape(height, width, channels)
    return packed.view(np.uint8).reshape(height, width, -1)[:, :, :channels]


def _shared(image: Any, size: int, kind: type[np.uint8 | np.uint32]) -> NDArray[Any] | None:
    """Pillow's own memory of ``size`` bytes, or None where it cannot be had in one piece."""
    try:
        _, capsule = image.__arrow_c_array__()
    except (AttributeError, ValueError):
        # An older Pillow, or an image of several memory blocks.
        return None
    array = _ArrowArray.from_address(_pointer_of(capsule, b"arrow_array"))
    leaf = array.children[0].contents if array.n_children == 1 else array
    if leaf.length != size or leaf.offset or array.offset or leaf.n_buffers != 2 or not leaf.buffers[1]:
        return None
    memory = (ctypes.c_uint8 * size).from_address(leaf.buffers[1])
    memory.owner = capsule  # type: ignore[attr-defined]
    view: NDArray[Any] = np.frombuffer(memoryview(memory), kind)
    view.flags.writeable = False
    return view


def words(image: NDArray[Any]) -> NDArray[np.uint32] | None:
    """The colour image (3, H, W), blue first, as one word (H, W) a pixel, red in the low byte, where it lies so.

    That is how Pillow keeps it, and rows of words are copied ten times as fast as three planes of bytes. Only
    `pixels` makes bytes of an array of words, three of each four: in reverse they are blue, green and red.
    """
    base = image.base
    if image.ndim != 3 or not isinstance(base, np.ndarray) or base.dtype != np.uint32 or sys.byteorder != "little":
        return None
    height, width = image.shape[-2:]
    if base.size != height * width or image.shape != (3, height, width) or image.strides != (-1, 4 * width, 4):
        return None
    return base.reshape(height, width)


def planes(words: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """The other way: words (H, W) as a view (3, H, W), blue first."""
    height, width = words.shape
    return words.view(np.uint8).reshape(height, width, 4)[:, :, 2::-1].transpose(2, 0, 1)
