"""LSTMUnit: its value, Caffe's gradient where cont is a fraction, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case
from tests.reference.lstm import lstm_unit, lstm_unit_gradient


def markers(random, shape):
    return random.choice([0, 1, 1], shape)


def reference(bottoms, blobs):
    c_prev, x, cont = bottoms
    return [top[None] for top in lstm_unit(c_prev[0], x[0], cont[0])]


def setting(streams, size, **more):
    return case(
        'type: "LSTMUnit"',
        [(1, streams, size), (1, streams, 4 * size), (1, streams)],
        tops=2,
        reference=reference,
        draw={2: more.pop("draw", markers)},
        label=more.pop("label", f"{streams} {size}"),
        waived={"batch": "the first axis is a single step"},
        **more,
    )


CASES = [
    setting(1, 1, draw=lambda random, shape: np.ones(shape)),
    setting(5, 3),
    setting(4, 7),
    setting(6, 2, draw=lambda random, shape: random.uniform(-1, 2, shape), gradient=[0], label="fractions"),
]


def under(backend, *bottoms):
    return LayerUnderTest(case('type: "LSTMUnit"', bottoms, tops=2), get_backend(backend))


GOOD = [(1, 4, 3), (1, 4, 12), (1, 4)]


def test_the_gradient_of_a_fraction_is_caffe_s(backend):
    made = under(backend, *GOOD)
    made.values[2] = np.array([[0.5, 0.25, 2.0, 0.0]])
    made.forward()
    dc, dh = made.draw_top_diffs()
    c_prev, x, _ = made.backward([dc, dh])
    expected = lstm_unit_gradient(*(values[0] for values in made.values), dc[0], dh[0])
    np.testing.assert_allclose(c_prev[0], expected[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(x[0], expected[1], rtol=1e-5, atol=1e-6)


def test_no_gradient_to_markers(backend):
    made = under(backend, *GOOD)
    made.forward()
    assert [made.layer.can_propagate(i) for i in range(3)] == [True, True, False]
    with pytest.raises(LayerError, match=r"\(LSTMUnit\): Cannot backpropagate to sequence indicators"):
        made.backward(made.draw_top_diffs(), [True, True, True])


@pytest.mark.parametrize(
    "bottoms",
    [
        [(4, 3), (1, 4, 12), (1, 4)],
        [(1, 4, 3), (1, 4, 9), (1, 4)],
        [(1, 4, 3), (1, 5, 12), (1, 4)],
        [(1, 4, 3), (1, 4, 12), (1, 5)],
        [(1, 4, 3), (1, 4, 12), (4,)],
        [(2, 4, 3), (2, 4, 12), (2, 4)],
        [(1, 4, 3), (1, 4, 3, 4), (1, 4)],
    ],
)
def test_other_shapes(backend, bottoms):
    with pytest.raises(
        LayerError, match=r"takes c_prev \(1, N, D\).*Check failed: 3 == bottom\[i\]->num_axes\(\).*; got [124]"
    ):
        under(backend, *bottoms).forward()
