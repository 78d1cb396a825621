"""The best classes, their names, and the files that say them."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from caffepy.errors import DataError
from caffepy.evaluation.classes import Classes, to_csv, to_json, to_text, write_scores
from caffepy.evaluation.labels import class_name, read_labels
from caffepy.evaluation.top import ranks_of, top_classes

SCORES = np.array([[0.25, 0.5, 0.0, 0.25], [0.5, np.nan, 0.1, 0.4]], np.float32)
CLASSES = Classes(["a b.jpg", "ü.png"], SCORES, "probability", {"crop": "none"}, [("bad.jpg", "why")])


def test_top_classes_best_first_and_the_lower_number_in_a_tie():
    assert top_classes(SCORES, 3).tolist() == [[1, 0, 3], [0, 3, 2]]
    assert top_classes(SCORES, 9).tolist() == [[1, 0, 3, 2], [0, 3, 2, 1]]
    tied = np.array([[1.0, 2, 2, 2, 0]])
    assert top_classes(tied, 2).tolist() == [[1, 2]]


def test_top_classes_of_many():
    scores = np.random.default_rng(0).random((20, 300)).round(2)
    expected = [sorted(range(300), key=lambda k: (-row[k], k))[:5] for row in scores]
    assert top_classes(scores, 5).tolist() == expected


def test_ranks_count_a_tie_against_the_label():
    scores = np.array([[3.0, 1, 3], [3, 1, 3], [3, 1, 3], [np.nan, 1, 2]])
    assert ranks_of(scores, np.array([0, 1, 2, 0])).tolist() == [2, 3, 2, 4]


def test_labels(tmp_path):
    path = tmp_path / "synset_words.txt"
    path.write_bytes("\ufeffn01 tench, Tinca\r\nn02 größer\n\n".encode())
    assert read_labels(path) == ["n01 tench, Tinca", "n02 größer"]
    assert class_name(["a"], 0) == "a"
    assert class_name(["a"], 1) == class_name(None, 1) == "1"
    path.write_text("a\n\nb\n")
    with pytest.raises(DataError, match=r"synset_words\.txt:2: an empty line"):
        read_labels(path)
    path.write_text("\n")
    with pytest.raises(DataError, match="names no class"):
        read_labels(path)
    with pytest.raises(DataError, match=r"cannot read the names of classes 'none\.txt': No such file"):
        read_labels("none.txt")


def test_text():
    assert to_text(CLASSES, ["zero", "one"], 2) == (
        '---------- Prediction for a b.jpg ----------\n0.5000 - "one"\n0.2500 - "zero"\n'
        '---------- Prediction for ü.png ----------\n0.5000 - "zero"\n0.4000 - "3"\n'
    )


def test_csv():
    rows = list(csv.reader(io.StringIO(to_csv(CLASSES, ["zero", 'o"n,e'], 2))))
    assert rows == [
        ["file", "rank", "class", "label", "probability"],
        ["a b.jpg", "1", "1", 'o"n,e', "0.5"],
        ["a b.jpg", "2", "0", "zero", "0.25"],
        ["ü.png", "1", "0", "zero", "0.5"],
        ["ü.png", "2", "3", "3", "0.4"],
    ]


def test_json():
    found = json.loads(to_json(CLASSES, None, 4))
    assert found["preprocessing"] == {"crop": "none"}
    assert found["unreadable"] == [{"file": "bad.jpg", "reason": "why"}]
    assert found["images"][0] == {
        "file": "a b.jpg",
        "classes": [
            {"class": k, "label": str(k), "probability": p} for k, p in ((1, 0.5), (0, 0.25), (3, 0.25), (2, 0))
        ],
    }
    assert found["images"][1]["classes"][3] == {"class": 1, "label": "1", "probability": None}


def test_scores(tmp_path):
    write_scores(tmp_path / "s.npy", CLASSES)
    np.testing.assert_array_equal(np.load(tmp_path / "s.npy", allow_pickle=False), SCORES)
