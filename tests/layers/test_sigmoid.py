"""Sigmoid."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.testing import LayerUnderTest, case


def sigmoid(bottoms, blobs):
    y = np.empty(bottoms[0].shape)
    for place in np.ndindex(y.shape):
        y[place] = 1 / (1 + math.exp(-bottoms[0][place]))
    return [y]


CASES = [
    case('type: "Sigmoid"', [shape], reference=sigmoid, label=str(shape)) for shape in [(2, 3, 4, 5), (1, 6), (4,)]
]


@pytest.mark.parametrize(("x", "y"), [(1e4, 1), (-1e4, 0), (0, 0.5), (np.inf, 1), (-np.inf, 0), (np.nan, np.nan)])
def test_extremes(backend, x, y):
    under = LayerUnderTest(case('type: "Sigmoid"', [(3,)]), get_backend(backend))
    under.values[0][:] = x
    np.testing.assert_array_equal(under.forward()[0], np.full(3, y, np.float32))
