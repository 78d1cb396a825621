"""Stopping a run and asking for a snapshot, as signal handlers do: when it takes effect, and what is done then."""

from __future__ import annotations

import logging

import pytest

from caffepy.solver import Observer
from tests.net.square_loss import SquareLoss
from tests.solver.recorder import Recorder, solver_of
from tests.solver.rows import Rows

assert SquareLoss.loss
assert Rows.tops

NET = """
    layer { name: "rows" type: "Rows" top: "x" top: "t" data_param { batch_size: 4 } }
    layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 } }
    layer { name: "loss" type: "SquareLoss" bottom: "y" bottom: "t" top: "loss" }
"""


class Ask(Observer):
    """Asks for something when an event with a given number comes."""

    def __init__(self, event: str, number: int, *requests: str):
        self.when = (event, number)
        self.requests = requests
        self.solver = None

    def _happened(self, event, number):
        if (event, number) == self.when:
            for request in self.requests:
                getattr(self.solver, request)()

    def on_begin(self, solver):
        self.solver = solver
        self._happened("begin", solver.iter)

    def on_iteration(self, event):
        self._happened("iteration", event.iter)

    def on_display(self, event):
        self._happened("display", event.iter)

    def on_test_begin(self, iteration, net):
        self._happened("test_begin", 10 * iteration + net)


def _run(tmp_path, settings: str, *observers):
    recorder = Recorder()
    solver = solver_of(tmp_path, NET, settings, *observers, recorder)
    for observer in observers:
        observer.solver = solver
    solver.solve()
    return solver, recorder


STOP, SNAPSHOT = "request_stop", "request_snapshot"


def test_a_stop_takes_effect_after_the_iteration_and_leaves_a_snapshot(tmp_path):
    solver, recorder = _run(tmp_path, "max_iter: 9 display: 3 test_interval: 3 test_iter: 1", Ask("iteration", 4, STOP))
    assert recorder.told()[-3:] == ["iteration 4", "snapshot 5", "end 5"]
    assert solver.iter == 5
    (end,) = recorder.of("end")
    assert end.early
    assert not recorder.of("last_loss")


def test_a_stop_while_an_iteration_runs_lets_it_finish(tmp_path):
    _, recorder = _run(tmp_path, "max_iter: 9 display: 1", Ask("display", 2, STOP))
    assert recorder.told()[-4:] == ["display 2", "iteration 2", "snapshot 3", "end 3"]


def test_a_stop_without_snapshot_after_train_leaves_none(tmp_path):
    _, recorder = _run(tmp_path, "max_iter: 9 snapshot_after_train: false", Ask("iteration", 4, STOP))
    assert recorder.told()[-2:] == ["iteration 4", "end 5"]


def test_a_stop_where_a_snapshot_falls_due_writes_one_only(tmp_path):
    _, recorder = _run(tmp_path, "max_iter: 9 snapshot: 5", Ask("iteration", 4, STOP))
    assert recorder.told()[-3:] == ["iteration 4", "snapshot 5", "end 5"]


def test_a_stop_in_a_test_ends_the_test_without_result(tmp_path, caplog):
    caplog.set_level(logging.INFO, "caffepy")
    settings = "max_iter: 9 test_interval: 2 test_iter: 5 test_iter: 5"
    solver, recorder = _run(tmp_path, settings, Ask("test_begin", 21, STOP))
    assert recorder.told()[-5:] == ["test_begin 2", "test 2", "test_begin 2", "snapshot 2", "end 2"]
    assert [event.net for event in recorder.of("test")][-1] == 0
    assert "Test interrupted." in caplog.text
    assert solver.iter == 2
    # A test net that has not begun does not begin any more.
    _, recorder = _run(tmp_path, settings, Ask("test_begin", 20, STOP))
    assert recorder.told()[-4:] == ["iteration 1", "test_begin 2", "snapshot 2", "end 2"]


def test_a_stop_in_the_last_test_counts(tmp_path):
    _, recorder = _run(tmp_path, "max_iter: 4 test_interval: 4 test_iter: 1", Ask("test_begin", 40, STOP))
    assert recorder.told()[-3:] == ["snapshot 4", "test_begin 4", "end 4"]
    assert recorder.of("end")[0].early


def test_a_snapshot_that_is_asked_for(tmp_path):
    _, recorder = _run(tmp_path, "max_iter: 4 snapshot_after_train: false", Ask("iteration", 1, SNAPSHOT))
    assert recorder.told() == [
        "begin 0",
        "iteration 0",
        "iteration 1",
        "snapshot 2",
        "iteration 2",
        "iteration 3",
        "end 4",
    ]


def test_a_snapshot_that_falls_due_anyway_is_written_once(tmp_path):
    _, recorder = _run(
        tmp_path, "max_iter: 4 snapshot: 2 snapshot_after_train: false", Ask("iteration", 1, SNAPSHOT, SNAPSHOT)
    )
    assert [event.iter for event in recorder.of("snapshot")] == [2, 4]


def test_a_snapshot_that_is_asked_for_in_a_test_is_written_there(tmp_path):
    settings = "max_iter: 4 test_interval: 2 test_iter: 3 snapshot_after_train: false"
    _, recorder = _run(tmp_path, settings, Ask("test_begin", 20, SNAPSHOT))
    assert recorder.told() == [
        *("begin 0", "test_begin 0", "test 0", "iteration 0", "iteration 1"),
        *("test_begin 2", "snapshot 2", "test 2", "iteration 2", "iteration 3", "test_begin 4", "test 4", "end 4"),
    ]


def test_snapshot_and_stop_together(tmp_path):
    _, recorder = _run(tmp_path, "max_iter: 9 snapshot_after_train: false", Ask("iteration", 3, SNAPSHOT, STOP))
    assert recorder.told()[-3:] == ["iteration 3", "snapshot 4", "end 4"]


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    stopped, recorder = _run(tmp_path, "max_iter: 8 momentum: 0.9", Ask("iteration", 2, STOP))
    assert stopped.stopping()
    (event,) = recorder.of("snapshot")
    whole, _ = _run(tmp_path, "max_iter: 8 momentum: 0.9")
    resumed = solver_of(tmp_path, NET, "max_iter: 8 momentum: 0.9")
    resumed.solve(event.state)
    assert resumed._data.tobytes() == whole._data.tobytes()
    # And the very solver that was stopped may be set going again.
    stopped.observers.clear()
    stopped.solve()
    assert not stopped.stopping()
    assert stopped._data.tobytes() == whole._data.tobytes()


@pytest.mark.parametrize("request_", [STOP, SNAPSHOT])
def test_requests_before_the_start(tmp_path, request_):
    """A stop from before is forgotten, as in Caffe; a snapshot comes after the first iteration."""
    recorder = Recorder()
    solver = solver_of(tmp_path, NET, "max_iter: 2 snapshot_after_train: false", recorder)
    getattr(solver, request_)()
    solver.solve()
    written = ["snapshot 1"] if request_ == SNAPSHOT else []
    assert recorder.told() == ["begin 0", "iteration 0", *written, "iteration 1", "end 2"]


def test_a_stop_as_the_run_begins(tmp_path):
    _, recorder = _run(tmp_path, "max_iter: 5 test_interval: 1 test_iter: 1", Ask("begin", 0, STOP))
    assert recorder.told() == ["begin 0", "snapshot 0", "end 0"]
