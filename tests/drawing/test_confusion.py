"""Pictures of confusion matrices: what their colours are, what is written, what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from caffepy.drawing.confusion import confusion_picture
from caffepy.errors import CaffepyError, DataError


def blues(path, classes):
    """How much blue there is in the middle of each cell of a picture without names, 0 (white) to 255, by row."""
    image = np.asarray(Image.open(path).convert("RGB"), np.int64)
    # The frame: the longest dark lines.
    dark = (image < 60).all(2)
    rows = np.flatnonzero(dark.mean(1) > 0.5)
    columns = np.flatnonzero(dark[(rows[0] + rows[-1]) // 2, : image.shape[1] * 9 // 10])
    top, bottom, left, right = rows[0], rows[-1], columns[0], columns[-1]
    centres = (np.arange(classes) + 0.3) / classes
    y = (top + centres * (bottom - top)).astype(int)
    x = (left + centres * (right - left)).astype(int)
    return 255 - image[np.ix_(y, x)].sum(2) // 3


def test_colours_are_shares_of_the_true_class(tmp_path):
    matrix = np.array([[90, 10, 0], [0, 1, 0], [0, 0, 0]])
    confusion_picture(matrix, None, tmp_path / "c.png")
    seen = blues(tmp_path / "c.png", 3)
    # One image of one is all, ten of a hundred are few, and none of none is none.
    assert seen[1, 1] > seen[0, 0] > 150 > 60 > seen[0, 1] > seen[0, 2]
    assert (seen[2] == seen[0, 2]).all()
    # Rows are true classes: nothing of class 1 was taken for class 0.
    assert seen[1, 0] == seen[0, 2]


def test_labels_counts_and_accuracy_are_written(tmp_path):
    confusion_picture(np.array([[7, 1], [2, 1234]]), ["a $cat$", "dog " * 20], tmp_path / "c.svg")
    text = "".join(re.findall("<!-- (.*?) -->", (tmp_path / "c.svg").read_text()))
    for piece in ("1,244 images: 99.76 % right", "1234", "dog dog", "…", "cat", "true class", "predicted class"):
        assert piece in text
    assert "dog " * 8 not in text


def test_the_same_matrix_gives_the_same_bytes(tmp_path):
    for kind in ("png", "svg", "pdf"):
        for name in "ab":
            confusion_picture(np.eye(3, dtype=int), None, tmp_path / f"{name}.{kind}")
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_many_classes_fit(tmp_path):
    # More than the picture has points: a class's mistakes are still seen.
    matrix = np.zeros((1600, 1600), int)
    matrix[np.arange(1600), np.arange(1600)] = 1
    matrix[801, 0] = 1000
    confusion_picture(matrix, [str(i) for i in range(1600)], tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as image:
        assert max(image.size) < 2000
    confusion_picture(np.zeros((5, 5), int), None, tmp_path / "none.png")


def test_errors(tmp_path):
    for matrix in (np.zeros((2, 3), int), np.zeros(4, int), np.zeros((0, 0), int)):
        with pytest.raises(DataError, match=r"expected shape \(K, K\)"):
            confusion_picture(matrix, None, tmp_path / "c.png")
    for matrix in (np.zeros((2, 2)), -np.eye(2, dtype=int)):
        with pytest.raises(DataError, match="expected counts: integers, none below zero"):
            confusion_picture(matrix, None, tmp_path / "c.png")
    with pytest.raises(DataError, match="2 classes, but 3 labels"):
        confusion_picture(np.eye(2, dtype=int), ["a", "b", "c"], tmp_path / "c.png")
    with pytest.raises(CaffepyError, match=r"pictures are png, svg, pdf.*got 'pgn'. Did you mean 'png'"):
        confusion_picture(np.eye(2, dtype=int), None, tmp_path / "c.pgn")
    assert not list(tmp_path.iterdir())
