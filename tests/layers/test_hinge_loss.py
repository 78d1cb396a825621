"""HingeLoss: both norms, labels, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case
from tests.reference.hinge_loss import hinge_loss


def setting(fields, bottoms, power=1, **more):
    classes = math.prod(bottoms[0][1:])

    def reference(bottoms, blobs):
        x, label = bottoms
        return [np.array(hinge_loss(x.reshape(len(x), -1), label.reshape(-1), power) / len(x))]

    return case(
        f'type: "HingeLoss" {fields}',
        bottoms,
        reference=reference,
        draw={1: lambda random, shape: random.integers(0, classes, shape)},
        label=f"{fields} {bottoms}",
        **more,
    )


CASES = [
    setting("", [(5, 4), (5,)]),
    setting("hinge_loss_param { norm: L1 }", [(4, 3, 2, 2), (4, 1, 1, 1)]),
    setting("hinge_loss_param { norm: L2 }", [(5, 4), (5, 1)], 2),
    setting("hinge_loss_param { norm: L2 }", [(3, 2, 3), (3,)], 2),
    setting("loss_weight: 2", [(1, 2), (1,)]),
    setting("", [(4,), (4,)]),
    # Caffe reads as many labels as there are items, and does not mind more.
    setting("hinge_loss_param { norm: L2 }", [(4, 3), (4, 2)], 2),
]


def under(backend, *bottoms):
    return LayerUnderTest(
        case('type: "HingeLoss"', bottoms, draw={1: lambda r, shape: np.zeros(shape)}), get_backend(backend)
    )


def test_no_gradient_to_labels(backend):
    made = under(backend, (2, 3), (2,))
    made.forward()
    assert [made.layer.can_propagate(i) for i in range(2)] == [True, False]
    with pytest.raises(LayerError, match="HingeLoss Layer cannot backpropagate to label inputs"):
        made.backward([np.array(1.0)], [True, True])


def test_batches_that_differ(backend):
    with pytest.raises(LayerError, match="The data and label should have the same first dimension"):
        under(backend, (2, 3), (3,)).forward()


@pytest.mark.parametrize("label", [3, -1])
def test_a_label_that_is_no_class_names_layer_and_sample(backend, label):
    made = under(backend, (2, 3), (2,))
    made.values[1][1] = label
    with pytest.raises(LayerError, match=rf"'under_test' \(HingeLoss\): label {label} of sample 1 .*not in 0\.\.2"):
        made.forward()
