"""run.json: what it tells, and how a resumed run adds to it."""

from __future__ import annotations

import json

from caffepy.data.options import DataOptions
from caffepy.monitor.run_json import RunJson, read_run
from tests.monitor import fake_run


def write(path, iteration=0, resumed_from=None, **param):
    arguments = ["-solver=s.prototxt"]
    observer = RunJson(path, "s.prototxt", arguments, DataOptions(shuffle=True), resumed_from)
    observer.on_begin(fake_run.solver(iteration, **param))
    return json.loads(path.read_text())


def test_what_a_run_was_started_with(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record = write(tmp_path / "run.json", net="n.prototxt")
    assert record["seed"] == 7
    assert record["arguments"] == ["-solver=s.prototxt"]
    assert record["solver"] == str(tmp_path / "s.prototxt")
    assert (record["net"], record["name"], record["max_iter"]) == ("n.prototxt", "LeNet", 300)
    assert record["data"]["shuffle"] is True
    assert {"caffepy", "python", "numpy", "numba", "pillow", "protobuf", "lmdb"} <= set(record["versions"])
    assert record["resumed"] == []


def test_a_resumed_run_adds_itself(tmp_path):
    path = tmp_path / "run.json"
    first = write(path)
    write(path, 100, "x/net_iter_100.solverstate")
    record = write(path, 200, "x/net_iter_200.solverstate")
    assert {**record, "resumed": []} == first
    assert [(entry["iter"], entry["state"]) for entry in record["resumed"]] == [
        (100, "x/net_iter_100.solverstate"), (200, "x/net_iter_200.solverstate"),
    ]  # fmt: skip


def test_another_runs_file_is_replaced(tmp_path):
    path = tmp_path / "run.json"
    write(path, snapshot_prefix="x/other")
    record = write(path, 100, "x/net_iter_100.solverstate")
    assert record["snapshot_prefix"] == "x/net"
    assert record["resumed"] == []


def test_a_file_that_cannot_be_read_is_none(tmp_path):
    assert read_run(tmp_path / "absent.json") == {}
    (tmp_path / "run.json").write_text('{"seed": 1')
    assert read_run(tmp_path / "run.json") == {}
    for text in ("[1]", "[" * 1_000_000, "\0", "9" * 5000):
        (tmp_path / "run.json").write_text(text)
        assert read_run(tmp_path / "run.json") == {}
