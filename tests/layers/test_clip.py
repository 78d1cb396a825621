"""Clip."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import ParseError
from caffepy.proto.read import parse_net
from caffepy.testing import LayerUnderTest, case

FORGOTTEN = {"in_place": "as in Caffe the gradient in place passes everywhere: what was cut off is forgotten"}


def setting(least, largest, shape=(2, 3, 4, 5), **more):
    def reference(bottoms, blobs):
        # The bounds are float32 in the prototxt.
        low, high = float(np.float32(least)), float(np.float32(largest))
        flat = [low if v < low else high if v > high else v for v in bottoms[0].ravel()]
        return [np.array(flat).reshape(bottoms[0].shape)]

    fields = f"min: {least} max: {largest}"
    return case(f'type: "Clip" clip_param {{ {fields} }}', [shape], reference=reference, label=fields, **more)


CASES = [
    setting(-0.5, 0.8, kink=1e-3, kink_at=-0.5, waived=FORGOTTEN),
    setting(0, 6, kink=1e-3, waived=FORGOTTEN),
    setting(-100, 100, (3, 2)),
]


def run(backend, fields, x, in_place=()):
    made = LayerUnderTest(
        case(f'type: "Clip" clip_param {{ {fields} }}', [(len(x),)]), get_backend(backend), in_place=in_place
    )
    made.values[0][...] = x
    return made.forward()[0], made


def test_the_bounds_themselves_have_a_gradient(backend):
    y, made = run(backend, "min: -1 max: 2", [-1.5, -1, 0, 2, 2.5])
    assert y.tolist() == [-1, -1, 0, 2, 2]
    assert made.backward([np.full(5, 3.0)])[0].tolist() == [0, 3, 3, 3, 0]


def test_in_place_the_gradient_passes_everywhere(backend):
    y, made = run(backend, "min: -1 max: 2", [-1.5, -1, 0, 2, 2.5], in_place=[0])
    assert y.tolist() == [-1, -1, 0, 2, 2]
    assert made.backward([np.full(5, 3.0)])[0].tolist() == [3] * 5


def test_the_lower_bound_wins_where_they_cross(backend):
    y, made = run(backend, "min: 2 max: -1", [-3, 0, 2, 3])
    assert y.tolist() == [2] * 4
    assert made.backward([np.ones(4)])[0].tolist() == [0] * 4


def test_infinity_and_nan(backend):
    y, _ = run(backend, "min: -1 max: 2", [-np.inf, np.inf, np.nan])
    assert y[:2].tolist() == [-1, 2]
    assert np.isnan(y[2])


@pytest.mark.parametrize("fields", ["min: 0", "max: 0", ""])
def test_both_bounds_are_required(fields):
    with pytest.raises(ParseError, match=r"min|max"):
        parse_net(f'layer {{ name: "c" type: "Clip" clip_param {{ {fields} }} }}')
