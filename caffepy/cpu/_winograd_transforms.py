"""Between images and the values at the points of their tiles (see `_winograd_tiles`).

A transformed array is flat: number ``point * step + panel * length * 8 + tile * 8 + lane``. ``work`` holds what is
between the two axes of a transform; `work_size` says how much.
"""

from __future__ import annotations

from caffepy.backend import Array
from caffepy.cpu._jit import kernel
from caffepy.cpu._panels import panel_to_planes, planes_to_panel
from caffepy.cpu._simd import join4
from caffepy.cpu._winograd_matrices import apply
from caffepy.cpu._winograd_tiles import Tiles, positions

__all__ = [
    "gradients_to_points",
    "images_to_points",
    "points_to_images",
    "work_size",
]


def work_size(t: Tiles) -> int:
    """Numbers of ``work``."""
    return 16 * max(t.points_h * (t.out_width + t.taps - 1), t.points_h * t.points_w)


@kernel
def _fill_rows(x: Array, t: Tiles, image: int, panel: int, top: int, count: int, band: Array) -> None:
    """Rows ``top`` to ``top + count`` of eight channels, 0 where there are none, into band (count, width, 8)."""
    begin = min(max(-top, 0), count)
    end = max(min(count, t.height - top), begin)
    band[: begin * t.width * 8] = 0
    band[end * t.width * 8 : count * t.width * 8] = 0
    channel = panel % t.panels * 8
    plane = (image * t.group + panel // t.panels) * t.channels + channel
    lanes = min(t.channels - channel, 8)
    first = (top + begin) * t.width
    area = t.height * t.width
    planes_to_panel(x, plane * area + first, area, lanes, (end - begin) * t.width, band, begin * t.width * 8)


@kernel
def _fill_lane(x: Array, t: Tiles, plane: int, row: int, shift: int, width: int, band: Array, at: int) -> None:
    """Every stride-th number of a row, from ``shift`` on, 0 where there is none, into a lane of a band's row."""
    begin = min(max(-(shift // t.stride), 0), width)
    end = max(min((t.width - shift + t.stride - 1) // t.stride, width), begin)
    if row < 0 or row >= t.height:
        begin = end = width
    base = (plane * t.height + row) * t.width + shift
    for q in range(begin):
        band[at + q * 8] = 0
    for q in range(begin, end):
        band[at + q * 8] = x[base + q * t.stride]
    for q in range(end, width):
        band[at + q * 8] = 0


@kernel
def _fill_phases(x: Array, t: Tiles, image: int, panel: int, top: int, count: int, width: int, band: Array) -> None:
    """As `_fill_rows` of the phases of channels, with ``width`` columns; rows and columns begin in the pads."""
    phases = t.stride * t.stride
    first_plane = (image * t.group + panel // t.panels) * t.channels
    first = panel % t.panels * 8
    lanes = t.channels * phases
    for i in range(count):
        at = i * width * 8
        row = t.stride * (top + i) + first // t.stride % t.stride - t.pad_height
        plane = first_plane + first // phases
        # Eight lanes are two rows of four where the stride is four.
        begin = (t.pad_width + 3) // 4
        end = max(min((t.width + t.pad_width) // 4, width), begin)
        if t.stride != 4 or row < 0 or row + 1 >= t.height or begin >= width:
            begin = end = 0
        base = (plane * t.height + row) * t.width - t.pad_width
        for q in range(begin, end):
            join4(x, base + 4 * q, base + 4 * q + t.width, band, at + q * 8)
        if begin == 0 and end == width:
            continue
        for lane in range(8):
            phase = first + lane
            source = t.stride * (top + i) + phase // t.stride % t.stride - t.pad_height
            if phase >= lanes:
                source = -1
            shift = phase % t.stride - t.pad_width
            plane = first_plane + phase // phases
            if begin > 0:
                _fill_lane(x, t, plane, source, shift, begin, band, at + lane)
            if end < width:
                _fill_lane(x, t, plane, source, shift + end * t.stride, width - end, band, at + end * 8 + lane)


@kernel
def images_to_points(
    begin: int, end: int, x: Array, t: Tiles, first: int, last: int, v: Array, step: int, length: int, work: Array
) -> None:
    """B d of the tiles of strips ``begin`` to ``end`` of x, flat, as those of a block from ``first`` to ``last``."""
    width = t.out_width + t.taps - 1
    band, middle = work[: t.points_h * width * 8], work[t.points_h * width * 8 : 2 * t.points_h * width * 8]
    middle[:] = 0
    columns = t.width if t.stride == 1 else width
    left = t.pad_width if t.stride == 1 else 0
    for strip in range(begin, end):
        image, row = strip // t.rows, strip % t.rows
        inner, edge = positions(t, first, last, strip)
        n = t.points_h if row < t.rows - 1 else t.last_h + t.taps - 1
        for panel in range(t.group * t.panels):
            if t.stride == 1:
                _fill_rows(x, t, image, panel, row * t.size_h - t.pad_height, n, band)
            else:
                _fill_phases(x, t, image, panel, row * t.size_h, n, width, band)
            for column in range(columns):
                apply("numbers", n, n, band, column * 8, columns * 8, middle, (left + column) * 8, width * 8)
            for column in range(t.columns):
                last_one = column == t.columns - 1
                points = t.last_w + t.taps - 1 if last_one else t.points_w
                to = (panel * length + (edge if last_one else inner + column)) * 8
                for i in range(n):
                    source = (i * width + column * t.size_w) * 8
                    apply("numbers", points, points, middle, source, 8, v, to + i * t.points_w * step, step)


@kernel
def gradients_to_points(
    begin: int, end: int, dy: Array, t: Tiles, first: int, last: int, v: Array, step: int, length: int, work: Array
) -> None:
    """E_m dy of the tiles of strips ``begin`` to ``end`` of dy, as `images_to_points`."""
    width = t.out_width
    band, middle = work[: t.size_h * width * 8], work[t.size_h * width * 8 : (t.size_h + t.points_h) * width * 8]
    area = t.out_height * width
    for strip in range(begin, end):
        image, row = strip // t.rows, strip % t.rows
        inner, edge = positions(t, first, last, strip)
        height = t.size_h if row < t.rows - 1 else t.last_h
        n = height + t.taps - 1
        for panel in range(t.group * t.filter_panels):
            channel = panel % t.filter_panels * 8
            plane = (image * t.group + panel // t.filter_panels) * t.filters + channel
            lanes = min(t.filters - channel, 8)
            planes_to_panel(dy, plane * area + row * t.size_h * width, area, lanes, height * width, band, 0)
            for column in range(width):
                apply("values", n, height, band, column * 8, width * 8, middle, column * 8, width * 8)
            for column in range(t.columns):
                last_one = column == t.columns - 1
                size = t.last_w if last_one else t.size_w
                to = (panel * length + (edge if last_one else inner + column)) * 8
                for i in range(n):
                    source = (i * width + column * t.size_w) * 8
                    apply("values", size + t.taps - 1, size, middle, source, 8, v, to + i * t.points_w * step, step)


@kernel
def points_to_images(
    p: Array,
    t: Tiles,
    first: int,
    last: int,
    step: int,
    length: int,
    first_panel: int,
    last_panel: int,
    bias: Array,
    slope: float,
    y: Array,
    work: Array,
) -> None:
    """Panels ``first_panel`` to ``last_panel`` of y, flat, from their products: E_m^T, then `panel_to_planes`."""
    width = t.out_width
    middle, band = work[: t.points_h * width * 8], work[t.points_h * width * 8 : (t.points_h + t.size_h) * width * 8]
    area = t.out_height * width
    for strip in range(first, last):
        image, row = strip // t.rows, strip % t.rows
        inner, edge = positions(t, first, last, strip)
        height = t.size_h if row < t.rows - 1 else t.last_h
        n = height + t.taps - 1
        for panel in range(first_panel, last_panel):
            for column in range(t.columns):
                last_one = column == t.columns - 1
                size = t.last_w if last_one else t.size_w
                at = ((panel - first_panel) * length + (edge if last_one else inner + column)) * 8
                for i in range(n):
                    target = (i * width + column * t.size_w) * 8
                    apply("results", size + t.taps - 1, size, p, at + i * t.points_w * step, step, middle, target, 8)
            for column in range(width):
                apply("results", n, height, middle, column * 8, width * 8, band, column * 8, width * 8)
            channel = panel % t.filter_panels * 8
            plane = (image * t.group + panel // t.filter_panels) * t.filters + channel
            lanes, base = min(t.filters - channel, 8), plane * area + row * t.size_h * width
            panel_to_planes(band, 0, height * width, lanes, bias, panel * 8, slope, y, base, area)
