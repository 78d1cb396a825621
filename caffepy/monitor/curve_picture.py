"""The picture of how loss, accuracy and rate of one run or several went."""

from __future__ import annotations

import os
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from caffepy.monitor.figure import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PANELS", "History", "draw", "draw_runs", "smooth"]

# More points than the picture has columns only cost time.
_MOST_POINTS = 4000
_TRAIN, _TEST, _RATE = "#1f77b4", "#d62728", "#555555"
_ACCURACIES = ("#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf")
#: Of runs, where there are several.
_RUNS = (_TRAIN, "#ff7f0e", "#2ca02c", _TEST, "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")
_DASHES = ("-", "--", ":", "-.")


@dataclass
class History:
    """What a picture shows: figures by iteration, or by seconds."""

    iters: array[float] = field(default_factory=lambda: array("d"))
    losses: array[float] = field(default_factory=lambda: array("d"))
    rates: array[float] = field(default_factory=lambda: array("d"))
    #: By test net: iterations, losses.
    tests: dict[int, tuple[list[float], list[float]]] = field(default_factory=dict)
    #: By name (with the test net's number, if there are several): iterations, values.
    accuracies: dict[str, tuple[list[float], list[float]]] = field(default_factory=dict)

    def add_train(self, iteration: float, loss: float, rate: float) -> None:
        """One displayed iteration."""
        self.iters.append(iteration)
        self.losses.append(loss)
        self.rates.append(rate)

    def add_test(self, iteration: float, net: int, loss: float | None, accuracies: dict[str, float]) -> None:
        """One run of a test net; ``accuracies`` by the name to show."""
        if loss is not None:
            _append(self.tests.setdefault(net, ([], [])), iteration, loss)
        for name, value in accuracies.items():
            _append(self.accuracies.setdefault(name, ([], [])), iteration, value)

    @property
    def last_iteration(self) -> int:
        """The last iteration that anything is known of; 0 where nothing is."""
        return int(self.last)

    @property
    def last(self) -> float:
        """The same as a number that need not be whole."""
        return max((at[-1] for at in self._axes()), default=0.0)

    @property
    def first(self) -> float:
        """The first that anything is known of; 0 where nothing is."""
        return min((at[0] for at in self._axes()), default=0.0)

    def _axes(self) -> list[Sequence[float]]:
        every = [self.iters, *(at for at, _ in (*self.tests.values(), *self.accuracies.values()))]
        return [at for at in every if len(at)]


def _append(series: tuple[list[float], list[float]], iteration: float, value: float) -> None:
    series[0].append(iteration)
    series[1].append(value)


#: What a panel can show, and its share of the picture's height.
PANELS = {"loss": 3.0, "train loss": 3.0, "test loss": 3.0, "accuracy": 2.2, "rate": 0.9}


@dataclass(frozen=True)
class _Run:
    """A run's figures and how they are drawn; ``number`` is that of the run, None for a run alone."""

    history: History
    name: str
    number: int | None
    window: int | None

    @property
    def prefix(self) -> str:
        return "" if self.number is None else f"{self.name}: "

    def colour(self, alone: str) -> str:
        """``alone``, or the run's own colour where there are several."""
        return alone if self.number is None else _RUNS[self.number % len(_RUNS)]


def draw(path: str | os.PathLike[str], history: History, title: str, max_iter: int = 0) -> None:
    """Draw one run, as far as it has come, by iteration: loss, accuracy and rate; see `draw_runs`."""
    of = f" of {max_iter:,}" if max_iter else ""
    title = f"{title}: iteration {history.last_iteration:,}{of}"
    draw_runs(path, {"": history}, title, last=0 if history.last_iteration else max_iter)


def draw_runs(
    path: str | os.PathLike[str],
    runs: Mapping[str, History],
    title: str,
    *,
    panels: Sequence[str] | None = None,
    axis: str = "iteration",
    window: int | None = None,
    last: int = 0,
) -> None:
    """Draw runs as a png, svg or pdf file, whole or not at all.

    Of one run each curve has a colour of its own, of several each run has one.

    Args:
        runs: by the name to show.
        panels: keys of `PANELS`; those of which there is anything to show, unless given.
        axis: what the histories' first numbers are.
        window: how many logged training losses one point of the curve is the mean of; by their number unless given.
        last: where the axis ends, if there is nothing to show yet.

    Raises:
        CaffepyError: another kind of picture.
        OSError: it cannot be written.
    """
    several = len(runs) > 1
    drawn = [_Run(run, name, i if several else None, window) for i, (name, run) in enumerate(runs.items())]
    if panels is None:
        panels = ["loss"]
        panels += ["accuracy"] if any(run.history.accuracies for run in drawn) else []
        panels += ["rate"] if any(np.isfinite(run.history.rates).any() for run in drawn) else []
    heights = [PANELS[name] if len(panels) > 1 else 4.0 for name in panels]
    total = 1.0 + sum(heights)
    # The names of several runs have no room among the curves.
    figure = new_figure(12 if several else 9, total)
    # Margins by hand: matplotlib's own layouts take as long as the drawing.
    figure.subplots_adjust(
        left=0.08 if several else 0.11,
        right=0.72 if several else 0.98,
        top=1 - 0.4 / total,
        bottom=0.5 / total,
        hspace=0.14,
    )
    axes: list[Axes] = list(figure.subplots(len(panels), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0])
    axes[0].set_title(title.replace("$", r"\$"), loc="left", fontsize=13, fontweight="bold")
    for name, one in zip(panels, axes, strict=True):
        if name == "accuracy":
            _accuracy(one, drawn)
        elif name == "rate":
            _rate(one, drawn)
        else:
            _loss(one, drawn, train=name != "test loss", test=name != "train loss")
        one.grid(True, color="#e4e4e4", linewidth=0.8)
        one.set_axisbelow(True)
        one.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel(axis)
    axes[-1].xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    first, done = _ends(drawn)
    axes[-1].set_xlim(first, done + 0.02 * (done - first) if done else 1.02 * (last or 1))
    figure.align_ylabels(axes)
    save_figure(figure, path)


def _ends(runs: list[_Run]) -> tuple[float, float]:
    """Where the axis begins, 0 unless all begin far from it, and the last that anything is known of."""
    last = max((run.history.last for run in runs), default=0.0)
    first = min((run.history.first for run in runs), default=0.0)
    return (first if first > 0.3 * last and first < last else 0.0), last


def _loss(axis: Axes, runs: list[_Run], *, train: bool, test: bool) -> None:
    shown: list[NDArray[np.float64]] = []
    for run in runs:
        if train:
            shown.append(_train_loss(axis, run))
        for number, (net, (at, values)) in enumerate(sorted(run.history.tests.items()) if test else ()):
            name = run.prefix + "test loss" + (f" (test net {net})" if len(run.history.tests) > 1 else "")
            colour = run.colour(_TEST if number == 0 else _ACCURACIES[number % len(_ACCURACIES)])
            _mark_last(axis, at, values, colour, name, share=False, dash="-" if run.number is None else "--")
            shown.append(np.asarray(values, np.float64))
    _limit_loss(axis, np.concatenate([np.empty(0), *shown]))
    axis.set_ylabel("loss")
    if axis.lines:
        _legend(axis, runs, "upper right")


def _train_loss(axis: Axes, run: _Run) -> NDArray[np.float64]:
    iters, losses = np.asarray(run.history.iters), np.asarray(run.history.losses)
    every = max(1, len(iters) // _MOST_POINTS)
    window = _window(len(losses)) if run.window is None else min(run.window, len(losses))
    colour = run.colour(_TRAIN)
    if window > 1:
        axis.plot(iters[::every], losses[::every], color=colour, alpha=0.25, linewidth=0.8)
    if len(losses):
        axis.plot(
            iters[::every], smooth(losses, window)[::every], color=colour, linewidth=1.8,
            label=f"{run.prefix}training loss".replace("$", r"\$")
            + (" (smoothed; faint: as logged)" if window > 1 and run.number is None else ""),
        )  # fmt: skip
    return losses


def _legend(axis: Axes, runs: list[_Run], corner: Literal["upper right", "lower right"]) -> None:
    """In a corner; of several runs beside the panel."""
    if len(runs) == 1:
        axis.legend(loc=corner, frameon=False)
    else:
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), frameon=False)


def _limit_loss(axis: Axes, values: NDArray[np.float64]) -> None:
    """A log scale where the loss fell a hundredfold; else from 0, and no higher than nearly all of the points."""
    values = values[np.isfinite(values)]
    if not len(values):
        return
    high, low = float(values.max()), float(np.percentile(values, 2))
    if low > 0 and high / low > 100:
        _log_scale(axis)
    elif values.min() >= 0:
        # One spike at the start must not flatten all the rest.
        usual = float(np.percentile(values, 99))
        axis.set_ylim(0, 1.08 * (min(high, 3 * usual) or 1.0))


def _log_scale(axis: Axes) -> None:
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.yaxis.set_minor_formatter(lambda value, _: "")


def _accuracy(axis: Axes, runs: list[_Run]) -> None:
    lowest = 1.0
    for run in runs:
        for number, (name, (at, values)) in enumerate(run.history.accuracies.items()):
            colour = run.colour(_ACCURACIES[number % len(_ACCURACIES)])
            dash = "-" if run.number is None else _DASHES[number % len(_DASHES)]
            _mark_last(axis, at, values, colour, f"{run.prefix}test {name}", share=True, dash=dash)
            lowest = min(lowest, *values)
    # From 0 while it learns; closer once all that is shown lies in the upper part.
    axis.set_ylim(max(0.0, 2 * lowest - 1.02) if lowest > 0.5 else 0.0, 1.02)
    axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axis.set_ylabel("accuracy")
    _legend(axis, runs, "lower right")


def _mark_last(
    axis: Axes, at: list[float], values: list[float], colour: str, name: str, *, share: bool, dash: str
) -> None:
    """A line with its latest value in the legend."""
    shown = f"{100 * values[-1]:.2f} %" if share else f"{values[-1]:.4g}"
    marker = "o" if len(at) <= 60 else ""
    label = f"{name}: {shown}".replace("$", r"\$")
    axis.plot(at, values, color=colour, linewidth=1.8, linestyle=dash, marker=marker, markersize=4, label=label)


def _rate(axis: Axes, runs: list[_Run]) -> None:
    rates = np.concatenate([np.asarray(run.history.rates) for run in runs])
    for run in runs:
        # Changes of rate must not be lost between points, so all are drawn: they are on one line and so cheap.
        axis.plot(
            np.asarray(run.history.iters), np.asarray(run.history.rates), color=run.colour(_RATE), linewidth=1.4,
            drawstyle="steps-post", label=run.name.replace("$", r"\$"),
        )  # fmt: skip
    finite = rates[np.isfinite(rates) & (rates > 0)]
    if len(finite) and finite.max() / finite.min() > 9:
        _log_scale(axis)
    elif len(finite):
        axis.set_ylim(0, 1.15 * finite.max())
    axis.set_ylabel("learning rate", fontsize=9)
    if len(runs) > 1:
        _legend(axis, runs, "upper right")


def _window(count: int) -> int:
    """How many logged losses one smoothed value is the mean of: a twelfth of all, 3 to 200; 1 where there are few."""
    return min(max(count // 12, 3), 200) if count >= 12 else 1


def smooth(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """The mean of the ``window`` values around each, of fewer at the ends; values that are no numbers do not count."""
    if window <= 1 or not len(values):
        return values
    finite = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    index = np.arange(len(values))
    low, high = np.maximum(index - window // 2, 0), np.minimum(index + window - window // 2, len(values))
    number = counts[high] - counts[low]
    return np.where(number > 0, (sums[high] - sums[low]) / np.maximum(number, 1), np.nan)
