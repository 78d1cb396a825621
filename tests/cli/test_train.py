"""caffepy train: the log, the run's folder, flags against the solver's file, and going on with a run."""

from __future__ import annotations

import json
import logging
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from caffepy.monitor.metrics import read_metrics
from caffepy.proto import caffe_pb2
from tests.monitor.parse_log import parse_log


def weights(path):
    """All learnable values in a .caffemodel."""
    net = caffe_pb2.NetParameter()
    net.ParseFromString(path.read_bytes())
    return np.concatenate([np.array(blob.data) for layer in net.layer for blob in layer.blobs])


def test_a_run(run, project):
    result = run("train", "-solver=solver.prototxt", "-seed", "3")
    assert (result.code, result.out) == (0, "")
    log = [re.sub(r"[\d.e-]+ iter/s, [\d.e-]+s", "N", line) for line in result.lines]
    log = [re.sub(r"(loss|accuracy) = \S+", r"\1 = X", re.sub(r"= \S+ loss\)", "= X loss)", line)) for line in log]
    log = [line for line in log if "Waited for data" not in line]
    assert log[0].startswith("Training on cpu, ")
    assert "random_seed 3, to iteration 40; log, metrics and curves in out" in log[0]
    assert log[1:3] == ["Solving Tiny", "Learning Rate Policy: step"]
    tested = ["    Test net output #0: accuracy = X", "    Test net output #1: loss = X (* 1 = X loss)"]
    shown = ["    Train net output #0: loss = X (* 1 = X loss)"]
    assert log[3:] == [
        "Iteration 0, Testing net (#0)", *tested,
        "Iteration 0 (N/10 iters), loss = X", *shown, "Iteration 0, lr = 0.5",
        "Iteration 10 (N/10 iters), loss = X", *shown, "Iteration 10, lr = 0.5",
        "Snapshotting to binary proto file out/tiny_iter_20.caffemodel",
        "Snapshotting solver state to binary proto file out/tiny_iter_20.solverstate",
        "Iteration 20, Testing net (#0)", *tested,
        "Iteration 20 (N/10 iters), loss = X", *shown, "Iteration 20, lr = 0.5",
        "Iteration 30 (N/10 iters), loss = X", *shown, "Iteration 30, lr = 0.25",
        "Snapshotting to binary proto file out/tiny_iter_40.caffemodel",
        "Snapshotting solver state to binary proto file out/tiny_iter_40.solverstate",
        "Iteration 40, loss = X",
        "Iteration 40, Testing net (#0)", *tested,
        "Optimization Done.",
        "Curves: out/curves.png",
    ]  # fmt: skip
    train, test = parse_log(result.err)
    assert [row["NumIters"] for row in train] == [0, 10, 20, 30]
    assert [row["NumIters"] for row in test] == [0, 20, 40]
    assert train[-1]["loss"] < train[0]["loss"]
    assert [row["LearningRate"] for row in train][1:] == [0.5, 0.5, 0.5]


def test_how_the_nets_are_built_is_in_the_log(run, project):
    err = run("train", "-solver=solver.prototxt").err
    told = [line.split("] ")[1] for line in err.splitlines() if " net.cpp:" in line]
    train = ["loss needs backward computation.", "scale needs backward computation."]
    train += [f"{name} does not need backward computation." for name in ("flat", "digits")]
    assert told[:4] == train
    assert "accuracy does not need backward computation." in told[6:]
    assert [line for line in told if "output" in line] == [
        "This network produces output loss",
        "This network produces output accuracy",
        "This network produces output loss",
    ]
    assert told.count("Network initialization done.") == 2
    assert re.search(r"^I\d{4} .* net\.cpp:198\] scale needs backward computation\.$", err, re.M)
    log = (project / "out" / "train.log").read_text()
    assert "net.cpp:200] flat does not need backward computation." in log


def test_the_runs_folder(run, project):
    assert run("train", "--solver", "solver.prototxt", "--run-dir", "new/run").code == 0
    folder = project / "new" / "run"
    assert sorted(entry.name for entry in folder.iterdir()) == ["curves.png", "metrics.jsonl", "run.json", "train.log"]
    assert sorted(entry.name for entry in (project / "out").iterdir()) == [
        f"tiny_iter_{n}.{kind}" for n in (20, 40) for kind in ("caffemodel", "solverstate")
    ]
    records = [(record["kind"], record["iter"]) for record in read_metrics(folder / "metrics.jsonl")]
    assert records == [
        ("test", 0),
        ("train", 0),
        ("train", 10),
        ("test", 20),
        ("train", 20),
        ("train", 30),
        ("test", 40),
    ]
    told = json.loads((folder / "run.json").read_text())
    assert told["arguments"] == ["--solver", "solver.prototxt", "--run-dir", "new/run"]
    train, test = parse_log((folder / "train.log").read_text())
    assert (len(train), len(test)) == (4, 3)


def test_nothing_stays_behind_in_the_process(run, project):
    before = list(logging.getLogger("caffepy").handlers)
    run("train", "-solver=solver.prototxt")
    assert logging.getLogger("caffepy").handlers == before


def test_a_new_run_keeps_the_log_of_the_one_before(run, project):
    run("train", "-solver=solver.prototxt", "-seed=1")
    run("train", "-solver=solver.prototxt", "-seed=2")
    assert "random_seed 1," in (project / "out" / "train.log.old").read_text()
    assert "random_seed 2," in (project / "out" / "train.log").read_text()
    assert (project / "out" / "train.log").read_text().count("Solving") == 1


def strip(path):
    """A metrics file without what a clock says."""
    return [
        {name: value for name, value in record.items() if name not in ("iter_per_s", "wait", "seconds")}
        for record in read_metrics(path)
    ]


@pytest.mark.parametrize("flags", [["--resume", "auto"], ["-snapshot=out/tiny_iter_20.solverstate"]])
def test_going_on_gives_the_very_weights_of_one_run(run, project, flags):
    solver = (project / "solver.prototxt").read_text()
    run("train", "-solver=solver.prototxt", "-seed=5")
    whole, metrics = weights(project / "out" / "tiny_iter_40.caffemodel"), strip(project / "out" / "metrics.jsonl")
    for file in (project / "out").iterdir():
        file.unlink()
    (project / "solver.prototxt").write_text(solver.replace("max_iter: 40", "max_iter: 20"))
    run("train", "-solver=solver.prototxt", "-seed=5")
    (project / "solver.prototxt").write_text(solver)
    result = run("train", "-solver=solver.prototxt", "-seed=5", *flags)
    assert "Resuming from out/tiny_iter_20.solverstate" in result.lines
    assert "Iteration 20, Testing net (#0)" in result.lines
    assert "Iteration 10, Testing net (#0)" not in result.lines
    assert np.array_equal(weights(project / "out" / "tiny_iter_40.caffemodel"), whole)
    assert strip(project / "out" / "metrics.jsonl") == metrics
    assert (project / "out" / "train.log").read_text().count("Solving Tiny") == 2


def test_going_on_with_a_seed_of_chance(run, project):
    run("train", "-solver=solver.prototxt")
    first = json.loads((project / "out" / "run.json").read_text())
    result = run("train", "-solver=solver.prototxt", "-snapshot=out/tiny_iter_20.solverstate")
    assert f"random_seed {first['seed']}, " in result.err
    (again,) = json.loads((project / "out" / "run.json").read_text())["resumed"]
    assert (again["iter"], again["state"]) == (20, "out/tiny_iter_20.solverstate")
    (project / "out" / "run.json").unlink()
    result = run("train", "-solver=solver.prototxt", "-snapshot=out/tiny_iter_20.solverstate")
    assert any(line.startswith("random_seed is not set and out/run.json does not tell") for line in result.lines)


def test_resume_auto_without_a_snapshot_starts(run, project):
    result = run("train", "-solver=solver.prototxt", "--resume=auto")
    assert "No snapshot of out/tiny yet: starting anew." in result.lines
    assert "Iteration 0, Testing net (#0)" in result.lines


def test_resume_of_a_file_that_is_not_there(run, project):
    result = run("train", "-solver=solver.prototxt", "--resume=out/nothing.solverstate")
    assert result.code == 1
    assert "error: Could not open file out/nothing.solverstate" in result.err
    assert "for the solver state" in result.err


def test_a_snapshot_that_is_none_is_told_before_the_nets_are_built(run, project):
    (project / "net.prototxt").unlink()
    (project / "a.caffemodel").touch()
    result = run("train", "-solver=solver.prototxt", "-snapshot=a.caffemodel")
    assert result.code == 1
    assert "error: a.caffemodel holds weights, not a solver state." in result.err
    assert run("train", "-solver=solver.prototxt", "-snapshot=none").err.startswith("error: Could not open file none")
    assert not (project / "out" / "train.log").exists()


def test_fine_tuning(run, project):
    run("train", "-solver=solver.prototxt", "-seed=1")
    result = run("train", "-solver=solver.prototxt", "-weights", "out/tiny_iter_40.caffemodel", "--run-dir=fine")
    assert "Finetuning from out/tiny_iter_40.caffemodel" in result.lines
    first = next(read_metrics(project / "fine" / "metrics.jsonl"))
    last = list(read_metrics(project / "out" / "metrics.jsonl"))[-1]
    assert first["outputs"] == last["outputs"]


def test_weights_and_snapshot_exclude_each_other(run, project):
    text = "Give a snapshot to resume training or weights to finetune but not both."
    for flags in (["-snapshot=a"], ["--resume=auto"]):
        result = run("train", "-solver=solver.prototxt", "-weights=b", *flags)
        assert result.code == 2
        assert text in result.err
    result = run("train", "-solver=solver.prototxt", "-snapshot=a", "--resume=b")
    assert "--snapshot and --resume say the same: give one of them." in result.err


def test_stage_and_level_reach_the_train_net(run, project):
    net = (project / "net.prototxt").read_text()
    extra = 'layer { name: "p" type: "Power" bottom: "label" top: "%s" include { %s } }\n'
    net += extra % ("staged", 'stage: "a" stage: "b"') + extra % ("levelled", "min_level: 2")
    (project / "net.prototxt").write_text(net.replace('name: "p"', 'name: "p1"', 1))
    result = run("train", "-solver=solver.prototxt", "-stage=a,b")
    assert any(": staged = " in line for line in result.lines)
    assert not any(": levelled = " in line for line in result.lines)
    result = run("train", "-solver=solver.prototxt", "-level=2")
    assert any(": levelled = " in line for line in result.lines)


def test_gpus_that_cannot_be_had(run, project, monkeypatch):
    monkeypatch.setitem(sys.modules, "caffepy.gpu.backend", None)
    for gpu, text in (
        ("3", "device 'gpu:3': CuPy, which caffepy computes with on GPUs, cannot be imported"),
        ("0,1", "-gpu 0,1: this release of caffepy computes on one GPU at a time"),
        ("all", "-gpu all: this release"),
    ):
        result = run("train", "-solver=solver.prototxt", f"-gpu={gpu}")
        assert result.code == 1
        assert text in result.err
    for option in ("--tf32", "--amp"):
        result = run("train", "-solver=solver.prototxt", option)
        assert result.code == 1
        assert f"{option}: these are ways in which a GPU computes" in result.err
        assert "Add --gpu 0" in result.err
    result = run("train", "-solver=solver.prototxt", "-gpu=none")
    assert result.code == 2
    assert "-gpu takes a number, several with commas between, or all; got 'none'." in result.err
    assert "-gpu 0 is the first GPU; leave -gpu out to compute on the CPU." in result.err


def test_notes_on_what_does_not_act(run, project):
    (project / "solver.prototxt").write_text((project / "solver.prototxt").read_text() + "solver_mode: GPU")
    result = run("train", "-solver=solver.prototxt", "-iterations=5")
    told = "solver_mode: GPU in solver.prototxt has no effect: add --gpu 0, or this computes on the CPU."
    assert told in result.lines
    assert any(
        line.startswith("-iterations is for test and time; max_iter in solver.prototxt") for line in result.lines
    )


def test_a_failure_is_in_the_log_too(run, project):
    (project / "net.prototxt").write_text((project / "net.prototxt").read_text().replace('"Flatten"', '"Flaten"'))
    result = run("train", "-solver=solver.prototxt")
    assert result.code == 1
    assert result.err.count("Unknown layer type: Flaten") == 1
    assert re.search(
        r"^E\d{4} .*train\.py:\d+\] .*Unknown layer type: Flaten", (project / "out" / "train.log").read_text(), re.M
    )


def test_starts_that_fail_do_not_cost_the_log_of_a_run(run, project):
    net = (project / "net.prototxt").read_text()
    run("train", "-solver=solver.prototxt", "-seed=1")
    (project / "net.prototxt").write_text(net.replace('"Flatten"', '"Flaten"'))
    for _ in range(2):
        assert run("train", "-solver=solver.prototxt").code == 1
    assert "random_seed 1," in (project / "out" / "train.log.old").read_text()
    assert (project / "out" / "train.log").read_text().count("Unknown layer type: Flaten") == 1


@pytest.mark.parametrize(("flags", "named"), [([], "snapshot_prefix 'out/tiny'"), (["--run-dir=out/a"], "--run-dir")])
def test_a_folder_that_cannot_be_made(run, project, flags, named):
    (project / "out").write_text("a file")
    result = run("train", "-solver=solver.prototxt", *flags)
    assert result.code == 1
    folder = "out/a" if flags else "out"
    assert f"Cannot make the run's folder '{folder}', which {named} names: " in result.err


def test_data_options_reach_the_net(run, project):
    run("train", "-solver=solver.prototxt", "-seed=1")
    plain = weights(project / "out" / "tiny_iter_40.caffemodel")
    run("train", "-solver=solver.prototxt", "-seed=1", "--shuffle", "--data-threads=1")
    assert not np.array_equal(weights(project / "out" / "tiny_iter_40.caffemodel"), plain)
    told = json.loads((project / "out" / "run.json").read_text())["data"]
    assert told == {"threads": 1, "shuffle": True, "colour_noise": 0.0, "colour_pca": "", "max_bad_records": 0}


def test_a_solver_that_is_not_there(run, project):
    result = run("train", "-solver=solvr.prototxt")
    assert result.code == 1
    assert "error: Could not open file solvr.prototxt (File not found)" in result.err
    assert "Did you mean 'solver.prototxt'" in result.err


def test_lenet_learns_the_digits(run, digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    models = Path(__file__).resolve().parents[2] / "models" / "lenet"
    net = (models / "train_val.prototxt").read_text()
    for part in ("train", "test"):
        net = net.replace(f"models/lenet/digits_{part}_lmdb", str(digits / part))
    (tmp_path / "net.prototxt").write_text(net)
    solver = (models / "solver.prototxt").read_text().replace("models/lenet/train_val.prototxt", "net.prototxt")
    solver = solver.replace("max_iter: 600", "max_iter: 100").replace("models/lenet/lenet_digits", "lenet")
    (tmp_path / "solver.prototxt").write_text(solver)
    assert run("train", "--solver", "solver.prototxt").code == 0
    _, test = parse_log((tmp_path / "train.log").read_text())
    assert [row["NumIters"] for row in test] == [0, 100]
    assert test[0]["accuracy"] < 0.3
    assert test[1]["accuracy"] > 0.9
