"""Draws layers against the limits of the machine: products in a roofline, and the time of all passes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

if TYPE_CHECKING:
    from tests.benchmarks.layers import Limits, Pass

__all__ = ["draw"]

# Williams, Waterman, Patterson, "Roofline: an insightful visual performance model", 2009.
_COLOURS = {"forward": "#1f77b4", "backward": "#d95f02"}
_MARKS = {"forward": "o", "backward": "^"}


def draw(passes: list[Pass], limits: Limits, path: Path, title: str) -> None:
    """A PNG at ``path``."""
    figure = Figure(figsize=(13, 7), layout="constrained", dpi=120)
    left, right = figure.subplots(1, 2, width_ratios=[5, 4])
    figure.suptitle(title, fontsize=11)
    _roofline(left, passes, limits)
    _times(right, passes, limits)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")


def _roofline(axes: Axes, passes: list[Pass], limits: Limits) -> None:
    products = [one for one in passes if one.flop]
    intensities = [_intensity(one) for one in products]
    low, high = min(min(intensities) / 2, limits.product / limits.memory / 3), 3 * max(intensities)
    ridge = limits.product / limits.memory
    axes.plot([low, ridge], [low * limits.memory / 1e9, limits.product / 1e9], color="0.3", lw=1.2)
    axes.plot([ridge, high], [limits.product / 1e9] * 2, color="0.3", lw=1.2)
    axes.annotate(
        f"one matrix product: {limits.product / 1e9:.0f} GFLOP/s", (high, limits.product / 1e9), xytext=(-4, 4),
        textcoords="offset points", ha="right", va="bottom", fontsize=9,
    )  # fmt: skip
    axes.annotate(
        f"memory: {limits.memory / 1e9:.1f} GB/s", (low, low * limits.memory / 1e9), xytext=(14, 0),
        textcoords="offset points", ha="left", va="bottom", fontsize=9,
    )  # fmt: skip
    for way, colour in _COLOURS.items():
        here = [one for one in products if one.way == way]
        axes.scatter(
            [_intensity(one) for one in here], [_speed(one) for one in here],
            color=colour, marker=_MARKS[way], s=40, zorder=3, label=f"caffepy, {way}",
        )  # fmt: skip
        other = [one for one in here if one.theirs]
        axes.scatter(
            [_intensity(one) for one in other], [one.flop / one.theirs / 1e9 for one in other if one.theirs],
            edgecolors=colour, facecolors="none", marker=_MARKS[way], s=40, zorder=2, label=f"PyTorch, {way}",
        )  # fmt: skip
    # Names of forward passes stand before their marks, of backward passes after them.
    for way, shift in (("forward", -6), ("backward", 6)):
        for names, x, y in _labels([one for one in products if one.way == way]):
            axes.annotate(
                names, (x, y), xytext=(shift, 0), textcoords="offset points", fontsize=8, va="center",
                ha="right" if shift < 0 else "left", color=_COLOURS[way],
            )  # fmt: skip
    axes.set(
        xscale="log", yscale="log", xlim=(low, high), xlabel="operations for each byte that must be moved",
        ylabel="GFLOP/s achieved", title="Layers with products, counted as direct products",
    )  # fmt: skip
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    axes.grid(True, which="both", lw=0.3)
    axes.legend(loc="lower right", fontsize=9)


def _labels(passes: list[Pass]) -> list[tuple[str, float, float]]:
    """Names and places; marks that lie on one another share a label."""
    groups: list[list[Pass]] = []
    for one in passes:
        for group in groups:
            if all(_close(_intensity(one), _intensity(x)) and _close(_speed(one), _speed(x)) for x in group):
                group.append(one)
                break
        else:
            groups.append([one])
    return [
        (", ".join(one.layer for one in group), _intensity(group[0]), sum(map(_speed, group)) / len(group))
        for group in groups
    ]


def _close(a: float, b: float) -> bool:
    return abs(math.log(a / b)) < 0.06


def _intensity(one: Pass) -> float:
    return one.flop / one.bytes


def _speed(one: Pass) -> float:
    return one.flop / one.ours / 1e9


def _times(axes: Axes, passes: list[Pass], limits: Limits) -> None:
    """Milliseconds of each layer, forward and backward stacked, with a tick at what the machine's limits allow."""
    # In the order of the forward pass, which of a layer may be too short to be seen.
    seen = {one.layer for one in passes if max(one.ours, one.theirs or 0.0) > 1e-3}
    names = [name for name in dict.fromkeys(one.layer for one in passes) if name in seen]
    for row, name in enumerate(names):
        for shift, side in ((-0.2, "caffepy"), (0.2, "PyTorch")):
            begin = 0.0
            for one in (one for one in passes if one.layer == name):
                seconds = one.ours if side == "caffepy" else one.theirs or 0.0
                alpha = 1.0 if side == "caffepy" else 0.35
                axes.barh(row + shift, 1e3 * seconds, 0.38, 1e3 * begin, color=_COLOURS[one.way], alpha=alpha)
                begin += seconds
        floor = sum(
            one.flop / limits.product if one.flop else one.bytes / limits.memory for one in passes if one.layer == name
        )
        axes.plot([1e3 * floor] * 2, [row - 0.42, row + 0.02], color="black", lw=2)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set(
        xlabel="ms forward (blue) and backward (orange)",
        title="Full: caffepy; pale: PyTorch; black: direct products,\nor each value moved once, at the machine's speed",
    )
    axes.grid(True, axis="x", lw=0.3)
