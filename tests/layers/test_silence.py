"""Silence."""

from __future__ import annotations

import numpy as np

from caffepy.devices import get_backend
from caffepy.testing import LayerUnderTest, case


def nothing(bottoms, blobs):
    return []


CASES = [
    case('type: "Silence"', bottoms, tops=0, reference=nothing, label=str(bottoms))
    for bottoms in ([(2, 3)], [(2, 3), (2,), (1,)])
]


def test_diffs_are_zero_where_they_are_asked_for(backend):
    made = LayerUnderTest(CASES[1], get_backend(backend))
    made.forward()
    diffs = made.backward([], [True, False, True])
    assert (diffs[0] == 0).all()
    assert np.isnan(diffs[1]).all()
    assert (diffs[2] == 0).all()
