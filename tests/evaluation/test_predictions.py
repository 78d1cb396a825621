"""Predictions collected, and the report made of them."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from caffepy.errors import DataError
from caffepy.evaluation.predictions import Predictions, softmax
from caffepy.evaluation.report import make_report, write_report

RNG = np.random.default_rng(0)


def collected(classes=7, images=30, **arguments):
    """Predictions of random scores, in two batches out of order; and what they were."""
    scores = RNG.random((images, classes))
    labels = RNG.integers(0, classes - 1, images)
    found = Predictions(classes, images, **arguments)
    order = RNG.permutation(images)
    for part in (order[:11], order[11:]):
        found.add(scores[part], labels[part].astype(np.float32), part)
    return found, scores, labels


def test_softmax():
    scores = np.array([[1000.0, 1001], [-1, 1]], np.float32)
    np.testing.assert_allclose(softmax(scores)[:, 1], [1 / (1 + np.exp(-1)), 1 / (1 + np.exp(-2))])


def test_in_the_order_of_images():
    found, scores, labels = collected()
    assert len(found) == 30
    np.testing.assert_array_equal(found.records, np.arange(30))
    np.testing.assert_array_equal(found.labels, labels)
    order = np.argsort(-scores, axis=1)
    np.testing.assert_array_equal(found.top, order[:, :5])
    np.testing.assert_allclose(found.probabilities, -np.sort(-scores, axis=1)[:, :5], rtol=1e-6)
    np.testing.assert_array_equal(found.ranks, 1 + np.argmax(order == labels[:, None], axis=1))
    for k in (1, 3, 5):
        assert found.accuracy(k) == np.mean([label in row[:k] for label, row in zip(labels, order, strict=True)])
    matrix = np.zeros((7, 7), int)
    for label, row in zip(labels, order, strict=True):
        matrix[label, row[0]] += 1
    np.testing.assert_array_equal(found.confusion, matrix)


def test_each_image_counts_once():
    found = Predictions(2, 3)
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]])
    found.add(scores, np.array([0, 0, 1, 1]), np.array([2, 0, 2, 0]))
    found.add(scores, np.array([0, 1, 1, 1]), np.array([0, 1, 2, 0]))
    assert found.records.tolist() == [0, 1, 2]
    assert found.top[:, 0].tolist() == [1, 1, 0]
    assert found.confusion.tolist() == [[1, 1], [0, 1]]
    unnumbered = Predictions(2)
    for _ in range(2):
        unnumbered.add(scores, np.zeros(4))
    assert unnumbered.records.tolist() == list(range(8))


def test_labels():
    found = Predictions(3, ignore_label=255)
    found.add(np.eye(3), np.array([0, 255, 1]))
    assert (len(found), found.ignored, found.accuracy(1)) == (2, 1, 0.5)
    with pytest.raises(DataError, match=r"image 4 \(from 0\) has the label 3, but there are 3 classes: .* from 0 to 2"):
        found.add(np.eye(3), np.array([0, 3, -1]))
    with pytest.raises(DataError, match=r"has the label 0\.5"):
        found.add(np.eye(3), np.array([0, 0.5, 0]))
    alone = Predictions(3, ignore_label=0)
    alone.add(np.eye(3), np.zeros(3))
    with pytest.raises(DataError, match="no predictions to report: 3 images had the ignored label"):
        make_report(alone)
    assert np.isnan(alone.accuracy(1))


def test_report():
    found, _, labels = collected()
    report = make_report(found, ["a", "b"])
    assert (report.images, report.top1, report.top5) == (30, found.accuracy(1), found.accuracy(5))
    assert [one.name for one in report.classes] == ["a", "b", "2", "3", "4", "5", "6"]
    present = []
    for one in report.classes:
        mine = labels == one.number
        assert one.images == mine.sum()
        assert one.right == (mine & (found.top[:, 0] == one.number)).sum()
        assert one.right_top5 == (mine & (found.top == one.number).any(1)).sum()
        assert one.predicted == (found.top[:, 0] == one.number).sum()
        wrong = found.top[:, 0][mine & (found.top[:, 0] != one.number)]
        counts = np.bincount(wrong, minlength=7)
        assert one.mistaken_for == ((counts.argmax(), counts.max()) if len(wrong) else None)
        present += [one.right / one.images] if one.images else []
    assert report.classes[6].images == 0
    assert np.isnan(report.classes[6].accuracy)
    assert report.mean_class_accuracy == pytest.approx(np.mean(present))
    assert make_report(collected(classes=5)[0]).top5 is None


def test_a_tie_is_not_right():
    found = Predictions(2)
    found.add(np.array([[0.5, 0.5]]), np.array([0]))
    assert make_report(found).top1 == 0
    assert make_report(found).classes[0].right == 0


def test_files(tmp_path):
    found, _, labels = collected()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").write_text("old")
    names = ["ä, b", *"bcdefg"]
    report = write_report(
        tmp_path / "out", found, labels=names, record_name=lambda i: f"r{i:03}", about={"model": "m.prototxt"}
    )
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "report.json", "images.csv", "classes.csv", "confusion.csv", "confusion.png", "predictions.txt",
        "ground_truth.txt",
    }  # fmt: skip
    figures = json.loads((tmp_path / "out" / "report.json").read_text())
    assert figures["model"] == "m.prototxt"
    assert figures["top1_accuracy"] == pytest.approx(1 - figures["top1_error"]) == report.top1
    assert figures["top5_accuracy"] == report.top5
    rows = list(csv.DictReader((tmp_path / "out" / "images.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 30
    for i, row in enumerate(rows):
        assert (row["number"], row["record"], row["label"]) == (str(i), f"r{i:03}", str(labels[i]))
        assert row["label_name"] == names[labels[i]]
        assert [int(row[f"class{k + 1}"]) for k in range(5)] == found.top[i].tolist()
        assert [float(row[f"probability{k + 1}"]) for k in range(5)] == pytest.approx(
            found.probabilities[i].tolist(), 1e-5
        )
        assert (row["right"] == "1") == (found.top[i, 0] == labels[i])
        assert int(row["place"]) == found.ranks[i]
    rows = list(csv.DictReader((tmp_path / "out" / "classes.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["name"] for row in rows] == names
    assert [int(row["right"]) for row in rows] == [one.right for one in report.classes]
    assert rows[6]["accuracy"] == ""
    table = list(csv.reader((tmp_path / "out" / "confusion.csv").read_text(encoding="utf-8").splitlines()))
    assert table[0][1:] == [row[0] for row in table[1:]] == names
    assert [[int(cell) for cell in row[1:]] for row in table[1:]] == found.confusion.tolist()
    assert (tmp_path / "out" / "predictions.txt").read_text().splitlines()[3] == " ".join(map(str, found.top[3]))
    assert (tmp_path / "out" / "ground_truth.txt").read_text().split() == [str(label) for label in labels]
    with Image.open(tmp_path / "out" / "confusion.png") as picture:
        assert min(picture.size) > 300


def test_few_classes_have_no_top_5(tmp_path):
    found, _, _ = collected(classes=3)
    write_report(tmp_path, found)
    header = (tmp_path / "images.csv").read_text().splitlines()[0]
    assert header == "number,record,label,right,place,class1,class2,class3,probability1,probability2,probability3"
    assert "top5" not in (tmp_path / "report.json").read_text()
    assert "top5" not in (tmp_path / "classes.csv").read_text()
