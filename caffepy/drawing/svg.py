"""A picture of a net as SVG."""

from __future__ import annotations

from xml.sax.saxutils import escape

from caffepy.drawing.graph import KINDS, Box
from caffepy.drawing.layout import Curve, Frame, Picture
from caffepy.drawing.text import LABEL, LINE, SIZE, width

__all__ = ["svg"]

_HEAD = """<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"
 viewBox="0 0 {width:.0f} {height:.0f}" font-family="Helvetica, Arial, sans-serif" font-size="{size:g}">
<title>{title}</title>
<defs><marker id="arrow" viewBox="0 0 6 6" refX="6" refY="3" markerWidth="6" markerHeight="6" orient="auto">
<path d="M0,0 L6,3 L0,6 z" fill="#555"/></marker></defs>
<rect width="100%" height="100%" fill="white"/>
"""


def svg(picture: Picture) -> bytes:
    """The file's bytes."""
    title = escape(picture.graph.name or "Net")
    parts = [_HEAD.format(width=picture.width, height=picture.height, size=SIZE, title=title)]
    parts.append('<g fill="none" stroke="#555" stroke-width="1.2">\n')
    parts += [f'<path d="{_path(curve)}" marker-end="url(#arrow)"/>\n' for curve in picture.curves]
    parts.append("</g>\n")
    for frame, box in zip(picture.frames, picture.graph.boxes, strict=True):
        parts.append(_box(frame, box))
    parts.append(f'<g font-size="{LABEL:g}" fill="#333" stroke="white" stroke-width="3" paint-order="stroke">\n')
    for label in picture.labels:
        parts.append(_text(label.x, label.y, label.text, LABEL))
    parts.append("</g>\n</svg>\n")
    return "".join(parts).encode()


def _path(curve: Curve) -> str:
    text = f"M{curve.begin[0]:.1f},{curve.begin[1]:.1f}"
    for part in curve.parts:
        text += ("C" if len(part) == 3 else "L") + " ".join(f"{x:.1f},{y:.1f}" for x, y in part)
    return text


def _box(frame: Frame, box: Box) -> str:
    x, y = frame.x, frame.y
    place = f'x="{x:.1f}" y="{y:.1f}" width="{frame.width:.1f}" height="{frame.height:.1f}" rx="4"'
    text = f"<g><title>{escape(' / '.join(row.text for row in box.rows))}</title>\n"
    text += f'<rect {place} fill="{KINDS[box.rows[0].kind]}" stroke="#555"/>\n'
    for i, row in enumerate(box.rows):
        line = y + 4 + LINE * i
        if row.kind != box.rows[0].kind:
            text += (
                f'<rect x="{x + 0.6:.1f}" y="{line:.1f}" width="{frame.width - 1.2:.1f}" height="{LINE:g}" '
                f'fill="{KINDS[row.kind]}"/>\n'
            )
        middle = x + (frame.width - width(row.text)) / 2
        text += _text(middle, line + SIZE - 0.5, row.text, SIZE, strong=row.strong)
    return text + "</g>\n"


def _text(x: float, y: float, text: str, size: float, *, strong: bool = False) -> str:
    # The width that was measured holds in whatever font the viewer has.
    fit = f'textLength="{width(text, size):.1f}" lengthAdjust="spacingAndGlyphs"'
    weight = ' font-weight="600"' if strong else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" {fit}{weight}>{escape(text)}</text>\n'
