"""caffepy ilsvrc-eval: both tasks, from text and from annotations, and a report of caffepy test."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "truth.txt").write_text("3\n1\n2\n4\n")
    (tmp_path / "said.txt").write_text("3 1\n2 1\n4 5 6 7 8\n4\n")
    (tmp_path / "xml").mkdir()
    for i, (name, box) in enumerate([("n00000003", 9), ("n00000001", 19)], 1):
        corners = f"<xmin>0</xmin><ymin>0</ymin><xmax>{box}</xmax><ymax>9</ymax>"
        (tmp_path / "xml" / f"val_{i}.xml").write_text(
            f"<annotation><object><name>{name}</name><bndbox>{corners}</bndbox></object></annotation>"
        )
    (tmp_path / "boxes.txt").write_text("3 0 0 9 9\n2 0 0 9 9 1 0 0 5 9\n")
    (tmp_path / "map.txt").write_text("".join(f"n0000000{i} {i} name\n" for i in (1, 2, 3)))
    return tmp_path


def test_task_1(run, files):
    result = run("ilsvrc_eval", "said.txt", "truth.txt", "--per-image", "out.csv")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "classification top-1 error: 50.000 % (2 of 4 images)\nclassification top-5 error: 25.000 % (1 of 4 images)\n"
    )
    assert (files / "out.csv").read_text().splitlines() == [
        "image,ground_truth,right_label", "1,truth.txt:1,1", "2,truth.txt:2,2", "3,truth.txt:3,0", "4,truth.txt:4,1",
    ]  # fmt: skip


def test_blacklist_in_json(run, files):
    (files / "black.txt").write_text("3\n")
    result = run("ilsvrc-eval", "said.txt", "truth.txt", "--blacklist=black.txt", "--format=json")
    assert json.loads(result.out) == {
        "images": 3,
        "left_out": 1,
        "classification_top1_error": pytest.approx(1 / 3),
        "classification_top5_error": 0,
    }


def test_task_2(run, files):
    result = run("ilsvrc-eval", "boxes.txt", "xml", "--task=2", "--synsets=map.txt", "--per-image=out.csv")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == [
        "classification top-1 error: 50.000 % (1 of 2 images)",
        "classification top-5 error: 0.000 % (0 of 2 images)",
        "localisation top-1 error: 50.000 % (1 of 2 images)",
        "localisation top-5 error: 50.000 % (1 of 2 images)",
    ]
    assert (files / "out.csv").read_text().splitlines()[1:] == ["1,xml/val_1.xml,1,1", "2,xml/val_2.xml,2,0"]
    result = run("ilsvrc-eval", "boxes.txt", "xml", "--task=2")
    assert "warning: Labels are numbers on one side and synsets on the other: give --synsets" in result.err


def test_errors(run, files):
    (files / "short.txt").write_text("1\n2\n")
    result = run("ilsvrc-eval", "short.txt", "truth.txt")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error: 2 lines of predictions for 4 images of the ground truth: fewer.")
    result = run("ilsvrc-eval", "said.txt", "truth.txt", "--task=2")
    assert result.code == 1
    assert "truth.txt:1: 1 words; expected 'label xmin ymin xmax ymax'" in result.err
    assert run("ilsvrc-eval", "said.txt").code == 2


def test_a_report_of_a_test(run, project):
    assert run("train", "-solver=solver.prototxt", "-seed=1").code == 0
    assert run("test", "-model=net.prototxt", "-weights=out/tiny_iter_40.caffemodel", "--report=rep").code == 0
    found = json.loads(run("ilsvrc-eval", "rep/predictions.txt", "rep/ground_truth.txt", "--format=json").out)
    figures = json.loads((project / "rep" / "report.json").read_text())
    for k in (1, 5):
        assert found[f"classification_top{k}_error"] == pytest.approx(figures[f"top{k}_error"])
