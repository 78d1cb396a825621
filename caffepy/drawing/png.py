"""A picture of a net as PNG."""

from __future__ import annotations

import io
import math

from PIL import Image, ImageDraw

from caffepy.drawing.graph import KINDS, Box
from caffepy.drawing.layout import Curve, Frame, Picture
from caffepy.drawing.text import LABEL, LINE, SIZE, font, width

__all__ = ["png"]

#: Pixels for a unit of the picture, as long as the sides do not get longer than _LONGEST.
_SCALE = 2.0
_LONGEST = 6000
# Points of a bent part of a line.
_STEPS = 16

_Point = tuple[float, float]


def png(picture: Picture) -> bytes:
    """The file's bytes."""
    scale = min(_SCALE, _LONGEST / max(picture.width, picture.height, 1.0))
    size = (max(math.ceil(picture.width * scale), 1), max(math.ceil(picture.height * scale), 1))
    image = Image.new("RGB", size, "white")
    pen = _Pen(ImageDraw.Draw(image), scale)
    for curve in picture.curves:
        pen.curve(curve)
    for frame, box in zip(picture.frames, picture.graph.boxes, strict=True):
        pen.box(frame, box)
    for label in picture.labels:
        pen.text(label.x, label.y - LABEL + 1, label.text, LABEL, "#333333", halo=True)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


class _Pen:
    def __init__(self, draw: ImageDraw.ImageDraw, scale: float) -> None:
        self.draw, self.scale = draw, scale

    def _at(self, point: _Point) -> _Point:
        return point[0] * self.scale, point[1] * self.scale

    def curve(self, curve: Curve) -> None:
        points = [curve.begin]
        for part in curve.parts:
            points += part if len(part) == 1 else _bezier(points[-1], part)
        self.draw.line([self._at(point) for point in points], "#555555", max(round(1.2 * self.scale), 1), "curve")
        self._arrow(points[-2], points[-1])

    def _arrow(self, before: _Point, tip: _Point) -> None:
        length = math.dist(before, tip) or 1.0
        along = ((tip[0] - before[0]) / length, (tip[1] - before[1]) / length)
        corners = [
            (tip[0] - 7 * along[0] + side * along[1], tip[1] - 7 * along[1] - side * along[0]) for side in (3.5, -3.5)
        ]
        self.draw.polygon([self._at(point) for point in (tip, *corners)], "#555555")

    def box(self, frame: Frame, box: Box) -> None:
        right, bottom = frame.x + frame.width, frame.y + frame.height
        edge = max(round(self.scale), 1)
        corners = (*self._at((frame.x, frame.y)), *self._at((right, bottom)))
        self.draw.rounded_rectangle(corners, 4 * self.scale, KINDS[box.rows[0].kind], "#555555", edge)
        for i, row in enumerate(box.rows):
            if row.kind != box.rows[0].kind:
                line = frame.y + 4 + LINE * i
                strip = (*self._at((frame.x + 1.2, line)), *self._at((right - 1.2, line + LINE)))
                self.draw.rectangle(strip, KINDS[row.kind])
        for i, row in enumerate(box.rows):
            x, y = frame.x + (frame.width - width(row.text)) / 2, frame.y + 3.5 + LINE * i
            self.text(x, y, row.text, SIZE, "black", strong=row.strong)

    def text(
        self, x: float, y: float, text: str, size: float, colour: str, *, strong: bool = False, halo: bool = False
    ) -> None:
        face, wide = font(size * self.scale), round(1.5 * self.scale) if halo else 0
        self.draw.text(self._at((x, y)), text, colour, face, stroke_width=wide, stroke_fill="white")
        if strong:
            # Pillow's font has one weight.
            self.draw.text(self._at((x + 0.35, y)), text, colour, face)


def _bezier(begin: _Point, part: list[_Point]) -> list[_Point]:
    a, b, c, d = begin, *part
    points = []
    for step in range(1, _STEPS + 1):
        t = step / _STEPS
        u = 1 - t
        shares = (u**3, 3 * t * u * u, 3 * t * t * u, t**3)
        x, y = (
            sum(share * value for share, value in zip(shares, values, strict=True))
            for values in zip(a, b, c, d, strict=True)
        )
        points.append((x, y))
    return points
