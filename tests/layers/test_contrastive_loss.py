"""ContrastiveLoss: both versions, near and far pairs, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case
from tests.reference.contrastive_loss import contrastive_loss, contrastive_loss_gradient


def alike(random, shape):
    # Its fraction is dropped: 0.9 and -0.5 are 0.
    return random.choice([0, 1, 0, 2, 0.9, -0.5, -1], shape)


def far(random, shape):
    """Apart by so much that Caffe's 0.0001 in the divisor does not show in a difference quotient."""
    return 1000 * random.standard_normal(shape)


def setting(fields, bottoms, margin, legacy=False, **more):
    return case(
        f'type: "ContrastiveLoss" contrastive_loss_param {{ {fields} }}',
        bottoms,
        reference=lambda b, blobs: [np.array(contrastive_loss(*b, margin, legacy))],
        draw={2: alike, **more.pop("draw", {})},
        label=f"{fields} {bottoms}",
        **more,
    )


VECTORS = [(9, 3), (9, 3), (9,)]
FAR = {0: far, 1: far}

CASES = [
    setting("margin: 2500", VECTORS, 2500, draw=FAR),
    setting("margin: 4000", [(7, 4, 1, 1), (7, 4, 1, 1), (7, 1, 1, 1)], 4000, draw=FAR),
    setting("", VECTORS, 1, gradient=[]),
    setting("margin: 2.5", VECTORS, 2.5, gradient=[]),
    setting("margin: 2.5", [(8, 2), (8, 2, 1), (8, 1)], 2.5, gradient=[]),
    setting("legacy_version: true", VECTORS, 1, True),
    setting("margin: 6.5 legacy_version: true", VECTORS, 6.5, True),
    setting("margin: 3 legacy_version: false", [(6,), (6,), (6, 1)], 3, gradient=[]),
    setting("margin: 5 legacy_version: true", [(1, 3), (1, 3), (1,)], 5, True),
    setting(
        "margin: 2 legacy_version: true", [(4, 3), (4, 3), (6, 1)], 2, True, waived={"batch": "4 pairs of 6 marks"}
    ),
]


def under(backend, *bottoms, fields=""):
    return LayerUnderTest(
        case(f'type: "ContrastiveLoss" contrastive_loss_param {{ {fields} }}', bottoms, draw={2: alike}),
        get_backend(backend),
    )


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("margin", [0.5, 1.0, 2.0])
def test_gradient_is_caffe_s(backend, legacy, margin):
    made = under(backend, (30, 3), (30, 3), (30,), fields=f"margin: {margin} legacy_version: {str(legacy).lower()}")
    # Near pairs, where the 0.0001 shows.
    made.values[1][::2] = made.values[0][::2] + 1e-3
    made.forward()
    a, b = made.backward([np.array(1.5)])[:2]
    expected = 1.5 * contrastive_loss_gradient(*made.values, margin, legacy)
    np.testing.assert_allclose(a, expected, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(b, -a, rtol=0)


def test_equal_features_of_a_pair_not_alike_have_no_gradient(backend):
    made = under(backend, (1, 2), (1, 2), (1,))
    made.values = [np.ones((1, 2)), np.ones((1, 2)), np.zeros(1)]
    assert made.forward()[0] == 0.5
    assert (made.backward([np.array(1.0)])[0] == 0).all()


def test_no_gradient_to_the_third(backend):
    made = under(backend, *VECTORS)
    made.forward()
    assert [made.layer.can_propagate(i) for i in range(3)] == [True, True, False]
    with pytest.raises(LayerError, match=r"ContrastiveLoss Layer cannot backpropagate to bottom\[2\]"):
        made.backward([np.array(1.0)], [True, True, True])


@pytest.mark.parametrize(
    "bottoms",
    [
        [(2, 3), (2, 4), (2,)],
        [(2, 3, 2), (2, 3, 2), (2,)],
        [(2, 3), (2, 3, 1, 2), (2,)],
        [(2, 3), (2, 3), (2, 2)],
        [(2, 3), (2, 3), (2, 1, 2)],
        [(2, 3, 1, 1, 1), (2, 3), (2,)],
    ],
)
def test_other_shapes(backend, bottoms):
    with pytest.raises(
        LayerError,
        match=r"takes two blobs \(N, C\) and one \(N, 1\) \(Check failed: bottom\[0\]->channels\(\) == "
        r"bottom\[1\]->channels\(\).*; got 2 3",
    ):
        under(backend, *bottoms).forward()


def test_too_few_marks(backend):
    with pytest.raises(LayerError, match=r"4 pairs need as many values in bottom\[2\], which has 3"):
        under(backend, (4, 3), (4, 3), (3,)).forward()


def test_batches_that_differ(backend):
    with pytest.raises(LayerError, match="The data and label should have the same first dimension"):
        under(backend, (4, 3), (5, 3), (5,)).forward()
