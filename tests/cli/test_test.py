"""caffepy test: Caffe's lines, the same figures as training's own tests, and a table on a terminal."""

from __future__ import annotations

import csv
import json
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


def test_a_report(run, trained, project):
    (project / "names.txt").write_text("\n".join("abcdefghij"))
    result = run(
        "test", "-model=net.prototxt", f"-weights={trained}", "--report=rep", "--labels", "names.txt", "--gpu="
    )
    assert (result.code, result.out) == (0, "")
    assert "Running for 6 iterations." in result.lines
    figures = json.loads((project / "rep" / "report.json").read_text())
    accuracy = float(next(line for line in result.lines if line.startswith("accuracy")).split("= ")[1])
    assert figures["top1_accuracy"] == pytest.approx(accuracy, rel=1e-5)
    assert figures["outputs"]["accuracy"] == pytest.approx(accuracy, rel=1e-5)
    assert (figures["images"], figures["scores"], figures["batches"]) == (360, "scale", 6)
    assert f"Of 360 images: top-1 {100 * accuracy:.2f} % right" in result.lines[-2]
    assert result.lines[-1] == "Report written to rep"
    rows = list(csv.DictReader((project / "rep" / "images.csv").read_text().splitlines()))
    assert [row["record"] for row in rows] == [f"{i:08}" for i in range(360)]
    assert {row["label_name"] for row in rows} == set("abcdefghij")


def test_a_report_counts_each_record_once(run, trained, project):
    text = (project / "net.prototxt").read_text().replace("batch_size: 60", "batch_size: 100")
    (project / "net.prototxt").write_text(text)
    result = run("test", "-model=net.prototxt", f"-weights={trained}", "--report=rep")
    assert "Running for 4 iterations." in result.lines
    assert any(line.startswith("40 records come twice") for line in result.lines)
    assert json.loads((project / "rep" / "report.json").read_text())["images"] == 360
    result = run("test", "-model=net.prototxt", f"-weights={trained}", "--report=rep", "--iterations=2")
    assert not any("twice" in line for line in result.lines)
    assert json.loads((project / "rep" / "report.json").read_text())["images"] == 200


def test_ten_crops(run, trained, project):
    # The scores of crops of 24 are of no use; that the words and files are right can be seen all the same.
    text = (project / "net.prototxt").read_text().replace("{ scale", "{ crop_size: 24 scale")
    (project / "net.prototxt").write_text(text)
    shared = ["-model=net.prototxt", f"-weights={trained}", "--on-mismatch=skip", "--report=rep", "--crops=10"]
    result = run("test", *shared, "--iterations=1", "--average", "scores")
    assert result.code == 0, result.err
    assert "Ten crops of each image; their scores are averaged." in result.lines
    assert result.lines[-2].startswith("Of 60 images by ten crops, scores averaged: top-1 ")
    figures = json.loads((project / "rep" / "report.json").read_text())
    assert (figures["crops"], figures["averaged"], figures["images"]) == (10, "scores", 60)
    assert "outputs" not in figures


def test_report_options(run, trained, project):
    result = run("test", "-model=net.prototxt", f"-weights={trained}", "--crops=10")
    assert result.code == 2
    assert "are for a report: add --report FOLDER" in result.err
    for flag, said in (
        ("--scores=none", "--scores none: the net has no blob 'none'"),
        ("--labels=none.txt", "cannot read the names of classes 'none.txt'"),
        ("--crops=10", "ten crops of an image need a crop_size"),
    ):
        assert not (project / "rep").exists()
        result = run("test", "-model=net.prototxt", f"-weights={trained}", flag, "--report=rep")
        assert (result.code, said in result.err) == (1, True), result.err
