"""How an image falls into tiles for a fast convolution, and where the numbers of a tile lie.

A strip is one row of tiles of one image. Strips are transformed together, some at a time; a transformed array has, for
each point of a tile, panels of eight channels, and in a panel a row of eight for each tile. The last row and column of
tiles hold what is left, take fewer points, and are numbered so that a point's tiles follow one another: those of the
last column first, then the inner ones, then the last row, then the corner.
"""

from __future__ import annotations

from typing import NamedTuple

from caffepy.cpu._jit import kernel

__all__ = ["Tiles", "positions", "span", "tiles_of"]


class Tiles(NamedTuple):
    """A convolution with square filters, and the tiles of its results.

    With a stride, each channel is taken apart into stride x stride images (phases), whose filters have fewer taps.
    """

    images: int
    group: int
    channels: int  # of x, in a group
    filters: int  # channels of y, in a group
    height: int
    width: int
    out_height: int
    out_width: int
    kernel: int
    stride: int
    pad_height: int
    pad_width: int
    taps: int  # of a phase's filter, on an axis
    size_h: int  # results of a tile
    size_w: int
    rows: int  # of tiles
    columns: int
    last_h: int  # results of a tile of the last row
    last_w: int
    points_h: int  # of a tile
    points_w: int
    panels: int  # of eight channels of x (and phase), in a group
    filter_panels: int

    @property
    def points(self) -> int:
        return self.points_h * self.points_w

    @property
    def products(self) -> int:
        """Products of one channel with one filter, for one image."""
        rows = self.out_height + self.rows * (self.taps - 1)
        return rows * (self.out_width + self.columns * (self.taps - 1))


def tiles_of(
    x_shape: tuple[int, ...],
    y_shape: tuple[int, ...],
    kernel: int,
    stride: int,
    pad: tuple[int, int],
    group: int,
    sizes: tuple[int, int],
) -> Tiles:
    """Tiles of at most ``sizes`` results."""
    (images, channels, height, width), (_, filters, out_height, out_width) = x_shape, y_shape
    channels, filters, taps = channels // group, filters // group, -(-kernel // stride)
    rows, columns = -(-out_height // sizes[0]), -(-out_width // sizes[1])
    return Tiles(
        *(images, group, channels, filters, height, width, out_height, out_width, kernel, stride, *pad, taps, *sizes),
        rows=rows,
        columns=columns,
        last_h=out_height - (rows - 1) * sizes[0],
        last_w=out_width - (columns - 1) * sizes[1],
        points_h=sizes[0] + taps - 1,
        points_w=sizes[1] + taps - 1,
        panels=-(-channels * stride * stride // 8),
        filter_panels=-(-filters // 8),
    )


@kernel
def positions(t: Tiles, first: int, last: int, strip: int) -> tuple[int, int]:
    """Of a strip's first tile, those after it following, and of its last tile, among strips ``first`` to ``last``."""
    ends = last // t.rows - first // t.rows
    before = strip // t.rows - first // t.rows
    inner = last - first - ends
    if (strip + 1) % t.rows != 0:
        index = strip - first - before
        return inner + index * (t.columns - 1), index
    return inner + (inner + before) * (t.columns - 1), inner * t.columns + ends * (t.columns - 1) + before


@kernel
def span(t: Tiles, first: int, last: int, i: int, j: int) -> tuple[int, int]:
    """Begin and end of the tiles that have point (i, j), among strips ``first`` to ``last``."""
    ends = last // t.rows - first // t.rows
    inner = last - first - ends
    right = j < t.last_w + t.taps - 1
    end = inner * t.columns
    if i < t.last_h + t.taps - 1:
        end += ends * (t.columns if right else t.columns - 1)
    return 0 if right else inner, end
