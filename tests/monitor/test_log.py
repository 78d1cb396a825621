"""The log has Caffe's lines, letter by letter, and parse_log reads it."""

from __future__ import annotations

import logging
import re

import pytest

from caffepy.monitor.log import RUN, GlogFormatter, Log, loss_term
from caffepy.solver.observer import Display, End, Output
from caffepy.solver.observer import TestResult as Result
from tests.monitor import fake_run
from tests.monitor.parse_log import parse_log


class Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.setFormatter(GlogFormatter())
        self.lines: list[str] = []

    def emit(self, record):
        self.lines += self.format(record).split("\n")


@pytest.fixture
def log():
    handler = Lines()
    logger = logging.getLogger("caffepy")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.lines
    logger.removeHandler(handler)
    logger.setLevel(level)


def bare(lines):
    return [line.split("] ", 1)[1] for line in lines]


def test_a_run_in_caffes_words(log):
    fake_run.tell(Log(), fake_run.solver(max_iter=101))
    assert bare(log) == [
        "Solving LeNet",
        "Learning Rate Policy: step",
        "Iteration 0, Testing net (#0)",
        "    Test net output #0: accuracy = 0.97",
        "    Test net output #1: loss = 4 (* 1 = 4 loss)",
        "Iteration 0 (0 iter/s, 0s/100 iters), loss = 2",
        "    Train net output #0: loss = 2 (* 1 = 2 loss)",
        "Iteration 0, lr = 0.01",
        "Iteration 100, Testing net (#0)",
        "    Test net output #0: accuracy = 0.97",
        "    Test net output #1: loss = 2 (* 1 = 2 loss)",
        "Iteration 100 (25 iter/s, 4s/100 iters), loss = 1",
        "    Train net output #0: loss = 1 (* 1 = 1 loss)",
        "Iteration 100, lr = 0.01",
        "    Waited for data: 0.4 %",
        "Snapshotting to binary proto file x/net_iter_101.caffemodel",
        "Snapshotting solver state to binary proto file x/net_iter_101.solverstate",
        "Iteration 101, loss = 0.995025",
        "Iteration 101, Testing net (#0)",
        "    Test net output #0: accuracy = 0.97",
        "    Test net output #1: loss = 1.99005 (* 1 = 1.99005 loss)",
        "Optimization Done.",
    ]


def test_the_shape_of_a_line(log):
    fake_run.tell(Log(), fake_run.solver(max_iter=1))
    for line in log:
        assert re.match(r"I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ (sgd_)?solver\.cpp:\d+\] ", line), line
    assert " solver.cpp:218] Iteration 0 (" in log[5]


def test_parse_log_reads_it(log):
    fake_run.tell(Log(), fake_run.solver())
    train, test = parse_log("\n".join(log))
    assert [row["NumIters"] for row in train] == [0, 100, 200]
    assert [row["loss"] for row in train] == [2.0, 1.0, pytest.approx(2 / 3, rel=1e-5)]
    assert [row["LearningRate"] for row in train][1:] == [0.01, 0.01]
    assert [row["NumIters"] for row in test] == [0, 100, 200, 300]
    assert {row["accuracy"] for row in test} == {0.97}
    assert [row["loss"] for row in test] == [4.0, 2.0, pytest.approx(4 / 3, rel=1e-5), 1.0]
    assert all(0 <= row["Seconds"] < 60 for row in train + test)


def test_an_early_stop_ends_at_once(log):
    watcher = Log()
    watcher.on_begin(fake_run.solver())
    watcher.on_end(End(17, True))
    assert bare(log)[2:] == ["Optimization stopped early."]


def test_a_test_loss_and_hdf5(log):
    watcher = Log()
    watcher.on_begin(fake_run.solver(snapshot_format=0))
    watcher.on_test(Result(5, 1, [Output("p", 0.25)], 0.5, 1.0))
    fake_run.tell(watcher, fake_run.solver(max_iter=0, snapshot_format=0))
    assert bare(log)[2:4] == ["Test loss: 0.5", "    Test net output #0: p = 0.25"]
    assert "Snapshotting to HDF5 file x/net_iter_0.caffemodel" in bare(log)


def test_outputs_are_numbered_on_and_weighted(log):
    watcher = Log()
    watcher.on_begin(fake_run.solver())
    outputs = [Output("class", 0.1), Output("class", 0.2), Output("loss1/loss", 2.5, 0.3)]
    watcher.on_display(Display(100, 1e-7, 1e-5, outputs, 4.0, 100, 0.0))
    assert bare(log)[2:7] == [
        "Iteration 100 (25 iter/s, 4s/100 iters), loss = 1e-07",
        "    Train net output #0: class = 0.1",
        "    Train net output #1: class = 0.2",
        "    Train net output #2: loss1/loss = 2.5 (* 0.3 = 0.75 loss)",
        "Iteration 100, lr = 1e-05",
    ]


def test_levels_and_places_of_other_records(log):
    logging.getLogger("caffepy").warning("two\nlines")
    logging.getLogger("caffepy").error("no %s", "room")
    assert [line[0] for line in log] == ["W", "W", "E"]
    assert re.search(r" test_log\.py:\d+\] two$", log[0])
    assert bare(log) == ["two", "lines", "no room"]


def test_the_run_has_a_logger_of_its_own(log):
    names = []
    handler = logging.Handler()
    handler.emit = lambda record: names.append(record.name)
    logging.getLogger("caffepy").addHandler(handler)
    fake_run.tell(Log(), fake_run.solver(max_iter=1))
    logging.getLogger("caffepy").removeHandler(handler)
    assert set(names) == {RUN}


def test_loss_term():
    assert loss_term(Output("loss", 0.25, 2.0)) == " (* 2 = 0.5 loss)"
    assert loss_term(Output("accuracy", 0.25)) == ""
