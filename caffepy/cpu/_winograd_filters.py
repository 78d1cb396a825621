"""Between filters and their values at the points of tiles, laid out as images' are (see `_winograd_transforms`)."""

from __future__ import annotations

from caffepy.backend import Array
from caffepy.cpu._jit import kernel
from caffepy.cpu._panels import planes_to_panel
from caffepy.cpu._simd import scale8
from caffepy.cpu._winograd_matrices import apply
from caffepy.cpu._winograd_tiles import Tiles

__all__ = ["filters_to_points", "points_to_filters"]


@kernel
def _taps(w: Array, t: Tiles, turned: bool, panel: int, row: int, taps: Array) -> None:
    """Those of a channel, ``row``, in the eight filters of a panel, side by side."""
    area = t.kernel * t.kernel
    group, filter_ = panel // t.filter_panels, panel % t.filter_panels * 8
    row_step, lane_step = (t.filters * area, area) if turned else (area, t.channels * area)
    base = group * t.channels * t.filters * area + row * row_step + filter_ * lane_step
    planes_to_panel(w, base, lane_step, min(t.filters - filter_, 8), area, taps, 0)


@kernel
def _taps_of_phase(w: Array, t: Tiles, panel: int, row: int, taps: Array) -> None:
    """The same of a channel's phase; taps that a phase has not are 0."""
    area, phases = t.kernel * t.kernel, t.stride * t.stride
    group, filter_ = panel // t.filter_panels, panel % t.filter_panels * 8
    base = ((group * t.filters + filter_) * t.channels + row // phases) * area
    for k in range(t.taps * t.taps):
        i = k // t.taps * t.stride + row // t.stride % t.stride
        j = k % t.taps * t.stride + row % t.stride
        inside = i < t.kernel and j < t.kernel
        for lane in range(8):
            there = inside and filter_ + lane < t.filters
            taps[k * 8 + lane] = w[base + lane * t.channels * area + i * t.kernel + j] if there else 0


@kernel
def filters_to_points(
    w: Array,
    scale: Array,
    t: Tiles,
    turned: bool,
    first: int,
    last: int,
    u_panel: int,
    u: Array,
    step: int,
    work: Array,
) -> None:
    """E_r w times each filter's ``scale``: panels ``first`` to ``last`` of filters, over all groups.

    A panel has a row for each channel (and phase) of x; u begins with panel ``u_panel``. w, flat, is (filters,
    channels, kernel, kernel); where ``turned``, (channels, filters, ...) with taps in reverse.
    """
    phases, area = t.stride * t.stride, t.taps * t.taps
    taps, middle = work[: area * 8], work[area * 8 :]
    for panel in range(first, last):
        for row in range(t.panels * 8):
            if row >= t.channels * phases:
                taps[:] = 0
            elif t.stride == 1:
                _taps(w, t, turned, panel, row, taps)
            else:
                _taps_of_phase(w, t, panel, row, taps)
            scale8(taps, 0, area, scale, panel * 8)
            # In reverse where the filters are turned.
            begin, forward = ((area - 1) * 8, -8) if turned else (0, 8)
            for j in range(t.taps):
                apply(
                    "values", t.points_h, t.taps, taps, begin + j * forward, t.taps * forward, middle, j * 8, t.taps * 8
                )
            to = ((panel - u_panel) * t.panels * 8 + row) * 8
            for i in range(t.points_h):
                apply("values", t.points_w, t.taps, middle, i * t.taps * 8, 8, u, to + i * t.points_w * step, step)


@kernel
def points_to_filters(u: Array, t: Tiles, first: int, last: int, step: int, dw: Array, work: Array) -> None:
    """Add E_r^T u to the gradients dw of panels ``first`` to ``last`` of filters."""
    area = t.kernel * t.kernel
    phases, rows = t.stride * t.stride, t.panels * 8
    taps, middle = work[: t.taps * t.taps * 8], work[t.taps * t.taps * 8 :]
    for panel in range(first, last):
        group, filter_ = panel // t.filter_panels, panel % t.filter_panels * 8
        for row in range(t.channels * phases):
            at = (panel * rows + row) * 8
            for i in range(t.points_h):
                apply("results", t.points_w, t.taps, u, at + i * t.points_w * step, step, middle, i * t.taps * 8, 8)
            for j in range(t.taps):
                apply("results", t.points_h, t.taps, middle, j * 8, t.taps * 8, taps, j * 8, t.taps * 8)
            for k in range(t.taps * t.taps):
                i = k // t.taps * t.stride + row // t.stride % t.stride
                j = k % t.taps * t.stride + row % t.stride
                if i < t.kernel and j < t.kernel:
                    for lane in range(min(t.filters - filter_, 8)):
                        filter_at = (group * t.filters + filter_ + lane) * t.channels + row // phases
                        dw[filter_at * area + i * t.kernel + j] += taps[k * 8 + lane]
