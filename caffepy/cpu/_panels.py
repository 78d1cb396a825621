"""Planes of an image to panels of eight channels, a row of eight for each place, and back."""

from __future__ import annotations

from caffepy.backend import Array
from caffepy.cpu._jit import kernel
from caffepy.cpu._simd import finish8, transpose8

__all__ = ["panel_to_planes", "planes_to_panel"]


@kernel
def planes_to_panel(x: Array, base: int, area: int, lanes: int, count: int, panel: Array, at: int) -> None:
    """``count`` numbers of each of eight planes, ``area`` apart, side by side; where ``lanes`` are fewer, 0 follows."""
    if lanes == 8 and count >= 8:
        for q in range(0, count - 7, 8):
            transpose8(x, base + q, area, panel, at + q * 8, 8)
        if count % 8 != 0:
            q = count - 8
            transpose8(x, base + q, area, panel, at + q * 8, 8)
        return
    for lane in range(8):
        for q in range(count):
            panel[at + q * 8 + lane] = x[base + lane * area + q] if lane < lanes else 0


@kernel
def panel_to_planes(
    panel: Array, at: int, count: int, lanes: int, bias: Array, b0: int, slope: float, y: Array, base: int, area: int
) -> None:
    """The reverse, with ``bias`` added; where the sum is not above 0, it is multiplied by ``slope``."""
    if lanes == 8 and count >= 8:
        for q in range(0, count - 7, 8):
            finish8(panel, at + q * 8, bias, b0, slope, y, base + q, area)
        if count % 8 != 0:
            q = count - 8
            finish8(panel, at + q * 8, bias, b0, slope, y, base + q, area)
        return
    for lane in range(lanes):
        for q in range(count):
            value = panel[at + q * 8 + lane] + bias[b0 + lane]
            y[base + lane * area + q] = value if value > 0 else value * slope
