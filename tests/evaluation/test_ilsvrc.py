"""ILSVRC's errors, its files, and what is said of lines that are wrong."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.errors import DataError
from caffepy.evaluation.annotations import Box, LabelledBox
from caffepy.evaluation.ilsvrc import Outcome, evaluate, overlap
from caffepy.evaluation.ilsvrc_files import read_blacklist, read_predictions, read_synsets, read_truth


def labels(*rows):
    return [[LabelledBox(str(label), None) for label in row] for row in rows]


def boxed(*pairs):
    return [LabelledBox(str(label), Box(*box)) for label, box in pairs]


# What is counted


def test_task_1():
    truth = labels([1], [2], [3], [4], [5, 6])
    result = evaluate(labels([1, 9], [9, 8, 7, 6, 2], [1, 2], [4], [9, 6]), truth, 1)
    assert [outcome.label for outcome in result.outcomes] == [1, 5, 0, 1, 2]
    assert [result.errors(k) for k in (1, 2, 4, 5)] == [3, 2, 2, 1]
    assert result.notes == []
    assert result.outcomes[0] == Outcome(0, 1, None)


def test_task_2_needs_the_label_and_its_box():
    truth = [boxed((1, (0, 0, 9, 9)), (2, (50, 50, 59, 59)))]
    near = (0, 0, 9, 4)  # half of it
    less = (0, 0, 9, 3)
    cases = [
        ([(1, near)], 1, 1),
        ([(1, less)], 1, 0),
        # The box of another class's object.
        ([(1, (50, 50, 59, 59))], 1, 0),
        ([(2, (50, 50, 59, 59))], 1, 1),
        ([(3, near), (1, less), (1, near)], 2, 3),
        ([(3, (0, 0, 9, 9))], 0, 0),
    ]
    for guesses, label, box in cases:
        (outcome,) = evaluate([boxed(*guesses)], truth, 2).outcomes
        assert (outcome.label, outcome.box) == (label, box), guesses
    result = evaluate([boxed((3, near), (1, less), (1, near))], truth, 2)
    assert [result.errors(k, boxes=True) for k in (1, 2, 3, 5)] == [1, 1, 0, 0]
    assert [result.errors(k) for k in (1, 2)] == [1, 0]


def test_any_object_of_the_class_will_do():
    truth = [boxed((1, (0, 0, 9, 9)), (1, (100, 0, 109, 9)))]
    assert evaluate([boxed((1, (101, 0, 109, 9)))], truth, 2).outcomes[0].box == 1


def test_overlap_counts_pixels():
    def masks(box):
        mask = np.zeros((30, 30), bool)
        mask[box[1] : box[3] + 1, box[0] : box[2] + 1] = True
        return mask

    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b = (np.sort(rng.integers(0, 30, (2, 2)), axis=0).ravel() for _ in range(2))
        one, other = masks(a), masks(b)
        assert overlap(Box(*a), Box(*b)) == pytest.approx((one & other).sum() / (one | other).sum())
    assert overlap(Box(0, 0, 4, 4), Box(5, 0, 9, 4)) == 0


def test_blacklist_and_numbers():
    result = evaluate(labels([1], [2]), labels([2], [2]), 1, {0})
    assert (len(result.outcomes), result.errors(1)) == (1, 0)
    with pytest.raises(DataError, match="no image counts: all are on the blacklist"):
        evaluate(labels([1]), labels([1]), 1, {0})
    with pytest.raises(DataError, match=r"1 lines of predictions for 2 images of the ground truth: fewer\."):
        evaluate(labels([1]), labels([1], [2]), 1)
    with pytest.raises(DataError, match=r"3 lines of predictions for 2 images of the ground truth: more\."):
        evaluate(labels([1], [1], [1]), labels([1], [2]), 1)


def test_notes():
    assert "do both count from 0" in evaluate(labels([0], [5]), labels([1], [5]), 1).notes[0]
    assert "do both count from 0" in evaluate(labels([1], [5]), labels([0], [5]), 1).notes[0]
    assert evaluate(labels([3], [5]), labels([1], [5]), 1).notes == []
    assert "give --synsets" in evaluate(labels([3]), labels(["n01440764"]), 1).notes[0]


# Files


@pytest.fixture
def file(tmp_path):
    def write(text, name="f.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


def test_predictions(file):
    assert read_predictions(file("1 2 3 4 5\r\n007\n3, 2\n\n\n"), 1) == labels([1, 2, 3, 4, 5], [7], [3, 2])
    assert read_predictions(file("1 0 0 9 9 n01440764 1.5 2 3 4\n"), 2) == [
        boxed((1, (0, 0, 9, 9)), ("n01440764", (1.5, 2, 3, 4)))
    ]
    assert read_predictions(file("1 0 n01440764\n"), 1, {0: "n00000000", 1: "n00000001"}) == labels(
        ["n00000001", "n00000000", "n01440764"]
    )


@pytest.mark.parametrize(
    ("text", "task", "said"),
    [
        ("1\n1 2 3 4 5 6\n", 1, r"f\.txt:2: 6 labels; an image has at most 5"),
        ("1\n\n2\n", 1, r"f\.txt:2: an empty line between others"),
        ("1\n-1\n", 1, r"f\.txt:2: '-1' is no label: expected a number or a synset"),
        ("cat\n", 1, r"f\.txt:1: 'cat' is no label"),
        ("1.5\n", 1, r"f\.txt:1: '1\.5' is no label"),
        ("1 2 3\n", 2, r"f\.txt:1: 3 words; expected 'label xmin ymin xmax ymax'.*--task 1"),
        ("1 0 0 9 x\n", 2, r"f\.txt:1: '1 0 0 9 x': coordinates must be numbers"),
        ("1 0 0 9 nan\n", 2, r"f\.txt:1: box 1: coordinates that are no numbers"),
        ("1 0 0 9 9 1 5 0 4 9\n", 2, r"f\.txt:1: box 2: xmin 5 to xmax 4, ymin 0 to ymax 9: nothing is inside"),
        ("1 0 0 9 9 " * 6, 2, r"f\.txt:1: 6 labels; an image has at most 5"),
        ("\n", 1, "holds no predictions"),
    ],
)
def test_wrong_predictions(file, text, task, said):
    with pytest.raises(DataError, match=said):
        read_predictions(file(text), task)


def test_predictions_that_are_not_there():
    with pytest.raises(DataError, match=r"cannot read the predictions 'none\.txt': No such file"):
        read_predictions("none.txt", 1)


def test_numbers_without_a_synset(file):
    with pytest.raises(DataError, match=r"f\.txt:1: label 7 is not among the synsets, 0 to 1"):
        read_predictions(file("7\n"), 1, {0: "n00000000", 1: "n00000001"})


def test_truth_as_text(file):
    path = file("490\nILSVRC2012_val_00000002.JPEG 361\n")
    truth, names = read_truth(path, 1)
    assert truth == labels([490], [361])
    assert names == [f"{path}:1", f"{path}:2"]
    assert read_truth(file("3 0 0 9 9 3 20 0 29 9\n"), 2)[0] == [boxed((3, (0, 0, 9, 9)), (3, (20, 0, 29, 9)))]
    with pytest.raises(DataError, match=r"f\.txt:1: expected a label, or 'name label'; got 3 words"):
        read_truth(file("a b 3\n"), 1)
    with pytest.raises(DataError, match="holds no ground truth"):
        read_truth(file(""), 1)


def xml(*objects):
    parts = []
    for name, box in objects:
        corners = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), box or (), strict=False))
        parts.append(f"<object>\n<name>{name}</name><pose>x</pose><bndbox>{corners}</bndbox></object>\n")
    return f"<annotation><folder>val</folder><size><width>5</width></size>{''.join(parts)}</annotation>"


def test_truth_as_annotations(file, tmp_path):
    file(xml(("n02", (1, 2, 3, 4)), ("n02", (5, 6, 7, 8))), "x/val_2.xml")
    file(xml(("n01", (0, 0, 9, 9))), "x/val_1.xml")
    file("no annotation", "x/readme.txt")
    truth, names = read_truth(tmp_path / "x", 2)
    assert truth == [boxed(("n01", (0, 0, 9, 9))), boxed(("n02", (1, 2, 3, 4)), ("n02", (5, 6, 7, 8)))]
    assert names == [str(tmp_path / "x" / f"val_{i}.xml") for i in (1, 2)]
    file(xml(("n01", None)), "x/val_3.xml")
    with pytest.raises(DataError, match=r"val_3\.xml: an object without a box\. Task 2 needs boxes"):
        read_truth(tmp_path / "x", 2)
    assert len(read_truth(tmp_path / "x", 1)[0]) == 3
    file(xml(), "x/val_4.xml")
    with pytest.raises(DataError, match=r"val_4\.xml: no object: the class of its image is not known"):
        read_truth(tmp_path / "x", 1)
    (tmp_path / "y").mkdir()
    with pytest.raises(DataError, match=r"there are no \.xml files in the folder"):
        read_truth(tmp_path / "y", 1)


def test_synsets(file):
    assert read_synsets(file("n02119789 1 kit_fox\nn02100735 2 English_setter\n")) == {1: "n02119789", 2: "n02100735"}
    assert read_synsets(file("n01440764 tench, Tinca\nn01443537 7 up\n")) == {0: "n01440764", 1: "n01443537"}
    assert read_synsets(file("n01440764\n")) == {0: "n01440764"}
    with pytest.raises(DataError, match=r"f\.txt:2: expected a synset, such as n01440764, first; got 'tench'"):
        read_synsets(file("n01440764\ntench\n"))
    with pytest.raises(DataError, match=r"f\.txt:2: label 1 a second time"):
        read_synsets(file("n01440764 1\nn01443537 1\n"))
    with pytest.raises(DataError, match="holds no synsets"):
        read_synsets(file("\n"))


def test_blacklist(file):
    assert read_blacklist(file("36\n1\n"), 36) == {35, 0}
    for text in ("0\n", "37\n", "1 2\n", "x\n"):
        with pytest.raises(DataError, match=r"f\.txt:1: expected the number of an image, 1 to 36; got"):
            read_blacklist(file(text), 36)
