"""Reduction."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case

PARTS = {"SUM": lambda v: v, "ASUM": abs, "SUMSQ": lambda v: v * v, "MEAN": lambda v: v}


def setting(fields, shape, operation="SUM", axis=0, coeff=1.0, **more):
    def reference(bottoms, blobs):
        x = bottoms[0]
        k = axis % x.ndim
        y = np.empty(x.shape[:k])
        for place in np.ndindex(y.shape):
            values = x[place].ravel().tolist()
            total = sum(PARTS[operation](value) for value in values)
            y[place] = coeff * (total / len(values) if operation == "MEAN" else total)
        return [y]

    text = f'type: "Reduction" reduction_param {{ {fields} }}'
    return case(text, [shape], reference=reference, kink=0.01, label=f"{fields} {shape}", **more)


CASES = [
    setting("", (2, 3, 4)),
    setting("axis: 1 coeff: 0.5", (2, 3, 4), axis=1, coeff=0.5),
    setting("axis: -1 operation: SUM coeff: -2", (2, 3, 4), axis=-1, coeff=-2),
    setting("operation: ASUM", (3, 5), "ASUM"),
    setting("operation: ASUM axis: 2 coeff: 3", (2, 3, 4, 5), "ASUM", 2, 3),
    setting("operation: SUMSQ", (3, 5), "SUMSQ"),
    setting("operation: SUMSQ axis: 1 coeff: -0.25", (2, 3, 4), "SUMSQ", 1, -0.25),
    setting("operation: MEAN", (7,), "MEAN"),
    setting("operation: MEAN axis: -2 coeff: 4", (2, 3, 4), "MEAN", -2, 4),
    setting("operation: MEAN axis: 1", (5, 1), "MEAN", 1),
]


def under(backend, fields, shape):
    return LayerUnderTest(case(f'type: "Reduction" reduction_param {{ {fields} }}', [shape]), get_backend(backend))


def test_the_gradient_of_a_magnitude_at_zero(backend):
    made = under(backend, "operation: ASUM coeff: 2", (3,))
    made.values[0][...] = [-4, 0, 5]
    assert made.forward()[0].tolist() == 18
    assert made.backward([np.array(3.0)])[0].tolist() == [-6, 0, 6]


def test_of_nothing(backend):
    assert under(backend, "", (0, 3)).forward()[0] == 0
    assert under(backend, "axis: 1 operation: SUMSQ", (2, 0)).forward()[0].tolist() == [0, 0]
    assert math.isnan(under(backend, "operation: MEAN", (0, 3)).forward()[0])


@pytest.mark.parametrize(
    ("axis", "shape", "match"), [(2, (2, 3), "axis 2 out of range for 2-D"), (0, (), "axis 0 out of range for 0-D")]
)
def test_refusals(backend, axis, shape, match):
    with pytest.raises(LayerError, match=match):
        under(backend, f"axis: {axis}", shape).forward()
