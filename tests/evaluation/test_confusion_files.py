"""Confusion matrices read: from a report's files, and from labels with scores or predictions."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from caffepy.errors import DataError
from caffepy.evaluation.confusion_files import read_confusion
from caffepy.evaluation.predictions import Predictions
from caffepy.evaluation.report import write_report

TRUTH = np.array([0, 0, 1, 2, 2, 2])
SCORES = np.array([[3, 1, 0], [1, 3, 0], [0, 2, 1], [0, 0, 1], [0, 1, 2], [5, 0, 1]], np.float32)
MATRIX = [[1, 1, 0], [0, 1, 0], [1, 0, 2]]


@pytest.mark.parametrize("labels", [None, ["cat", "dog, hound", "ant"]])
def test_a_reports_files(tmp_path, labels):
    predictions = Predictions(3)
    predictions.add(SCORES, TRUTH)
    write_report(tmp_path / "r", predictions, labels=labels)
    for name in ("images.csv", "confusion.csv"):
        matrix, names = read_confusion(tmp_path / "r" / name)
        assert matrix.tolist() == MATRIX
        assert names == (labels or (["0", "1", "2"] if name == "confusion.csv" else None))


def write(path, arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
        return
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            file[name] = value


@pytest.mark.parametrize("name", ["x.npz", "x.h5"])
@pytest.mark.parametrize(
    "arrays",
    [
        {"label": TRUTH.astype(np.float32), "prob": SCORES},
        {"prob": SCORES[:, :, None, None], "label": TRUTH},
        {"label": TRUTH, "prediction": SCORES.argmax(1)},
        {"confusion": np.array(MATRIX)},
    ],
)
def test_arrays(tmp_path, name, arrays):
    write(tmp_path / name, arrays)
    matrix, names = read_confusion(tmp_path / name)
    assert matrix.tolist() == MATRIX
    assert names is None


def test_scores_say_how_many_classes_there_are(tmp_path):
    write(tmp_path / "x.npz", {"label": TRUTH, "prob": np.pad(SCORES, ((0, 0), (0, 4)))})
    assert read_confusion(tmp_path / "x.npz")[0].shape == (7, 7)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"prob": SCORES}, "expected confusion, or label and prob; found prob"),
        ({"label": TRUTH, "a": SCORES, "b": SCORES}, "which array has the scores"),
        ({"label": TRUTH}, "which array has the scores.*found none"),
        ({"label": TRUTH[:4], "prob": SCORES}, r"prob: expected scores \(4, K\); got \(6, 3\)"),
        ({"label": TRUTH, "prob": SCORES.reshape(6, 1, 3)}, r"prob: expected scores"),
        ({"label": TRUTH + 0.5, "prob": SCORES}, "label: expected numbers of classes"),
        ({"label": TRUTH * np.nan, "prob": SCORES}, "label: expected numbers of classes"),
        ({"label": TRUTH * 1e30, "prob": SCORES}, "label: expected numbers of classes"),
        ({"label": -TRUTH, "prob": SCORES}, "classes from -2 to 2"),
        ({"label": TRUTH * 10**9, "prediction": TRUTH}, "classes from 0 to 2000000000"),
        ({"label": TRUTH, "prediction": TRUTH[1:]}, "6 labels and 5 predictions"),
        ({"confusion": SCORES}, r"confusion: expected integers \(K, K\)"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, arrays, said):
    write(tmp_path / "x.npz", arrays)
    with pytest.raises(DataError, match=said):
        read_confusion(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "expected the columns label and class1 of a report's images.csv; found a, b"),
        ("label,class1\n1,x\n", r"x\.csv:2: expected numbers of classes; got 1,x"),
        ("label,class1\n1\n", r"x\.csv:2: expected numbers of classes"),
        ("label,class1\n1,99999999999999999999\n", r"x\.csv:2: expected numbers of classes"),
        ("true \\ predicted,a\na,99999999999999999999\n", "a count is negative, or larger than any can be"),
        ("true \\ predicted,a\na,-1\n", "a count is negative, or larger than any can be"),
        ("label,class1\n", "0 labels and 0 predictions"),
        ("", "expected the columns"),
        ("true \\ predicted,a,b\na,1,2\n", "1 rows of a matrix of 2 classes. Is the file cut off"),
        ("true \\ predicted,a,b\na,1,2\nb,1,x\n", "cannot read a confusion matrix"),
    ],
)
def test_texts_that_do_not_fit(tmp_path, text, said):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        read_confusion(tmp_path / "x.csv")
    with pytest.raises(DataError, match=r"cannot read a confusion matrix from '.*gone': No such file"):
        read_confusion(tmp_path / "gone")
