"""Swish."""

from __future__ import annotations

import math

import numpy as np

from caffepy.devices import get_backend
from caffepy.testing import LayerUnderTest, case


def setting(fields="", beta=1.0, shape=(2, 3, 4, 5)):
    def reference(bottoms, blobs):
        flat = [v / (1 + math.exp(-beta * v)) for v in bottoms[0].ravel()]
        return [np.array(flat).reshape(bottoms[0].shape)]

    text = f'type: "Swish" swish_param {{ {fields} }}'
    return case(text, [shape], reference=reference, label=fields or "beta 1")


CASES = [setting(), setting("beta: 1.5", 1.5), setting("beta: -0.5", -0.5, (3, 4)), setting("beta: 0", 0, (7,))]


def test_far_from_zero(backend):
    made = LayerUnderTest(case('type: "Swish"', [(3,)]), get_backend(backend))
    made.values[0][...] = [-1000, 0, 1000]
    assert made.forward()[0].tolist() == [0, 0, 1000]
    assert made.backward([np.full(3, 2.0)])[0].tolist() == [0, 1, 2]
