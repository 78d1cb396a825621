"""Power."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case


def positive(random, shape):
    return random.uniform(0.5, 2, shape)


def setting(power=1.0, scale=1.0, shift=0.0, shape=(2, 3, 4), **more):
    def reference(bottoms, blobs):
        y = np.empty(shape if bottoms[0].shape == shape else bottoms[0].shape)
        for place in np.ndindex(y.shape):
            y[place] = (shift + scale * bottoms[0][place]) ** power
        return [y]

    fields = f"power: {power} scale: {scale} shift: {shift}"
    return case(f'type: "Power" power_param {{ {fields} }}', [shape], reference=reference, label=fields, **more)


CASES = [
    case('type: "Power"', [(2, 3)], reference=lambda bottoms, blobs: [bottoms[0]], label="identity"),
    setting(scale=-0.5),
    setting(shift=3),
    setting(scale=2, shift=0.25),
    setting(power=2),
    setting(power=2, scale=3, shift=-1),
    setting(power=3, scale=0.5),
    setting(power=0.5, scale=2, shift=1, draw={0: positive}),
    setting(power=-1.5, draw={0: positive}),
    setting(power=0, scale=2, shift=1, gradient=()),
    setting(power=3, scale=0, shift=2, gradient=()),
    setting(power=2, shape=(1, 5)),
]


def run(backend, fields, x, in_place=()):
    made = LayerUnderTest(
        case(f'type: "Power" power_param {{ {fields} }}', [(len(x),)]), get_backend(backend), in_place=in_place
    )
    made.values[0][...] = x
    y = made.forward()[0]
    return y, made


def test_a_constant_whatever_comes_in(backend):
    assert (run(backend, "power: 0", [np.nan, np.inf, 0])[0] == 1).all()
    assert (run(backend, "scale: 0 shift: 2 power: 3", [np.nan, np.inf, 0])[0] == 8).all()


@pytest.mark.parametrize("fields", ["power: 0", "scale: 0 shift: 2 power: 3"])
def test_a_constant_has_no_gradient(backend, fields):
    assert (run(backend, fields, [1, 2])[1].backward([np.ones(2)])[0] == 0).all()


def test_the_gradient_at_zero(backend):
    made = run(backend, "power: 3", [0, 2])[1]
    assert made.backward([np.ones(2)])[0].tolist() == [0, 12]


@pytest.mark.parametrize("fields", ["scale: 3 shift: 1", "power: 0", "power: 2 scale: 0"])
def test_in_place_where_the_gradient_does_not_need_the_bottom(backend, fields):
    y, made = run(backend, fields, [1, 2])
    dx = made.backward([np.array([1.0, -2.0])])[0]
    z, made = run(backend, fields, [1, 2], in_place=[0])
    assert (y == z).all()
    assert (made.backward([np.array([1.0, -2.0])])[0] == dx).all()


def test_in_place_forward_only(backend):
    y, made = run(backend, "power: 2", [1, 3], in_place=[0])
    assert y.tolist() == [1, 9]
    with pytest.raises(LayerError, match=r"cannot compute a gradient in place with power 2.*Give the top a name"):
        made.backward([np.ones(2)])
