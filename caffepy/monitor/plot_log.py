"""Pictures of runs from their logs: an overview, or one of the charts of Caffe's tools/extra/plot_training_log.py."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from caffepy.errors import CaffepyError, did_you_mean
from caffepy.monitor.curve_picture import History, draw_runs
from caffepy.monitor.parse_log import LogError, Row, RunLog

__all__ = ["CHARTS", "Chart", "find_chart", "history_of", "plot_logs"]


class Chart(NamedTuple):
    """What is shown (a key of `caffepy.monitor.curve_picture.PANELS`) over what."""

    title: str
    panel: str
    seconds: bool


#: By the number that Caffe's script gives them.
CHARTS = tuple(
    Chart(f"{name} vs. {'Seconds' if seconds else 'Iters'}", panel, seconds)
    for name, panel in (
        ("Test accuracy", "accuracy"), ("Test loss", "test loss"), ("Train learning rate", "rate"),
        ("Train loss", "train loss"),
    )
    for seconds in (False, True)
)  # fmt: skip


def find_chart(text: str) -> Chart:
    """A chart by number or name; a name without "vs." is over iterations.

    Raises:
        CaffepyError: there is none of that name.
    """
    if text.isdigit() and int(text) < len(CHARTS):
        return CHARTS[int(text)]
    wanted = " ".join(text.lower().replace("-", " ").replace("_", " ").replace("vs.", "vs").split())
    names = [chart.title.lower().replace(".", "") for chart in CHARTS]
    for name, chart in zip(names, CHARTS, strict=True):
        if wanted in (name, name.removesuffix(" vs iters")):
            return chart
    each = "; ".join(f"{i}: {chart.title}" for i, chart in enumerate(CHARTS))
    hint = did_you_mean(wanted, names)
    raise CaffepyError(f"'{text}' is not a valid chart type.{hint} Supported chart types: {each}.")


def plot_logs(
    path: str | os.PathLike[str],
    logs: Mapping[str, RunLog],
    *,
    chart: Chart | None = None,
    seconds: bool = False,
    window: int | None = None,
    title: str | None = None,
) -> None:
    """Draw the runs of ``logs``, by name, as a png, svg or pdf file.

    Args:
        chart: what to show; unless given loss, accuracy and rate, as far as the logs have them.
        seconds: let the axis be seconds and not iterations; a chart says so itself.
        window: how many logged training losses one point is the mean of. Unless given a chart shows them as they
            were logged, and the overview a smooth curve.
        title: unless given that of the chart, or how far the runs have come.

    Raises:
        LogError: nothing of what is asked for is in a log.
        CaffepyError: another kind of picture.
    """
    seconds = chart.seconds if chart else seconds
    runs = {name: history_of(log, seconds=seconds, name=name) for name, log in logs.items()}
    axis = "seconds" if seconds else "iteration"
    if chart is None:
        if title is None:
            names = ", ".join(runs)
            title = names if len(names) <= 60 else f"{len(runs)} runs"
        draw_runs(path, runs, title, axis=axis, window=window)
        return
    for name, run in runs.items():
        there = {
            "accuracy": bool(run.accuracies),
            "test loss": bool(run.tests),
            "rate": _some(run.rates),
            "train loss": _some(run.losses),
        }
        if not there[chart.panel]:
            what = {"rate": "learning rate"}.get(chart.panel, chart.panel)
            raise LogError(f"{name}: the log has no {'test ' if what == 'accuracy' else ''}{what}: no line to draw.")
    draw_runs(path, runs, title or chart.title, panels=[chart.panel], axis=axis, window=window or 1)


def _some(values: Iterable[float]) -> bool:
    return any(not math.isnan(value) for value in values)


def history_of(log: RunLog, *, seconds: bool = False, name: str = "") -> History:
    """The figures of a log as a picture shows them, over iterations or seconds.

    Accuracies are the test outputs that are no losses and never leave 0 to 1.

    Raises:
        LogError: seconds of a log without times.
    """
    if seconds and any(math.isnan(row.seconds) for row in (*log.train, *log.test)):
        raise LogError(f"{name}: the log has no times, so there are no seconds to draw over.")
    history = History()
    for row in log.train:
        loss = sum(row.losses.values()) if math.isnan(row.loss) and row.losses else row.loss
        history.add_train(row.seconds if seconds else row.iteration, loss, row.rate)
    shares = _shares(log)
    nets = max((_net_of(output) for output in log.outputs("test")), default=0) + 1
    for row in log.test:
        at = row.seconds if seconds else row.iteration
        for net in range(nets):
            found = {
                _shown(output, nets): value
                for output, value in row.outputs.items()
                if output in shares and _net_of(output) == net and not math.isnan(value)
            }
            history.add_test(at, net, _test_loss(row, net), found)
    return history


def _shares(log: RunLog) -> set[str]:
    """The test outputs that can be accuracies."""
    names = set(log.outputs("test"))
    for row in log.test:
        names -= {name for name, value in row.outputs.items() if not 0 <= value <= 1 and not math.isnan(value)}
        names -= row.losses.keys()
    return names


def _net_of(output: str) -> int:
    number = output.partition("#")[2].partition("[")[0]
    return int(number) if number.isdigit() and len(number) < 5 else 0


def _shown(output: str, nets: int) -> str:
    if nets == 1:
        return output
    name, _, rest = output.partition("#")
    place = f"[{rest.partition('[')[2]}" if "[" in rest else ""
    return f"{name}{place} (test net {_net_of(output)})"


def _test_loss(row: Row, net: int) -> float | None:
    if net == 0 and not math.isnan(row.loss):
        return row.loss
    losses = [value for name, value in row.losses.items() if _net_of(name) == net]
    return sum(losses) if losses else None
