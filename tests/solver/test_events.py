"""What a solver tells its observers: which events, in which iteration, in which order."""

from __future__ import annotations

import logging
import time

import pytest

from caffepy.solver import Observer
from tests.solver.recorder import Recorder, solver_of
from tests.solver.small_nets import NET, run


@pytest.mark.parametrize(
    ("settings", "shown", "last"),
    [
        ("max_iter: 10 display: 3", [0, 3, 6, 9], False),
        ("max_iter: 10 display: 5", [0, 5], True),
        ("max_iter: 10 display: 1", list(range(10)), True),
        ("max_iter: 10", [], False),
        ("max_iter: 10 display: 20", [0], False),
    ],
)
def test_when_the_loss_is_shown(tmp_path, settings, shown, last):
    solver, recorder = run(tmp_path, settings)
    assert recorder.when("display") == shown
    assert recorder.when("iteration") == list(range(10))
    (end,) = recorder.of("end")
    assert (end.iter, end.early, bool(recorder.of("last_loss"))) == (10, False, last)
    assert solver.iter == 10


@pytest.mark.parametrize(
    ("settings", "tested"),
    [
        ("max_iter: 8 test_interval: 4", [0, 4, 8]),
        ("max_iter: 9 test_interval: 4", [0, 4, 8]),
        ("max_iter: 8 test_interval: 4 test_initialization: false", [4, 8]),
        ("max_iter: 3 test_interval: 4 test_initialization: false", []),
        ("max_iter: 3 test_interval: 1", [0, 1, 2, 3]),
        ("max_iter: 0 test_interval: 4", [0]),
        ("max_iter: 0 test_interval: 4 test_initialization: false", [0]),
    ],
)
def test_when_nets_are_tested(tmp_path, settings, tested):
    _, recorder = run(tmp_path, settings + " test_iter: 2")
    assert recorder.when("test") == tested
    assert [iteration for iteration, _ in recorder.of("test_begin")] == tested


@pytest.mark.parametrize(
    ("settings", "written"),
    [
        ("max_iter: 7 snapshot: 3", [3, 6, 7]),
        ("max_iter: 6 snapshot: 3", [3, 6]),
        ("max_iter: 7 snapshot: 3 snapshot_after_train: false", [3, 6]),
        ("max_iter: 7", [7]),
        ("max_iter: 7 snapshot_after_train: false", []),
        ("max_iter: 2 snapshot: 1", [1, 2]),
        ("max_iter: 2 snapshot: 9", [2]),
    ],
)
def test_when_snapshots_are_written(tmp_path, settings, written):
    _, recorder = run(tmp_path, settings)
    assert recorder.when("snapshot") == written
    names = {f"snap_iter_{i}.{kind}" for i in written for kind in ("caffemodel", "solverstate")}
    assert {path.name for path in tmp_path.iterdir()} == names | {"net.prototxt", "solver.prototxt"}


def test_the_order_of_events(tmp_path):
    _, recorder = run(tmp_path, "max_iter: 4 display: 2 test_interval: 2 test_iter: 1 snapshot: 2")
    assert recorder.told() == [
        "begin 0",
        *("test_begin 0", "test 0", "display 0", "iteration 0", "iteration 1", "snapshot 2"),
        *("test_begin 2", "test 2", "display 2", "iteration 2", "iteration 3", "snapshot 4"),
        *("last_loss 4", "test_begin 4", "test 4", "end 4"),
    ]


def test_all_observers_are_told_in_their_order(tmp_path):
    told = []

    class Note(Observer):
        def __init__(self, name):
            self.name = name

        def on_iteration(self, event):
            told.append((self.name, event.iter))

    solver_of(tmp_path, NET, "max_iter: 2 snapshot_after_train: false", Note("a"), Observer(), Note("b")).solve()
    assert told == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]


def test_negative_intervals_are_read_as_caffe_reads_them(tmp_path, caplog):
    """What C++'s remainder makes of them: the sign has no effect."""
    caplog.set_level(logging.WARNING, "caffepy")
    solver, recorder = run(tmp_path, "max_iter: 4 display: -2 snapshot: -3")
    assert [event.iter for event in recorder.of("display")] == [0, 2]
    assert [event.iter for event in recorder.of("snapshot")] == [3, 4]
    assert "snapshot: -3 counts as 3, as in Caffe; 0 means never." in caplog.messages
    assert "display: -2 counts as 2, as in Caffe; 0 means never." in caplog.messages
    solver, recorder = run(tmp_path, "max_iter: -4 test_interval: -1 snapshot_after_train: false")
    assert (solver.iter, recorder.told()) == (0, ["begin 0", "end 0"])


def test_the_share_of_time_that_waits_for_data(tmp_path):
    class Slow(Observer):
        def on_iteration(self, event):
            solver.net.layers[0].wait_seconds += 1000

    recorder = Recorder()
    solver = solver_of(tmp_path, NET, "display: 2", recorder, Slow())
    solver.net.layers[0].wait_seconds = 5000.0
    solver.step(3)
    first, second = recorder.of("display")
    assert first.wait == 0, "what was waited for before does not count"
    assert second.wait == pytest.approx(2000 / second.seconds)


def test_tests_do_not_count_in_the_time_of_iterations(tmp_path):
    class Dawdle(Observer):
        def on_test_begin(self, iteration, net):
            time.sleep(0.3)

    recorder = Recorder()
    settings = "display: 2 test_interval: 1 test_iter: 1"
    solver = solver_of(tmp_path, NET, settings, recorder, Dawdle())
    solver.step(3)
    assert recorder.of("display")[1].seconds < 0.3


def test_quiet_without_observers(tmp_path, caplog):
    caplog.set_level(logging.INFO, "caffepy")
    solver = solver_of(tmp_path, NET, "max_iter: 2 display: 1 test_iter: 1 test_interval: 1")
    # Nets tell how they are built.
    assert caplog.records[-1].getMessage() == "Network initialization done."
    caplog.clear()
    solver.solve()
    assert [record.getMessage() for record in caplog.records] == []
