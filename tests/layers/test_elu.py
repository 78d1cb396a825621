"""ELU."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case


def setting(fields="", alpha=1.0, shape=(2, 3, 4, 5), **more):
    def reference(bottoms, blobs):
        flat = [v if v > 0 else alpha * (math.exp(v) - 1) for v in bottoms[0].ravel()]
        return [np.array(flat).reshape(bottoms[0].shape)]

    text = f'type: "ELU" elu_param {{ {fields} }}'
    return case(text, [shape], reference=reference, kink=0.01, label=fields or "alpha 1", **more)


CASES = [
    setting(),
    setting("alpha: 0.5", 0.5),
    setting("alpha: 2.5", 2.5, (3, 7)),
    setting("alpha: 0", 0.0, (5,)),
    setting("alpha: -0.75", -0.75),
]


def run(backend, fields, x, in_place=()):
    made = LayerUnderTest(
        case(f'type: "ELU" elu_param {{ {fields} }}', [(len(x),)]), get_backend(backend), in_place=in_place
    )
    made.values[0][...] = x
    return made.forward()[0], made


def test_far_from_zero_and_at_zero(backend):
    y, made = run(backend, "alpha: 0.5", [-1000, -np.inf, 0, 1000, np.inf])
    assert y.tolist() == [-0.5, -0.5, 0, 1000, np.inf]
    # At 0 the slope is that from below.
    assert made.backward([np.full(5, 4.0)])[0].tolist() == [0, 0, 2, 4, 4]
    assert np.isnan(run(backend, "", [np.nan])[0]).all()


def test_in_place_a_negative_alpha_has_no_gradient(backend):
    _, made = run(backend, "alpha: -1", [-1, 2], in_place=[0])
    with pytest.raises(LayerError, match=r"cannot compute a gradient in place with alpha -1: .*Give the top a name"):
        made.backward([np.ones(2)])
