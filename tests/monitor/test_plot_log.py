"""What is drawn of logs: which figures each chart has, and which runs."""

from __future__ import annotations

import math
from datetime import datetime

import numpy as np
import pytest

from caffepy.errors import CaffepyError
from caffepy.monitor import curve_picture, plot_log
from caffepy.monitor.parse_log import LogError, parse_lines
from caffepy.monitor.plot_log import CHARTS, find_chart, history_of, plot_logs
from tests.monitor.test_curves import has_colour, pixels
from tests.monitor.test_parse_log import caffe_log, head


def log(**arguments):
    return parse_lines(caffe_log(**arguments), 2016)


def test_the_charts_are_caffes():
    assert [chart.title for chart in CHARTS] == [
        "Test accuracy vs. Iters",
        "Test accuracy vs. Seconds",
        "Test loss vs. Iters",
        "Test loss vs. Seconds",
        "Train learning rate vs. Iters",
        "Train learning rate vs. Seconds",
        "Train loss vs. Iters",
        "Train loss vs. Seconds",
    ]
    for number, chart in enumerate(CHARTS):
        assert find_chart(str(number)) is chart
        assert find_chart(chart.title) is chart
    assert find_chart("train-loss") is CHARTS[6]
    assert find_chart("Test  loss VS seconds") is CHARTS[3]
    for wrong in ("8", "loss", "-1"):
        with pytest.raises(CaffepyError, match=f"'{wrong}' is not a valid chart type"):
            find_chart(wrong)


@pytest.fixture
def drawn(monkeypatch):
    """What matplotlib is given to plot: by label (without the last value), x and y."""
    from matplotlib.axes import Axes

    lines = {}
    plot = Axes.plot

    def spy(self, x, y, **arguments):
        if "label" in arguments:
            lines[arguments["label"].partition(": ")[0] if ": " in arguments["label"] else arguments["label"]] = (
                list(x),
                list(y),
            )
        return plot(self, x, y, **arguments)

    monkeypatch.setattr(Axes, "plot", spy)
    return lines


@pytest.mark.parametrize(
    ("number", "label", "values"),
    [
        (0, "test accuracy", [0.5, 5 / 6, 0.9]),
        (2, "test loss", [2, 2 / 3, 0.4]),
        (4, "a", [0.01] * 4),
        (6, "training loss", [2.5, 1.5, 2 / 3 + 0.5, 1]),
    ],
)
def test_each_chart(tmp_path, drawn, number, label, values):
    iters = [0, 200, 400] if number < 4 else [0, 100, 200, 300]
    for seconds in (False, True):
        plot_logs(tmp_path / "c.png", {"a": log()}, chart=CHARTS[number + seconds])
        assert list(drawn) == [label]
        x, y = drawn.pop(label)
        assert x == pytest.approx([1 + i / 100 for i in iters], abs=0.01) if seconds else x == iters
        assert y == pytest.approx(values, rel=1e-4)


def test_several_runs_each_have_a_colour(tmp_path, drawn):
    runs = {"a": log(), "b": log(last=800), "c": log(rate=0.1)}
    plot_logs(tmp_path / "c.png", runs)
    assert set(drawn) == {"a", "b", "c"}
    for colour in curve_picture._RUNS[:3]:
        assert has_colour(tmp_path / "c.png", colour)
    assert not has_colour(tmp_path / "c.png", curve_picture._RUNS[3])
    plot_logs(tmp_path / "one.png", {"a": log()}, title="X")
    assert has_colour(tmp_path / "one.png", curve_picture._TRAIN)
    assert has_colour(tmp_path / "one.png", curve_picture._TEST)


def test_smoothing(tmp_path, drawn):
    run = log(last=3000, tests=False)
    plot_logs(tmp_path / "c.png", {"a": run}, chart=CHARTS[6], window=3)
    (y,) = (y for _, y in drawn.values())
    raw = [row.loss for row in run.train]
    assert y[10] == pytest.approx(np.mean(raw[9:12]))
    drawn.clear()
    plot_logs(tmp_path / "d.png", {"a": run}, chart=CHARTS[6])
    (y,) = (y for _, y in drawn.values())
    assert y == raw
    # A window longer than the run.
    plot_logs(tmp_path / "e.png", {"a": run}, window=10_000)


def test_what_is_an_accuracy_and_whose_loss_it_is():
    when = head(datetime(2016, 1, 1))
    lines = [f"{when}Solving x"]
    for iteration, values in ((0, "0.5 -nan"), (10, "1.5 0.25")):
        ratio, share = values.split()
        lines += [
            f"{when}Iteration {iteration}, Testing net (#0)",
            f"{when}Test net output #0: ratio = {ratio}",
            f"{when}Test net output #1: share = {share}",
            f"{when}Test net output #2: l1 = 4 (* 0.5 = 2 loss)",
            f"{when}Test net output #3: l2 = 0.5 (* 1 = 0.5 loss)",
            f"{when}Iteration {iteration}, Testing net (#1)",
            f"{when}Test net output #0: share = 0.75",
            f"{when}Test net output #1: l1 = 8 (* 0.5 = 4 loss)",
        ]
    history = history_of(parse_lines(lines, 2016))
    # What leaves 0 to 1 is none, a loss is none, and no number is no point.
    assert history.accuracies == {"share (test net 0)": ([10], [0.25]), "share (test net 1)": ([0, 10], [0.75, 0.75])}
    assert history.tests == {0: ([0, 10], [2.5, 2.5]), 1: ([0, 10], [4, 4])}


def test_a_log_that_begins_late_is_drawn_from_there(tmp_path, monkeypatch):
    ends = []
    real = curve_picture._ends
    monkeypatch.setattr(curve_picture, "_ends", lambda runs: ends.append(real(runs)) or ends[-1])
    plot_logs(tmp_path / "c.png", {"a": log(first=300, last=600)})
    plot_logs(tmp_path / "c.png", {"a": log(first=300, last=600), "b": log()})
    assert ends == [(300, 600), (0, 600)]


def test_the_same_logs_give_the_same_bytes_in_each_kind(tmp_path):
    for kind in ("png", "svg", "pdf"):
        for name in "ab":
            plot_logs(tmp_path / f"{name}.{kind}", {"a $x$": log()})
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    assert pixels(tmp_path / "a.png").shape[0] > 300


def test_errors(tmp_path):
    with pytest.raises(LogError, match="a: the log has no test accuracy: no line to draw"):
        plot_logs(tmp_path / "c.png", {"a": log(tests=False)}, chart=CHARTS[0])
    with pytest.raises(LogError, match="a: the log has no test loss"):
        plot_logs(tmp_path / "c.png", {"a": log(tests=False)}, chart=CHARTS[2])
    bare = parse_lines(["Iteration 1, loss = 2", "Iteration 2, loss = 2"], 2016)
    with pytest.raises(LogError, match="a: the log has no learning rate"):
        plot_logs(tmp_path / "c.png", {"a": bare}, chart=CHARTS[4])
    with pytest.raises(LogError, match="a: the log has no times"):
        plot_logs(tmp_path / "c.png", {"a": bare}, seconds=True)
    with pytest.raises(CaffepyError, match="pictures are png, svg, pdf"):
        plot_logs(tmp_path / "c.gif", {"a": bare})
    assert math.isnan(plot_log.history_of(bare).rates[0])
    assert not list(tmp_path.iterdir())
