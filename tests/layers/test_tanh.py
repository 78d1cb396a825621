"""TanH."""

from __future__ import annotations

import math

import numpy as np

from caffepy.testing import case


def tanh(bottoms, blobs):
    y = np.empty(bottoms[0].shape)
    for place in np.ndindex(y.shape):
        grown = math.exp(2 * bottoms[0][place])
        y[place] = (grown - 1) / (grown + 1)
    return [y]


CASES = [case('type: "TanH"', [shape], reference=tanh, label=str(shape)) for shape in [(2, 3, 4, 5), (1, 6), (4,)]]
