"""MVN."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case


def rows(shape, across):
    """The places of each set of numbers that is normalised by itself."""
    n, c, h, w = (*shape, *[1] * (4 - len(shape)))
    whole = (slice(None),) * 2
    return (n, c, h, w), [(i,) for i in range(n)] if across else [(i, j, *whole) for i in range(n) for j in range(c)]


def normalised(x, across, variance, eps):
    shape, sets = rows(x.shape, across)
    y = x.reshape(shape).copy()
    for place in sets:
        values = y[place].ravel().tolist()
        mean = sum(values) / len(values)
        deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / len(values)) + eps if variance else 1.0
        y[place] = (y[place] - mean) / deviation
    return y


def caffes_gradient(x, dy, across, variance, eps):
    """As if the deviation had no eps: for each set, dy less its mean and less its part along y."""
    y, (shape, sets) = normalised(x, across, variance, eps), rows(x.shape, across)
    dx = np.empty(shape)
    for place in sets:
        dx[place] = dy[place] - dy[place].mean()
        if variance:
            deviation = x.reshape(shape)[place].std() + eps
            dx[place] = (dx[place] - y[place] * (y[place] * dy[place]).mean()) / deviation
    return dx.reshape(x.shape)


def setting(fields, shape, across=False, variance=True, eps=1e-9, **more):
    def reference(bottoms, blobs):
        return [normalised(bottoms[0], across, variance, eps)]

    text = f'type: "MVN" mvn_param {{ {fields} }}'
    if len(shape) < 4:
        more["waived"] = {"in_place": "the bottom is of four axes too then"}
    return case(text, [shape], reference=reference, label=f"{fields} {shape}", **more)


CASES = [
    setting("", (2, 3, 4, 5)),
    setting("across_channels: true", (2, 3, 4, 5), True),
    setting("normalize_variance: false", (2, 3, 4, 5), False, False),
    setting("normalize_variance: false across_channels: true", (3, 2, 4), True, False),
    setting("eps: 1e-6", (2, 3, 7), eps=1e-6),
    setting("across_channels: true", (4, 9), True),
    # The gradient of an eps that shows is Caffe's, not the true one.
    setting("eps: 0.5", (2, 3, 4, 5), eps=0.5, gradient=()),
    setting("eps: 2 across_channels: true", (2, 3, 4), True, eps=2, gradient=()),
]


@pytest.mark.parametrize("eps", [1e-9, 0.5])
@pytest.mark.parametrize("variance", [True, False])
@pytest.mark.parametrize("across", [True, False])
def test_caffes_gradient(backend, across, variance, eps):
    fields = f"across_channels: {str(across).lower()} normalize_variance: {str(variance).lower()} eps: {eps}"
    setting = case(f'type: "MVN" mvn_param {{ {fields} }}', [(2, 3, 4, 5)])
    made = LayerUnderTest(setting, get_backend(backend, "float64"))
    made.forward()
    dy = np.random.standard_normal((2, 3, 4, 5))
    want = caffes_gradient(made.values[0], dy, across, variance, float(np.float32(eps)))
    np.testing.assert_allclose(made.backward([dy])[0], want, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("shape", "result"), [((5,), (5, 1, 1, 1)), ((2, 3), (2, 3, 1, 1)), ((2, 3, 4), (2, 3, 4, 1))])
@pytest.mark.parametrize("in_place", [[], [0]])
def test_the_top_has_four_axes(backend, shape, result, in_place):
    made = LayerUnderTest(case('type: "MVN"', [shape]), get_backend(backend), in_place=in_place)
    made.layer.reshape(made.bottom, made.top)
    assert made.top[0].shape == result


@pytest.mark.parametrize("shape", [(0, 3, 4, 5), (2, 3, 0, 5)])
def test_of_nothing(backend, shape):
    made = LayerUnderTest(case('type: "MVN"', [shape]), get_backend(backend))
    assert made.forward()[0].shape == shape
    assert made.backward([np.empty(shape)])[0].shape == shape


def test_five_axes(backend):
    with pytest.raises(LayerError, match=r"Cannot use legacy accessors on Blobs with > 4 axes.*1 2 3 4 5"):
        LayerUnderTest(case('type: "MVN"', [(1, 2, 3, 4, 5)]), get_backend(backend)).forward()
