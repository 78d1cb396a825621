"""Log."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case


def positive(random, shape):
    return random.uniform(0.5, 3, shape)


def setting(fields="", base=math.e, scale=1.0, shift=0.0, shape=(2, 3, 4)):
    def reference(bottoms, blobs):
        flat = [math.log(shift + scale * v) / math.log(base) for v in bottoms[0].ravel()]
        return [np.array(flat).reshape(bottoms[0].shape)]

    text = f'type: "Log" log_param {{ {fields} }}'
    return case(text, [shape], reference=reference, draw={0: positive}, label=fields or "no fields", kind="sum")


CASES = [
    setting(),
    setting("base: -1 scale: 2", scale=2),
    setting("shift: 1.5", shift=1.5),
    setting("base: 2", 2),
    setting("base: 10 scale: 0.25 shift: 0.5", 10, 0.25, 0.5),
    setting("base: 0.5 scale: -1 shift: 4", 0.5, -1, 4, (5,)),
    setting("base: 2.5 scale: 0.5 shift: 3", 2.5, 0.5, 3, (2, 3, 4, 5)),
]


def run(backend, fields, x, in_place=()):
    made = LayerUnderTest(
        case(f'type: "Log" log_param {{ {fields} }}', [(len(x),)]), get_backend(backend), in_place=in_place
    )
    made.values[0][...] = x
    return made.forward()[0], made


def test_zero_and_below(backend):
    with np.errstate(divide="ignore", invalid="ignore"):
        y, _ = run(backend, "", [0, -1, 1])
    assert y[0] == -np.inf
    assert np.isnan(y[1])
    assert y[2] == 0


def test_in_place_forward_only(backend):
    y, made = run(backend, "base: 2 scale: 4", [1, 2], in_place=[0])
    np.testing.assert_allclose(y, [2, 3], rtol=1e-6)
    with pytest.raises(
        LayerError, match=r"cannot compute a gradient in place: it needs the bottom.*Give the top a name"
    ):
        made.backward([np.ones(2)])


@pytest.mark.parametrize(
    ("base", "match"),
    [
        ("0", r"base must be strictly positive, or -1 for e; got 0\."),
        ("-2", r"base must be strictly positive, .*got -2\."),
        ("nan", r"base must be strictly positive, .*got nan\."),
        ("inf", r"Inf result: log\(base\) = log\(inf\) = inf"),
        ("1", r"Inf result: 1/log\(base\) = 1/log\(1\) = inf\. Give a base other than 1"),
    ],
)
def test_refusals(backend, base, match):
    with pytest.raises(LayerError, match=match):
        run(backend, f"base: {base}", [1])
