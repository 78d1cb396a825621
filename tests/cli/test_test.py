"""caffepy test: Caffe's lines, the same figures as training's own tests, and a table on a terminal."""

from __future__ import annotations

import re

import pytest

from caffepy.cli import output
from caffepy.monitor.metrics import read_metrics


@pytest.fixture
def trained(run, project):
    """A project with weights of 40 iterations."""
    assert run("train", "-solver=solver.prototxt", "-seed=1").code == 0
    return project / "out" / "tiny_iter_40.caffemodel"


def test_caffes_lines(run, trained):
    result = run("test", "-model", "net.prototxt", "-weights", trained, "-iterations=2")
    assert (result.code, result.out) == (0, "")
    patterns = [
        r"scale  loaded",
        rf"{re.escape(str(trained))}: 1 layers loaded",
        r"Running for 2 iterations\.",
        r"Batch 0, accuracy = [\d.]+", r"Batch 0, loss = [\d.]+",
        r"Batch 1, accuracy = [\d.]+", r"Batch 1, loss = [\d.]+",
        r"Loss: [\d.]+",
        r"accuracy = [\d.]+", r"loss = ([\d.]+) \(\* 1 = \1 loss\)",
    ]  # fmt: skip
    assert len(result.lines) == len(patterns)
    for line, pattern in zip(result.lines, patterns, strict=True):
        assert re.fullmatch(pattern, line), (pattern, line)
    numbers = [float(line.split("= ")[1]) for line in result.lines[3:7]]
    assert float(result.lines[8].split("= ")[1]) == pytest.approx((numbers[0] + numbers[2]) / 2, rel=1e-4)
    assert float(result.lines[7].split(": ")[1]) == pytest.approx((numbers[1] + numbers[3]) / 2, rel=1e-4)


def test_the_figures_of_trainings_last_test(run, trained):
    result = run("test", "-model=net.prototxt", f"-weights={trained}", "-iterations=6")
    last = list(read_metrics(trained.parent / "metrics.jsonl"))[-1]
    assert float(result.lines[-2].split("= ")[1]) == pytest.approx(last["outputs"]["accuracy"], rel=1e-5)
    assert float(result.lines[-3].split(": ")[1]) == pytest.approx(last["loss"], rel=1e-5)


def test_default_iterations(run, trained):
    assert "Running for 50 iterations." in run("test", "-model=net.prototxt", f"-weights={trained}").lines


def test_a_table_on_a_terminal(run, trained, monkeypatch):
    real = output.console

    def terminal(*, stderr=False):
        console = real(stderr=stderr)
        console._force_terminal = True
        return console

    monkeypatch.setattr(output, "console", terminal)
    result = run("test", "-model=net.prototxt", f"-weights={trained}", "-iterations=6")
    assert "backward computation" not in result.err, "of every layer a line is for logs"
    plain = re.sub(r"\x1b\[[0-9;]*m", "", result.out)
    assert re.search(r"^ ?scale +loaded *$", plain, re.M)
    assert re.search(r"output +mean of 6 batches +loss weight", plain)
    assert re.search(r"^ ?accuracy +0\.\d+ *$", plain, re.M)
    assert re.search(r"^ ?loss +[\d.]+ +1 *$", plain, re.M)
    assert "Running for 6 iterations." in result.err.splitlines()


def test_what_is_missing(run, project):
    result = run("test", "-model=net.prototxt")
    assert result.code == 2
    assert "Missing option '--weights'" in result.err
    result = run("test", "-model=net.prototxt", "-weights=none.caffemodel")
    assert result.code == 1
    assert "error: Could not open file none.caffemodel" in result.err
