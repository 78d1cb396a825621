"""Accuracy: ties, top_k, ignored labels, the share of each class."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case
from tests.reference.accuracy import accuracy


def share(axis=1, top_k=1, ignore=None, tops=1):
    def reference(bottoms, blobs):
        x, label = bottoms
        k = axis % x.ndim
        outer = math.prod(x.shape[:k])
        return accuracy(x.reshape(outer, x.shape[k], -1), label.reshape(outer, -1), top_k, ignore)[:tops]

    return reference


def labels(classes, *others):
    return lambda random, shape: random.choice([*range(classes), *others], shape)


def few_scores(random, shape):
    """Scores among which there are many ties."""
    return random.integers(0, 3, shape)


def setting(fields, scores, given, classes, others=(), tops=1, **how):
    return case(
        f'type: "Accuracy" accuracy_param {{ {fields} }}',
        [scores, given],
        tops=tops,
        reference=share(tops=tops, **how),
        draw={0: few_scores, 1: labels(classes, *others)},
        gradient=(),
        tops_checked=(),
        label=f"{fields} {tops} tops {scores}",
    )


CASES = [
    setting("", (20, 5), (20,), 5),
    setting("", (1, 5), (1, 1), 5),
    setting("top_k: 3", (20, 5), (20,), 5, top_k=3),
    setting("top_k: 5", (20, 5), (20,), 5, top_k=5),
    setting("ignore_label: 2", (20, 4), (20,), 4, ignore=2),
    setting("ignore_label: 255", (3, 4, 5, 2), (3, 1, 5, 2), 4, [255], ignore=255),
    setting("axis: 2", (3, 4, 5), (3, 4), 5, axis=2),
    setting("axis: -1 top_k: 2", (3, 4, 5), (3, 4), 5, axis=-1, top_k=2),
    setting("", (20, 5), (20,), 4, tops=2),
    setting("ignore_label: -1 top_k: 2", (4, 3, 5), (4, 5), 3, [-1], tops=2, ignore=-1, top_k=2),
]


def under(backend, scores, given, fields="", tops=1):
    scores, given = np.array(scores, float), np.array(given, float)
    made = LayerUnderTest(
        case(f'type: "Accuracy" accuracy_param {{ {fields} }}', [scores.shape, given.shape], tops=tops),
        get_backend(backend),
    )
    made.values = [scores, given]
    return made


def test_a_tie_counts_against_the_label(backend):
    assert under(backend, [[1, 1, 0]], [0]).forward()[0] == 0
    assert under(backend, [[1, 1, 0]], [0], "top_k: 2").forward()[0] == 1


def test_nan_is_never_right(backend):
    assert under(backend, [[np.nan, np.nan]], [0]).forward()[0] == 0
    assert under(backend, [[np.nan, 1]], [1]).forward()[0] == 1


def test_each_class(backend):
    scores = [[2, 1, 0], [2, 1, 0], [0, 1, 2], [0, 1, 2]]
    total, each = under(backend, scores, [0, 1, 2, 2], tops=2).forward()
    assert total == 0.75
    assert each.tolist() == [1, 0, 1]
    # Without labels of a class its share is 0.
    assert under(backend, scores, [0, 0, 0, 0], tops=2).forward()[1].tolist() == [0.5, 0, 0]


def test_nothing_to_count(backend):
    assert under(backend, [[1, 2]], [7], "ignore_label: 7").forward()[0] == 0


def test_fractions_of_labels_are_cut_off(backend):
    assert under(backend, [[0, 1], [0, 1]], [1.9, 0.9]).forward()[0] == 0.5
    assert under(backend, [[0, 1], [0, 1]], [1.9, 7.5], "ignore_label: 7").forward()[0] == 1
    # Not -1, but 0: a class.
    assert under(backend, [[1, 0], [0, 1]], [-0.5, 1], "ignore_label: -1").forward()[0] == 1


@pytest.mark.parametrize(
    ("scores", "given", "fields", "match"),
    [
        ([[1, 2]], [0], "top_k: 3", r"top_k must be less than or equal to the number of classes; got 3 for 2 classes"),
        ([[1, 2]], [0, 1], "", r"Number of labels must match number of predictions.*need 1 labels, got 2 \(2\)"),
        ([[1, 2]], [0], "axis: 2", r"accuracy_param.axis: axis 2 out of range"),
        ([[1, 2], [1, 2]], [0, 2], "", r"label 2 of sample 1 in the batch is not in 0\.\.1.*label_value < num_labels"),
        ([[1, 2], [1, 2]], [-1, 0], "", r"label -1 of sample 0 in the batch"),
        ([[1, 2], [1, 2]], [np.nan, 0], "ignore_label: 5", r"label nan of sample 0 in the batch"),
        ([[[1, 2], [3, 4]]], [[0, 9]], "", r"label 9 of sample 0, position 1 in the batch"),
    ],
)
def test_refusals(backend, scores, given, fields, match):
    with pytest.raises(LayerError, match=match):
        under(backend, scores, given, fields).forward()


def test_no_gradient(backend):
    made = under(backend, [[1, 2]], [0])
    made.forward()
    made.backward([np.array(1.0)], [False, False])
    with pytest.raises(LayerError, match="Accuracy Layer has no gradient"):
        made.backward([np.array(1.0)], [True, False])
