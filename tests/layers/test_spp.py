"""SPP."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case
from tests.reference.pool import ave_pool, expected_pool, max_pool, output_shape


def pyramid(height, pool):
    def reference(bottoms, blobs):
        x, levels = bottoms[0], []
        for level in range(height):
            bins = 2**level
            kernel = [math.ceil(size / bins) for size in x.shape[2:]]
            # Half of what is missing to whole windows, rounded up.
            pad = [math.ceil((k * bins - size) / 2) for k, size in zip(kernel, x.shape[2:], strict=True)]
            shape = output_shape(x.shape, kernel, kernel, pad)
            if pool == "MAX":
                y = max_pool(x, shape, kernel, kernel, pad)[0]
            elif pool == "AVE":
                y = ave_pool(x, shape, kernel, kernel, pad)
            else:
                y = expected_pool(x, shape, kernel, kernel)
            levels.append(y)
        return levels if height == 1 else [np.concatenate([y.reshape(len(x), -1) for y in levels], axis=1)]

    return reference


def setting(height, shape, pool="MAX", **more):
    text = f'type: "SPP" spp_param {{ pyramid_height: {height} pool: {pool} }}'
    return case(text, [shape], reference=pyramid(height, pool), label=f"{pool} {height} {shape}", **more)


def positive(random, shape):
    return random.uniform(0.1, 1, shape)


CASES = [
    setting(1, (2, 3, 5, 4)),
    setting(2, (2, 3, 5, 4)),
    setting(3, (2, 3, 13, 11)),
    setting(3, (2, 2, 8, 16), "AVE"),
    setting(2, (2, 3, 7, 9), "AVE"),
    setting(1, (2, 3, 6, 7), "AVE"),
    setting(4, (1, 2, 16, 24)),
    # What is drawn has no reference.
    case(
        'type: "SPP" spp_param { pyramid_height: 3 pool: STOCHASTIC }',
        [(2, 2, 8, 12)],
        draw={0: positive},
        phase="TRAIN",
        label="STOCHASTIC",
    ),
]


def under(backend, fields, shape, **more):
    return LayerUnderTest(case(f'type: "SPP" spp_param {{ {fields} }}', [shape], **more), get_backend(backend))


def test_the_default_is_the_maximum(backend):
    made = under(backend, "pyramid_height: 2", (1, 1, 2, 2))
    made.values[0][...] = [[[[1, 2], [4, 3]]]]
    assert made.forward()[0].tolist() == [[4, 1, 2, 4, 3]]
    assert made.backward([np.array([[100.0, 1, 2, 3, 4]])])[0].tolist() == [[[[1, 2], [103, 4]]]]


def test_as_many_values_for_images_of_another_size(backend):
    made = under(backend, "pyramid_height: 3", (2, 3, 12, 12))
    for size in ((16, 8), (13, 11), (12, 12)):
        made.resize([(2, 3, *size)])
        (y,) = made.forward()
        assert y.shape == (2, 63)
        np.testing.assert_allclose(y, pyramid(3, "MAX")(made.values, [])[0])


def test_stochastic_pooling_in_tests(backend):
    made = under(backend, "pyramid_height: 3 pool: STOCHASTIC", (2, 2, 8, 12), draw={0: positive})
    np.testing.assert_allclose(made.forward()[0], pyramid(3, "STOCHASTIC")(made.values, [])[0], rtol=1e-5)
    with pytest.raises(LayerError, match="stochastic pooling has a gradient in the TRAIN phase only"):
        made.backward([np.ones((2, 42))])


def test_levels_draw_different_numbers(backend):
    # Of equal values, one u in [0, 1) picks number 16 u of the image and number 4 u of its first quarter.
    made = under(backend, "pyramid_height: 2 pool: STOCHASTIC", (1, 1, 4, 4), phase="TRAIN")
    made.values[0][...] = 1
    made.forward()
    equal = 0
    for step in range(20):
        made.context.counter.value = step
        made.layer.forward(made.bottom, made.top)
        whole, first_quarter = (made.backward([np.eye(5)[i : i + 1]])[0].reshape(4, 4) for i in (0, 1))
        assert whole.sum() == first_quarter.sum() == first_quarter[:2, :2].sum() == 1
        equal += whole.argmax() // 4 == first_quarter[:2, :2].argmax()
    assert equal < 15


@pytest.mark.parametrize(
    ("fields", "shape", "match"),
    [
        ("", (1, 1, 4, 4), "pyramid_height must be at least 1; got 0"),
        ("pyramid_height: 2", (4, 4), r"Input must have 4 axes, corresponding to \(num, channels, height, width\)"),
        ("pyramid_height: 2", (1, 1, 0, 4), "Input dimensions cannot be zero"),
        (
            "pyramid_height: 3",
            (1, 1, 5, 9),
            r"level 2 of the pyramid, 4 x 4 windows, does not fit an image of 5 x 9.*Check failed: pad < kernel",
        ),
        ("pyramid_height: 16", (1, 1, 1, 9), "level 1 of the pyramid, 2 x 2 windows, does not fit an image of 1 x 9"),
        ("pyramid_height: 17", (1, 1, 1, 9), r"pyramid_height 17: level 16 alone has 2\^32 windows"),
        ("pyramid_height: 4294967295", (1, 1, 1, 9), "pyramid_height 4294967295: level 16 alone"),
        ("pyramid_height: 2 pool: STOCHASTIC", (1, 1, 5, 5), "level 1 of the pyramid.*Padding implemented only for"),
    ],
)
def test_refusals(backend, fields, shape, match):
    with pytest.raises(LayerError, match=match):
        under(backend, fields, shape).forward()
