"""Pictures made of panels below each other: tiles of images, matrices, and rows of values."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from caffepy.monitor.figure import check_kind, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Matrix", "Panel", "Tiles", "Values", "draw_panels", "stretched", "symmetrical", "tiled"]

Images = NDArray[np.float64]

# Inches.
_WIDTH, _HEIGHT = 11.0, 16.0
_TITLE, _GAP, _CAPTION, _MARGIN = 0.32, 0.18, 0.16, 0.2
# Of a tile, and of a pixel where tiles are large enough.
_SMALLEST_TILE, _PIXEL = 0.5, 0.012
_COLOUR = "#1f77b4"


@dataclass(frozen=True)
class Tiles:
    """Images beside and below each other.

    Attributes:
        title: above them.
        images: (n, h, w), or (n, h, w, 3) of red, green, blue; 0 to 1.
        captions: one for each image, below it.
        columns: images in a row; by their shape unless given.
    """

    title: str
    images: Images
    captions: Sequence[str] | None = None
    columns: int | None = None

    def layout(self) -> tuple[int, int, float, float]:
        """Columns, rows, and a tile's width and height in inches, caption included."""
        count, height, width = self.images.shape[:3]
        columns = self.columns or max(1, min(count, round(math.sqrt(1.6 * count * height / max(width, 1)))))
        rows = -(-count // columns)
        breadth = max(0.9 if self.captions else _SMALLEST_TILE, _PIXEL * width, 2.5 / columns)
        # Neither wider nor higher than the picture may be.
        breadth = min(breadth, _WIDTH / columns, _HEIGHT / rows * width / max(height, 1))
        return columns, rows, breadth, breadth * height / max(width, 1) + (_CAPTION if self.captions else 0.0)


@dataclass(frozen=True)
class Matrix:
    """Numbers (rows, columns) as colours, blue below zero and red above."""

    title: str
    values: Images
    across: str = ""
    down: str = ""


@dataclass(frozen=True)
class Values:
    """Numbers (n,) as bars, the largest few named."""

    title: str
    values: Images
    named: Sequence[tuple[int, str]] = ()


Panel = Tiles | Matrix | Values


def tiled(panel: Tiles, gap: int = 1) -> Images:
    """The images of a panel without captions as one, with white gaps between."""
    columns, rows, _, _ = panel.layout()
    count, height, width, *colours = panel.images.shape
    whole = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap, *colours))
    for i in range(count):
        y, x = (i // columns) * (height + gap), (i % columns) * (width + gap)
        whole[y : y + height, x : x + width] = panel.images[i]
    return whole


def symmetrical(values: NDArray[Any], *, each: bool = True) -> Images:
    """Signed numbers (n, ...) to 0 to 1, zero to 1/2: each of the n by its own largest number, or all by one."""
    x = np.nan_to_num(np.asarray(values, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    axes = tuple(range(1, x.ndim)) if each else None
    largest = np.abs(x).max(axis=axes, keepdims=True, initial=0.0)
    return np.asarray(x / np.where(largest > 0, 2 * largest, 1.0) + 0.5)


def stretched(values: NDArray[Any], *, each: bool = True) -> Images:
    """Numbers (n, ...) to 0 to 1, the smallest to 0: each of the n by its own range, or all by one."""
    x = np.nan_to_num(np.asarray(values, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    if not x.size:
        return x
    axes = tuple(range(1, x.ndim)) if each else None
    low, high = x.min(axis=axes, keepdims=True), x.max(axis=axes, keepdims=True)
    return np.asarray((x - low) / np.where(high > low, high - low, 1.0))


def draw_panels(panels: Sequence[Panel], path: str | os.PathLike[str], title: str = "") -> None:
    """Draw ``panels`` as a png, svg or pdf file, whole or not at all.

    Raises:
        CaffepyError: another kind of file.
        OSError: it cannot be written.
    """
    check_kind(path)
    sizes = [_size(panel) for panel in panels]
    # Letters of titles are about a fourteenth of an inch wide.
    titles = max([0.1 * len(title), *(0.073 * len(panel.title) for panel in panels)])
    breadth = max(max(width for width, _ in sizes), min(titles, _WIDTH), 3.0) + 2 * _MARGIN
    head = 0.4 if title else 0.0
    total = head + sum(height + _TITLE + _GAP for _, height in sizes) + _MARGIN
    figure = new_figure(breadth, total)
    if title:
        figure.text(_MARGIN / breadth, 1 - 0.15 / total, _plain(title), va="top", fontsize=13, fontweight="bold")
    top = head
    for panel, (width, height) in zip(panels, sizes, strict=True):
        figure.text(_MARGIN / breadth, 1 - (top + 0.08) / total, _plain(panel.title), va="top", fontsize=10)
        top += _TITLE
        left, bottom = _MARGIN / breadth, 1 - (top + height) / total
        axis = figure.add_axes((left, bottom, width / breadth, height / total))
        if isinstance(panel, Tiles):
            _tiles(axis, panel, width, height)
        elif isinstance(panel, Matrix):
            axis.set_position(
                (left + 0.5 / breadth, bottom + 0.4 / total, (width - 1.6) / breadth, (height - 0.4) / total)
            )
            _matrix(axis, panel)
        else:
            axis.set_position(
                (left + 0.5 / breadth, bottom + 0.3 / total, (width - 0.5) / breadth, (height - 0.3) / total)
            )
            _values(axis, panel)
        top += height + _GAP
    save_figure(figure, path, dpi=110)


def _size(panel: Panel) -> tuple[float, float]:
    """Width and height in inches, without the title."""
    if isinstance(panel, Tiles):
        columns, rows, breadth, tall = panel.layout()
        return columns * breadth, rows * tall
    if isinstance(panel, Values):
        return 9.0, 2.2
    rows, columns = panel.values.shape
    return 8.0, float(np.clip(6.4 * rows / max(columns, 1), 1.0, 9.0)) + 0.4


def _tiles(axis: Axes, panel: Tiles, width: float, height: float) -> None:
    axis.set_axis_off()
    colours = None if panel.images.ndim == 4 else "gray"
    if panel.captions is None:
        gap = 1 if max(panel.images.shape[1:3]) < 64 else 3
        axis.imshow(tiled(panel, gap), vmin=0, vmax=1, interpolation="nearest", aspect="auto", cmap=colours)
        return
    columns, _, breadth, tall = panel.layout()
    axis.set_xlim(0, width)
    axis.set_ylim(height, 0)
    letters = max(4, int(breadth / 0.068))
    for i, (image, caption) in enumerate(zip(panel.images, panel.captions, strict=True)):
        x, y = (i % columns) * breadth, (i // columns) * tall
        extent = (x + 0.02, x + breadth - 0.02, y + tall - _CAPTION, y + 0.02)
        axis.imshow(image, vmin=0, vmax=1, interpolation="nearest", aspect="auto", extent=extent, cmap=colours)
        text = caption if len(caption) <= letters else caption[: letters - 1] + "…"
        axis.text(x + breadth / 2, y + tall - 0.02, _plain(text), ha="center", va="bottom", fontsize=7)
    axis.set_xlim(0, width)
    axis.set_ylim(height, 0)


def _matrix(axis: Axes, panel: Matrix) -> None:
    values = np.nan_to_num(panel.values, nan=0.0, posinf=0.0, neginf=0.0)
    largest = float(np.abs(values).max(initial=0.0)) or 1.0
    image = axis.imshow(values, cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest", aspect="auto")
    axis.set_xlabel(panel.across, fontsize=8)
    axis.set_ylabel(panel.down, fontsize=8)
    axis.tick_params(labelsize=8)
    axis.figure.colorbar(image, ax=axis, fraction=0.04, pad=0.02).ax.tick_params(labelsize=8)


def _values(axis: Axes, panel: Values) -> None:
    values = np.nan_to_num(panel.values, nan=0.0, posinf=0.0, neginf=0.0)
    if len(values) <= 200:
        axis.bar(np.arange(len(values)), values, width=0.8, color=_COLOUR)
    else:
        axis.vlines(np.arange(len(values)), 0, values, colors=_COLOUR, linewidth=0.8)
    axis.axhline(0, color="#888888", linewidth=0.6)
    axis.set_xlim(-0.8, len(values) - 0.2)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    if panel.named:
        lines = "\n".join(f"{float(panel.values[number]):.4g}  {name}" for number, name in panel.named)
        # On the side where there is more room.
        right = panel.named[0][0] < len(values) / 2
        axis.text(
            0.99 if right else 0.01, 0.97, _plain(lines), transform=axis.transAxes, va="top",
            ha="right" if right else "left", fontsize=8,
        )  # fmt: skip


def _plain(text: str) -> str:
    """A text without mathematics, which is what dollars mean to matplotlib."""
    return text.replace("$", r"\$")
