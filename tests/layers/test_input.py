"""Input."""

from __future__ import annotations

import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case


def under(backend, fields, tops):
    return LayerUnderTest(case(f'type: "Input" input_param {{ {fields} }}', [], tops=tops), get_backend(backend))


ONE, TWO = "shape { dim: 2 dim: 3 }", "shape { dim: 2 dim: 3 } shape { dim: 5 }"


@pytest.mark.parametrize(
    ("fields", "tops", "shapes"),
    [(ONE, 1, [(2, 3)]), (ONE, 2, [(2, 3), (2, 3)]), (TWO, 2, [(2, 3), (5,)]), ("", 2, [(), ()])],
)
def test_shapes(backend, fields, tops, shapes):
    assert [top.shape for top in under(backend, fields, tops).top] == shapes


def test_the_caller_s_shape_and_data_stay(backend):
    made = under(backend, ONE, 1)
    made.top[0].reshape(4, 3)
    made.top[0].data[...] = 7
    made.layer.reshape([], made.top)
    made.layer.forward([], made.top)
    made.layer.backward(made.top, [], [])
    assert made.top[0].shape == (4, 3)
    assert (made.top[0].data == 7).all()


@pytest.mark.parametrize("tops", [1, 3])
def test_another_number_of_shapes(backend, tops):
    match = f"Must specify 'shape' once, once per top blob, or not at all: {tops} tops vs. 2 shapes"
    with pytest.raises(LayerError, match=match):
        under(backend, TWO, tops)
