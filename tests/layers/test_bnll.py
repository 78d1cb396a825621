"""BNLL."""

from __future__ import annotations

import math

import numpy as np

from caffepy.devices import get_backend
from caffepy.testing import LayerUnderTest, case


def softplus(bottoms, blobs):
    return [np.array([math.log(1 + math.exp(v)) for v in bottoms[0].ravel()]).reshape(bottoms[0].shape)]


def wide(random, shape):
    return random.uniform(-8, 8, shape)


CASES = [
    case('type: "BNLL"', [(2, 3, 4, 5)], reference=softplus, label="normal"),
    case('type: "BNLL"', [(4, 6)], reference=softplus, draw={0: wide}, label="wide"),
]


def run(backend, x, in_place=()):
    made = LayerUnderTest(case('type: "BNLL"', [(len(x),)]), get_backend(backend), in_place=in_place)
    made.values[0][...] = x
    return made.forward()[0], made


def test_far_from_zero(backend):
    y, made = run(backend, [-1000, -60, -20, 60, 1000])
    np.testing.assert_allclose(y, [0, math.exp(-60), math.exp(-20), 60, 1000], rtol=1e-6)
    dx = made.backward([np.full(5, 2.0)])[0]
    np.testing.assert_allclose(dx, [0, 2 * math.exp(-60), 2 * math.exp(-20), 2, 2], rtol=1e-6)


def test_infinity_and_nan(backend):
    assert run(backend, [-np.inf, np.inf])[0].tolist() == [0, np.inf]
    assert np.isnan(run(backend, [np.nan])[0]).all()
