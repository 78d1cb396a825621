"""Exp."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case


def setting(fields="", base=math.e, scale=1.0, shift=0.0, shape=(2, 3, 4)):
    def reference(bottoms, blobs):
        flat = [base ** (shift + scale * v) for v in bottoms[0].ravel()]
        return [np.array(flat).reshape(bottoms[0].shape)]

    return case(
        f'type: "Exp" exp_param {{ {fields} }}', [shape], reference=reference, label=fields or "no fields", kind="sum"
    )


CASES = [
    setting(),
    setting("base: -1 scale: 2", scale=2),
    setting("shift: -1.5", shift=-1.5),
    setting("base: 2", 2),
    setting("base: 10 scale: 0.25 shift: 0.5", 10, 0.25, 0.5),
    setting("base: 0.5 scale: -1 shift: 2", 0.5, -1, 2, (5,)),
    setting("base: 2.5 scale: 0.5 shift: -3", 2.5, 0.5, -3, (2, 3, 4, 5)),
]


def run(backend, fields, x):
    made = LayerUnderTest(case(f'type: "Exp" exp_param {{ {fields} }}', [(len(x),)]), get_backend(backend))
    made.values[0][...] = x
    return made.forward()[0], made


def test_a_constant(backend):
    y, made = run(backend, "base: 2 scale: 0 shift: 3", [-5, 7])
    np.testing.assert_allclose(y, [8, 8], rtol=1e-6)
    assert made.backward([np.ones(2)])[0].tolist() == [0, 0]
    y, made = run(backend, "base: 1 scale: 4 shift: 3", [-5, 7])
    assert y.tolist() == [1, 1]
    assert made.backward([np.ones(2)])[0].tolist() == [0, 0]


def test_a_shift_that_alone_would_overflow(backend):
    np.testing.assert_allclose(run(backend, "shift: 800", [-800, -801])[0], [1, math.exp(-1)], rtol=1e-6)


@pytest.mark.parametrize(
    ("base", "match"),
    [
        ("0", r"base must be strictly positive, or -1 for e; got 0\."),
        ("-2", r"base must be strictly positive, .*got -2\."),
        ("nan", r"base must be strictly positive, .*got nan\."),
        ("inf", r"Inf result: log\(base\) = log\(inf\) = inf"),
    ],
)
def test_refusals(backend, base, match):
    with pytest.raises(LayerError, match=match):
        run(backend, f"base: {base}", [1])
