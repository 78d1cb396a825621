"""BatchReindex."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case


def picked(bottoms, blobs):
    x, index = bottoms
    return [np.array([x[int(i)] for i in index]).reshape(len(index), *x.shape[1:])]


def within(items):
    return lambda random, shape: random.integers(0, items, shape)


def setting(shape, picks, draw=None, **more):
    bottoms, draws = [shape, (picks,)], {1: draw or within(shape[0])}
    waived = {"batch": "the index asks for items of this batch"}
    text = 'type: "BatchReindex"'
    return case(text, bottoms, reference=picked, draw=draws, kind="sum", label=f"{bottoms}", waived=waived, **more)


CASES = [
    setting((4, 3, 2), 6),
    setting((5, 2), 3),
    setting((3,), 10),
    setting((2, 3, 2, 2), 1, lambda random, shape: np.ones(shape)),
    setting((6, 4), 6, lambda random, shape: random.permutation(6)),
    setting((4, 3), 7, lambda random, shape: random.uniform(0, 3.9, shape)),
]


def run(backend, index, shape=(3, 2)):
    setting = case('type: "BatchReindex"', [shape, (len(index),)], draw={1: lambda *_: index})
    made = LayerUnderTest(setting, get_backend(backend))
    return made.forward()[0], made


def test_gradients_of_one_item_add_up(backend):
    y, made = run(backend, [2, 0, 2, 2])
    assert (y == made.values[0][[2, 0, 2, 2]]).all()
    dx = made.backward([np.array([[1.0, 2], [10, 20], [100, 200], [1000, 2000]])])[0]
    assert dx.tolist() == [[10, 20], [0, 0], [1101, 2202]]


def test_nothing_picked(backend):
    y, made = run(backend, [])
    assert y.shape == (0, 2)
    assert made.backward([np.empty((0, 2))])[0].tolist() == [[0, 0]] * 3


@pytest.mark.parametrize(
    ("index", "match"),
    [
        ([0, -1, 7], r"Index specified for reindex layer was negative: index 1 is -1, the batch has 3 items, 0\.\.2"),
        ([0, 1, 3], r"Index specified for reindex layer was greater than batch size: index 2 is 3"),
        ([np.nan], r"Index specified for reindex layer was greater than batch size: index 0 is nan"),
    ],
)
def test_an_index_outside_the_batch(backend, index, match):
    with pytest.raises(LayerError, match=match):
        run(backend, index)


@pytest.mark.parametrize("shape", [(), (3, 1)])
def test_the_index_has_one_axis(backend, shape):
    with pytest.raises(LayerError, match=r"the index has one axis \(Check failed: 1 == bottom\[1\]->num_axes\(\)\)"):
        LayerUnderTest(case('type: "BatchReindex"', [(3, 2), shape]), get_backend(backend)).forward()


def test_a_scalar_has_no_items(backend):
    with pytest.raises(LayerError, match="axis 0 out of range for 0-D Blob"):
        LayerUnderTest(case('type: "BatchReindex"', [(), (3,)]), get_backend(backend)).forward()


def test_no_gradient_for_the_index(backend):
    _, made = run(backend, [0, 1])
    assert [made.layer.can_propagate(i) for i in range(2)] == [True, False]
    with pytest.raises(LayerError, match="Cannot backprop to index"):
        made.backward([np.ones((2, 2))], [True, True])
