"""Sides in turn: one process each, never two at a time, and what they say reaches the table."""

from __future__ import annotations

import io
import json
import time
from types import SimpleNamespace

import pytest

from tests.benchmarks import turns, worker
from tests.benchmarks.turns import Series, Side, SideError, take_turns


class FakeSide:
    """Answers as a process would, and keeps when it was asked."""

    def __init__(self, name, log):
        self.name, self.log = name, log

    def turn(self, seconds):
        self.log.append(self.name)
        count = self.log.count(self.name)
        return {"wall": 1.0 * count, "cpu": 10.0 * count, "peak": 0, "parts": {"a": 0.5 * count}}


def test_rounds_go_forward_and_backward():
    log = []
    series = take_turns({name: FakeSide(name, log) for name in ("x", "y", "z")}, 3, pause=0.0)
    assert log == ["x", "y", "z", "z", "y", "x", "x", "y", "z"]
    assert series["y"] == Series([1.0, 2.0, 3.0], [10.0, 20.0, 30.0], {"a": [0.5, 1.0, 1.5]})
    assert (series["y"].middle(), series["y"].middle("cpu")) == (2.0, 20.0)


def test_a_pause_before_each_turn(monkeypatch):
    slept = []
    monkeypatch.setattr(turns.time, "sleep", slept.append)
    take_turns({"x": FakeSide("x", []), "y": FakeSide("y", [])}, 2, pause=0.3)
    assert slept == [0.3] * 4


def test_a_side_computes_in_a_process_of_its_own():
    with Side("matrix_product", {}, 1) as side:
        answer = side.turn(0.0)
        assert side.facts == {}
        assert 0 < answer["wall"] < 60
        assert answer["cpu"] > 0
        # Three matrices of 16 MiB, at least.
        assert answer["peak"] > 3 << 24
        process = side._process
    assert process.poll() is not None


def test_what_a_side_cannot_do_is_said():
    with pytest.raises(SideError, match=r"ParseError: .*models/nothing"):
        Side("caffepy_training", {"model": "nothing", "batch": 1}, 1)
    with pytest.raises(SideError, match=r"ModuleNotFoundError: No module named 'tests\.benchmarks\.sides\.nothing'"):
        Side("nothing", {}, 1)


def test_a_process_that_ends_is_named(tmp_path, monkeypatch):
    with Side("matrix_product", {}, 1) as side:
        side._process.kill()
        with pytest.raises(SideError, match="matrix_product ended with -9"):
            side.turn(0.0)


class Ticks:
    """A side whose steps take what it is told to, on a clock of its own."""

    def __init__(self, monkeypatch, seconds, own=None):
        self.now, self.seconds, self.own, self.count = 0.0, iter(seconds), own, 0
        monkeypatch.setattr(worker.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(worker, "_cpu", lambda: 2 * self.now)

    def step(self):
        self.count += 1
        self.now += next(self.seconds)
        return self.own


def test_a_turn_is_as_many_steps_as_fit(monkeypatch):
    side = Ticks(monkeypatch, [0.3, 0.1, 0.2, 9.0])
    told = worker.run_turn(side, 0.5, last=1.0)
    assert (told["wall"], told["cpu"]) == (pytest.approx(0.2), pytest.approx(0.4))
    assert side.count == 3


def test_one_step_at_least_and_a_first_that_does_not_count_where_they_are_short(monkeypatch):
    side = Ticks(monkeypatch, [5.0, 0.01, 9.0])
    assert worker.run_turn(side, 0.0, last=0.1)["wall"] == pytest.approx(0.01)
    assert side.count == 2
    side = Ticks(monkeypatch, [5.0, 9.0])
    assert worker.run_turn(side, 0.0, last=0.3)["wall"] == pytest.approx(5.0)


def test_a_side_may_say_itself_what_counts(monkeypatch):
    told = worker.run_turn(Ticks(monkeypatch, [4.0], own=1.0), 0.0, last=1.0)
    assert (told["wall"], told["cpu"]) == (1.0, pytest.approx(2.0))


def test_answers_are_lines_of_json(monkeypatch):
    module = SimpleNamespace(Side=lambda **settings: SimpleNamespace(facts=settings, step=lambda: time.sleep(0)))
    monkeypatch.setattr(worker.importlib, "import_module", lambda name: module)
    answers = io.StringIO()
    worker.serve("x", {"a": 1}, io.StringIO("0.0\n0.0\n"), answers)
    facts, *told = map(json.loads, answers.getvalue().splitlines())
    assert facts == {"a": 1}
    assert [sorted(one) for one in told] == [["cpu", "parts", "peak", "wall"]] * 2
