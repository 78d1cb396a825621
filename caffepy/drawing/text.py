"""The font of pictures, and how wide a text is in it."""

from __future__ import annotations

import functools
from typing import Any

from PIL import ImageFont

__all__ = ["LABEL", "LINE", "SIZE", "font", "width"]

#: Size of text in boxes, of labels, and from one line to the next.
SIZE = 12.0
LABEL = 10.0
LINE = 15.0


@functools.cache
def font(size: float) -> Any:
    """Pillow's own font, which is there on every system."""
    return ImageFont.load_default(size)


@functools.cache
def width(text: str, size: float = SIZE) -> float:
    """The width of ``text``."""
    return float(font(size).getlength(text))
