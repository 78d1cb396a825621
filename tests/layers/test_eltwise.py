"""Eltwise."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case


def combined(operation, coeff=()):
    def reference(bottoms, blobs):
        y = np.empty(bottoms[0].shape)
        for place in np.ndindex(y.shape):
            values = [float(x[place]) for x in bottoms]
            if operation == "SUM":
                y[place] = sum(c * v for c, v in zip(coeff or [1] * len(values), values, strict=True))
            elif operation == "PROD":
                product = 1.0
                for value in values:
                    product *= value
                y[place] = product
            else:
                y[place] = max(values)
        return [y]

    return reference


def setting(fields, operation, count, shape=(2, 3, 4), coeff=()):
    text = f'type: "Eltwise" eltwise_param {{ {fields} {" ".join(f"coeff: {c}" for c in coeff)} }}'
    return case(text, [shape] * count, reference=combined(operation, coeff), label=f"{fields} {count} {coeff} {shape}")


CASES = [
    setting("", "SUM", 2),
    setting("", "SUM", 4),
    setting("operation: SUM", "SUM", 3, coeff=(1, -1, 0.5)),
    setting("operation: SUM", "SUM", 2, (1, 5), coeff=(-2, 1)),
    setting("operation: PROD", "PROD", 2),
    setting("operation: PROD", "PROD", 4),
    setting("operation: PROD stable_prod_grad: false", "PROD", 3),
    setting("operation: PROD", "PROD", 2, (1, 5)),
    setting("operation: MAX", "MAX", 2),
    setting("operation: MAX", "MAX", 4),
    setting("operation: MAX", "MAX", 3, (1, 5)),
    setting("operation: MAX", "MAX", 3, (2, 3), coeff=(1, -1, 0.5)),
]


def gradients(backend, fields, *values):
    made = LayerUnderTest(
        case(f'type: "Eltwise" eltwise_param {{ {fields} }}', [(1,)] * len(values)), get_backend(backend)
    )
    made.values = [np.array([value], float) for value in values]
    made.forward()
    return [float(diff[0]) for diff in made.backward([np.ones(1)])]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 1], [0, 1]),
        ([2, 1], [1, 0]),
        ([2, 1, 2], [1, 0, 0]),
        ([1, 2, 2], [0, 1, 0]),
        ([1, 1, 1], [0, 1, 0]),
        ([0, 1, 3, 3], [0, 0, 1, 0]),
    ],
)
def test_which_of_equal_maxima_gets_the_gradient(backend, values, expected):
    assert gradients(backend, "operation: MAX", *values) == expected


def test_the_stable_product_s_gradient_at_zero(backend):
    assert gradients(backend, "operation: PROD", 0, 3, 5) == [15, 0, 0]


def test_the_largest_takes_no_notice_of_coefficients(backend):
    assert gradients(backend, "operation: MAX coeff: -3 coeff: 5", 2, 1) == [1, 0]


@pytest.mark.parametrize("shape", [(), (2, 3)])
def test_the_largest_in_a_top_that_has_the_shape_already(backend, shape):
    made = LayerUnderTest(case('type: "Eltwise" eltwise_param { operation: MAX }', [shape] * 2), get_backend(backend))
    made.top[0].reshape(*shape)
    made.values = [np.full(shape, 3.0), np.full(shape, 2.0)]
    (y,) = made.forward()
    assert y.shape == shape
    assert (y == 3).all()
    first, second = made.backward([np.full(shape, 7.0)])
    assert (first == 7).all()
    assert (second == 0).all()


@pytest.mark.parametrize(
    ("fields", "bottoms", "match"),
    [
        ("coeff: 1", [(2,), (2,)], "takes one coefficient per bottom blob; got 1 coeff for 2 bottoms"),
        ("operation: PROD coeff: 1 coeff: 2", [(2,), (2,)], "only takes coefficients for summation"),
        ("", [(2, 3), (2, 3), (3, 2)], r"bottom\[0\]->shape\(\) == .*bottom\[0\]: 2 3 \(6\), bottom\[2\]: 3 2 \(6\)"),
    ],
)
def test_refusals(backend, fields, bottoms, match):
    with pytest.raises(LayerError, match=match):
        LayerUnderTest(case(f'type: "Eltwise" eltwise_param {{ {fields} }}', bottoms), get_backend(backend)).forward()
