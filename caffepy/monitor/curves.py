"""``curves.png``: how loss, accuracy and rate went, redrawn at tests and snapshots and at the end of the run."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import threading
import time
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from caffepy.monitor.metrics import loss_of_test, read_metrics
from caffepy.proto.files import atomic_write, remove_abandoned
from caffepy.solver.observer import Display, End, Observer, Snapshot, TestResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from caffepy.solver.solver import Solver

__all__ = ["Curves", "History", "draw"]

_log = logging.getLogger("caffepy")

# More points than the picture has columns only cost time.
_MOST_POINTS = 4000
_TRAIN, _TEST, _RATE = "#1f77b4", "#d62728", "#555555"
_ACCURACIES = ("#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf")


@dataclass
class History:
    """What a picture shows: figures by iteration."""

    iters: array[float] = field(default_factory=lambda: array("d"))
    losses: array[float] = field(default_factory=lambda: array("d"))
    rates: array[float] = field(default_factory=lambda: array("d"))
    #: By test net: iterations, losses.
    tests: dict[int, tuple[list[int], list[float]]] = field(default_factory=dict)
    #: By name (with the test net's number, if there are several): iterations, values.
    accuracies: dict[str, tuple[list[int], list[float]]] = field(default_factory=dict)

    def add_train(self, iteration: int, loss: float, rate: float) -> None:
        """One displayed iteration."""
        self.iters.append(iteration)
        self.losses.append(loss)
        self.rates.append(rate)

    def add_test(self, iteration: int, net: int, loss: float | None, accuracies: dict[str, float]) -> None:
        """One run of a test net; ``accuracies`` by the name to show."""
        if loss is not None:
            _append(self.tests.setdefault(net, ([], [])), iteration, loss)
        for name, value in accuracies.items():
            _append(self.accuracies.setdefault(name, ([], [])), iteration, value)

    @property
    def last_iteration(self) -> int:
        """The last iteration that anything is known of; 0 where nothing is."""
        return int(
            max([*self.iters[-1:], *(at[-1] for at, _ in (*self.tests.values(), *self.accuracies.values()))], default=0)
        )


def _append(series: tuple[list[int], list[float]], iteration: int, value: float) -> None:
    series[0].append(iteration)
    series[1].append(value)


def _import_matplotlib() -> None:
    # Without a home folder it says so at length; the picture is the same.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    # What is wrong with it is told where it is used.
    with contextlib.suppress(Exception):
        import matplotlib.backends.backend_agg
        import matplotlib.figure  # noqa: F401


class Curves(Observer):
    """Draws ``path``. A picture that cannot be drawn is a warning, once, and never the end of a run.

    Args:
        path: the PNG file.
        metrics: the `Metrics` file of the run, read when it is resumed: stands before this observer.
    """

    def __init__(self, path: str | os.PathLike[str], metrics: str | os.PathLike[str] | None = None) -> None:
        self.path = Path(path)
        self.metrics = metrics
        self.history = History()
        self._failed = False
        self._drawn_at = self._took = 0.0

    def on_begin(self, solver: Solver) -> None:
        self._title = solver.net.name or "unnamed net"
        self._max_iter = solver.param.max_iter
        self._several = len(solver.test_nets) > 1
        self._accuracy_names = [
            {name for entry in net.entries if entry.layer.type == "Accuracy" for name in entry.top_names[:1]}
            for net in solver.test_nets
        ]
        self.history = History()
        # The next picture may be hours away.
        remove_abandoned(self.path.parent, self.path.name)
        self._importing: threading.Thread | None = None
        if importlib.util.find_spec("matplotlib") is None:
            self._warn(ModuleNotFoundError("No module named 'matplotlib'"))
        if solver.iter and self.metrics is not None and Path(self.metrics).exists():
            for record in read_metrics(self.metrics):
                self._add(record)

    def _import_matplotlib(self) -> None:
        """After the first iteration, which should not wait for it, and beside the next: it takes half a second."""
        if self._importing is None:
            self._importing = threading.Thread(target=_import_matplotlib, name="caffepy-curves")
            self._importing.start()

    def _add(self, record: dict[str, Any]) -> None:
        """A line of the metrics file."""
        loss = record.get("loss")
        number = float("nan") if loss is None else float(loss)
        if record.get("kind") == "train":
            self.history.add_train(record["iter"], number, float(record.get("lr") or "nan"))
        elif record.get("kind") == "test":
            self._add_test(record["iter"], record.get("net", 0), loss, record.get("outputs", {}))

    def _add_test(self, iteration: int, net: int, loss: float | None, outputs: dict[str, Any]) -> None:
        names = self._accuracy_names[net] if net < len(self._accuracy_names) else set()
        label = f" (test net {net})" if self._several else ""
        shown = {f"{name}{label}": value for name, value in outputs.items() if name in names and value is not None}
        self.history.add_test(iteration, net, loss, shown)

    def on_display(self, event: Display) -> None:
        self._import_matplotlib()
        self.history.add_train(event.iter, event.loss, event.rate)

    def on_test(self, event: TestResult) -> None:
        self._add_test(event.iter, event.net, loss_of_test(event), {o.name: o.value for o in event.outputs})
        self._draw_in_between(event.iter)

    def on_snapshot(self, event: Snapshot) -> None:
        # For runs without tests.
        self._draw_in_between(event.iter)

    def _draw_in_between(self, iteration: int) -> None:
        # At each test, unless tests follow so fast that drawing would take more than a twentieth of the run.
        if iteration and time.perf_counter() - self._drawn_at > 20 * self._took:
            self._draw()

    def on_end(self, event: End) -> None:
        self._draw()

    def _draw(self) -> None:
        began = time.perf_counter()
        _import_matplotlib()
        try:
            draw(self.path, self.history, self._title, self._max_iter)
            self._drawn_at = time.perf_counter()
            self._took = self._drawn_at - began
        except Exception as error:
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        if not self._failed:
            _log.warning("%s cannot be drawn (the run goes on): %s: %s", self.path, type(error).__name__, error)
        self._failed = True


def draw(path: str | os.PathLike[str], history: History, title: str, max_iter: int = 0) -> None:
    """Draw ``history`` as a PNG file, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [(_loss, 3.0)]
    panels += [(_accuracy, 2.2)] if history.accuracies else []
    panels += [(_rate, 0.9)] if history.rates else []
    heights = [height for _, height in panels]
    total = 1.0 + sum(heights)
    figure = Figure(figsize=(9, total))
    FigureCanvasAgg(figure)
    # Margins by hand: matplotlib's own layouts take as long as the drawing.
    figure.subplots_adjust(left=0.11, right=0.98, top=1 - 0.4 / total, bottom=0.5 / total, hspace=0.14)
    axes: list[Axes] = list(figure.subplots(len(panels), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0])
    done = history.last_iteration
    of = f" of {max_iter:,}" if max_iter else ""
    axes[0].set_title(f"{title}: iteration {int(done):,}{of}", loc="left", fontsize=13, fontweight="bold")
    for (fill, _), axis in zip(panels, axes, strict=True):
        fill(axis, history)
        axis.grid(True, color="#e4e4e4", linewidth=0.8)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("iteration")
    axes[-1].xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes[-1].set_xlim(0, 1.02 * (done or max_iter or 1))
    figure.align_ylabels(axes)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=110)


def _loss(axis: Axes, history: History) -> None:
    every = max(1, len(history.iters) // _MOST_POINTS)
    iters, losses = np.asarray(history.iters), np.asarray(history.losses)
    window = _window(len(losses))
    if window > 1:
        axis.plot(iters[::every], losses[::every], color=_TRAIN, alpha=0.25, linewidth=0.8)
    if len(losses):
        axis.plot(
            iters[::every], smooth(losses, window)[::every], color=_TRAIN, linewidth=1.8,
            label="training loss" + (" (smoothed; faint: as logged)" if window > 1 else ""),
        )  # fmt: skip
    for number, (net, (at, values)) in enumerate(sorted(history.tests.items())):
        name = "test loss" + (f" (test net {net})" if len(history.tests) > 1 else "")
        colour = _TEST if number == 0 else _ACCURACIES[number % len(_ACCURACIES)]
        _mark_last(axis, at, values, colour, name)
    _limit_loss(axis, losses, [value for _, values in history.tests.values() for value in values])
    axis.set_ylabel("loss")
    if axis.lines:
        axis.legend(loc="upper right", frameon=False)


def _limit_loss(axis: Axes, losses: NDArray[np.float64], tests: list[float]) -> None:
    """A log scale where the loss fell a hundredfold; else from 0, and no higher than nearly all of the points."""
    values = np.concatenate([losses, np.asarray(tests, np.float64)])
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


def _accuracy(axis: Axes, history: History) -> None:
    lowest = 1.0
    for number, (name, (at, values)) in enumerate(history.accuracies.items()):
        _mark_last(axis, at, values, _ACCURACIES[number % len(_ACCURACIES)], f"test {name}")
        lowest = min(lowest, *values)
    # From 0 while it learns; closer once all that is shown lies in the upper part.
    axis.set_ylim(max(0.0, 2 * lowest - 1.02) if lowest > 0.5 else 0.0, 1.02)
    axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axis.set_ylabel("accuracy")
    axis.legend(loc="lower right", frameon=False)


def _mark_last(axis: Axes, at: list[int], values: list[float], colour: str, name: str) -> None:
    """A line with its latest value in the legend."""
    shown = f"{100 * values[-1]:.2f} %" if "loss" not in name else f"{values[-1]:.4g}"
    marker = "o" if len(at) <= 60 else ""
    axis.plot(at, values, color=colour, linewidth=1.8, marker=marker, markersize=4, label=f"{name}: {shown}")


def _rate(axis: Axes, history: History) -> None:
    rates = np.asarray(history.rates)
    # Changes of rate must not be lost between points, so all of them are drawn: they are on one line and so cheap.
    axis.plot(np.asarray(history.iters), rates, color=_RATE, linewidth=1.4, drawstyle="steps-post")
    finite = rates[np.isfinite(rates) & (rates > 0)]
    if len(finite) and finite.max() / finite.min() > 9:
        _log_scale(axis)
    elif len(finite):
        axis.set_ylim(0, 1.15 * finite.max())
    axis.set_ylabel("learning rate", fontsize=9)


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
