"""metrics.jsonl: what is in it, and that a run that was cut off and resumed leaves the file of one that was not."""

from __future__ import annotations

import json
import os

import pytest

from caffepy.monitor.metrics import Metrics, loss_of_test, read_metrics
from caffepy.solver.observer import Display, Output
from caffepy.solver.observer import TestResult as Result
from tests.monitor import fake_run


def run(path, iteration=0, stop=None):
    metrics = Metrics(path)
    fake_run.tell(metrics, fake_run.solver(iteration), stop)
    metrics.close()
    return path.read_text()


def test_records_of_a_run(tmp_path):
    lines = [json.loads(line) for line in run(tmp_path / "metrics.jsonl").splitlines()]
    assert [(line["kind"], line["iter"]) for line in lines] == [
        ("test", 0), ("train", 0), ("test", 100), ("train", 100), ("test", 200), ("train", 200), ("test", 300),
    ]  # fmt: skip
    assert lines[3] == {
        "kind": "train", "iter": 100, "loss": 1.0, "lr": 0.01, "outputs": {"loss": 1.0}, "iter_per_s": 25.0,
        "wait": 0.004,
    }  # fmt: skip
    assert lines[2] == {
        "kind": "test", "iter": 100, "net": 0, "loss": 2.0, "outputs": {"accuracy": 0.97, "loss": 2.0}, "seconds": 1.5,
    }  # fmt: skip


@pytest.mark.parametrize("killed_at", [101, 150, 250])
def test_resuming_leaves_the_file_of_an_uninterrupted_run(tmp_path, killed_at):
    whole = run(tmp_path / "whole.jsonl")
    run(tmp_path / "cut.jsonl", stop=killed_at)
    with open(tmp_path / "cut.jsonl", "a") as file:
        file.write('{"kind": "train", "iter": 1')
    resumed = run(tmp_path / "cut.jsonl", iteration=100)
    told = [{**json.loads(line), "iter_per_s": 0, "wait": 0} for line in resumed.splitlines()]
    assert told == [{**json.loads(line), "iter_per_s": 0, "wait": 0} for line in whole.splitlines()]


def test_what_a_killed_run_left_is_removed_at_the_start(tmp_path):
    (tmp_path / ".metrics.jsonl.0123abcd.tmp").write_bytes(b"part")
    run(tmp_path / "metrics.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_new_run_moves_the_old_file_aside(tmp_path):
    first = run(tmp_path / "metrics.jsonl", stop=150)
    second = run(tmp_path / "metrics.jsonl")
    assert (tmp_path / "metrics.jsonl.old").read_text() == first
    assert second.count("\n") == 7


def test_lines_are_there_at_once_and_synced_at_tests(tmp_path, monkeypatch):
    path, synced = tmp_path / "metrics.jsonl", []
    monkeypatch.setattr(os, "fsync", synced.append)
    metrics = Metrics(path)
    metrics.on_begin(fake_run.solver())
    metrics.on_display(Display(0, 1.0, 0.1, [], 0.0, 0, 0.0))
    assert path.read_text().count("\n") == 1
    assert not synced
    fake_run.tell_test(metrics, 0)
    assert path.read_text().count("\n") == 2
    assert len(synced) == 1
    metrics.close()


def test_no_number_is_null_and_several_are_a_list(tmp_path):
    metrics = Metrics(tmp_path / "m.jsonl")
    metrics.on_begin(fake_run.solver())
    outputs = [Output("each", 0.5), Output("each", float("nan")), Output("one", float("inf"))]
    metrics.on_display(Display(0, float("nan"), 0.1, outputs, 1.0, 1, 0.0))
    metrics.close()
    (record,) = read_metrics(tmp_path / "m.jsonl")
    assert record["loss"] is None
    assert record["outputs"] == {"each": [0.5, None], "one": None}


def test_what_is_no_record_is_passed_over(tmp_path):
    lines = ['{"iter": 1}', "nonsense", "[1]", '{"kind": "x"}', "[" * 1_000_000, '{"iter": 2}', '{"iter"']
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    assert [record["iter"] for record in read_metrics(tmp_path / "m.jsonl")] == [1, 2]


def test_loss_of_a_test():
    weighted = [Output("a", 2.0, 0.3), Output("b", 1.0, 1.0), Output("accuracy", 0.5)]
    assert loss_of_test(Result(0, 0, weighted, None, 1.0)) == pytest.approx(1.6)
    assert loss_of_test(Result(0, 0, weighted, 7.0, 1.0)) == 7.0
    assert loss_of_test(Result(0, 0, weighted[2:], None, 1.0)) is None
