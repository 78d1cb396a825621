"""AbsVal."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.net import Net
from caffepy.proto.read import parse_net
from caffepy.testing import LayerUnderTest, case


def absolute(bottoms, blobs):
    return [np.array([-v if v < 0 else v for v in bottoms[0].ravel()]).reshape(bottoms[0].shape)]


CASES = [
    case('type: "AbsVal"', [(2, 3, 4, 5)], reference=absolute, kink=0.01, label="4 axes"),
    case('type: "AbsVal"', [(3,)], reference=absolute, kink=0.01, label="1 axis"),
]


def test_the_gradient_at_zero_is_zero(backend):
    made = LayerUnderTest(case('type: "AbsVal"', [(4,)]), get_backend(backend))
    made.values[0][...] = [-2, -0.0, 0, 3]
    assert made.forward()[0].tolist() == [2, 0, 0, 3]
    assert made.backward([np.full(4, 5.0)])[0].tolist() == [-5, 0, 0, 5]


def test_not_in_place(backend):
    text = """
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }
        layer { name: "abs" type: "AbsVal" bottom: "x" top: "x" }
    """
    with pytest.raises(LayerError, match=r"layer 'abs' \(AbsVal\): cannot work in place"):
        Net(parse_net(text), backend=get_backend(backend))
