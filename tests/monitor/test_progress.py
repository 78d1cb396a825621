"""The line on a terminal: its figures, what stays above it, and that the terminal is given back."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from caffepy.monitor import progress as module
from caffepy.monitor.progress import Progress, duration
from caffepy.solver.observer import End, Iteration, Output, Snapshot
from caffepy.solver.observer import TestResult as Result
from tests.monitor import fake_run


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only when told to."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    return now


@pytest.fixture
def terminal():
    return Console(file=io.StringIO(), force_terminal=True, width=140, color_system=None, legacy_windows=False)


def shown(terminal):
    """The lines written, without the codes that move the cursor."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.file.getvalue().replace("\r", "\n"))
    return [line.strip() for line in text.split("\n") if line.strip()]


def test_the_figures(clock, terminal):
    watched = fake_run.solver(max_iter=1000, test_interval=500)
    with Progress(terminal) as progress:
        progress.on_begin(watched)
        for i in range(100):
            clock[0] += 0.125
            watched.net.wait_seconds += 0.0125
            progress.on_iteration(Iteration(i, 2.0 if i < 90 else 1.0))
        line = shown(terminal)[-1]
    assert re.match(r"LeNet  ━+ +100/1,000  loss 1\.5  lr 0\.01  512 images/s  waits 10\.0 %  1:52 left$", line), line


def test_tests_do_not_slow_the_figures(clock, terminal):
    watched = fake_run.solver(max_iter=1000, test_interval=500)
    with Progress(terminal) as progress:
        progress.on_begin(watched)
        for i in range(8):
            clock[0] += 0.125
            progress.on_iteration(Iteration(i, 1.0))
        progress.on_test_begin(8, 0)
        assert shown(terminal)[-1].endswith("testing")
        clock[0] += 100
        progress.on_test(Result(8, 0, [Output("accuracy", 0.9712)], None, 100.0))
        clock[0] += 0.125
        progress.on_iteration(Iteration(8, 1.0))
        line = shown(terminal)[-1]
    assert "512 images/s" in line
    # 991 iterations at 8 a second, and the test at 500 as long as this one.
    assert line.endswith("3:44 left")


def test_lines_that_stay(clock, terminal):
    with Progress(terminal) as progress:
        progress.on_begin(fake_run.solver())
        fake_run.tell_test(progress, 100)
        progress.on_snapshot(Snapshot(100, "x/net_iter_100.caffemodel", "x/net_iter_100.solverstate"))
        progress.on_end(End(300, False))
    lines = shown(terminal)
    assert "iteration 100  test: accuracy 0.97, loss 2  (1.5 s)" in lines
    assert "iteration 100  snapshot: x/net_iter_100.caffemodel" in lines
    assert lines[-1] == "Done: 300 iterations."


def test_an_early_end_and_several_nets(clock, terminal):
    with Progress(terminal) as progress:
        progress.on_begin(fake_run.solver(test_nets=2))
        progress.on_test_begin(5, 1)
        assert shown(terminal)[-1].endswith("testing net 1")
        progress.on_test(Result(5, 1, [Output("loss", 1.0, 1.0)], None, 75.0))
        progress.on_end(End(5, True))
    assert "iteration 5  test net 1: loss 1  (1:15)" in shown(terminal)
    assert shown(terminal)[-1] == "Stopped early at iteration 5."


def test_an_error_gives_the_terminal_back(clock, terminal):
    def fail():
        with Progress(terminal) as progress:
            progress.on_begin(fake_run.solver())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    text = terminal.file.getvalue()
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_a_narrow_terminal_keeps_one_line(clock):
    terminal = Console(file=io.StringIO(), force_terminal=True, width=50, color_system=None, legacy_windows=False)
    with Progress(terminal) as progress:
        progress.on_begin(fake_run.solver())
        for i in range(20):
            clock[0] += 1
            progress.on_iteration(Iteration(i, 1.0))
        assert all(len(line) <= 50 for line in shown(terminal))
        # Redrawn in its place: no line goes up.
        assert "\x1b[1A" not in terminal.file.getvalue()


def test_a_net_without_data_counts_iterations(clock, terminal):
    watched = fake_run.solver()
    watched.net.entries = []
    with Progress(terminal) as progress:
        progress.on_begin(watched)
        clock[0] += 0.5
        progress.on_iteration(Iteration(0, 1.0))
        assert "2 iterations/s" in shown(terminal)[-1]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (45.4, "0:45"), (59.7, "1:00"), (3599.6, "1:00:00"), (7380, "2:03:00"),
     (86400 * 3 + 14400, "3 d 04:00")],
)  # fmt: skip
def test_duration(seconds, text):
    assert duration(seconds) == text
