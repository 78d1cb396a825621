"""MultinomialLogisticLoss: its value and gradient, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case
from tests.reference.multinomial_loss import multinomial_loss


def probabilities(random, shape):
    return random.uniform(0.05, 1, shape)


def setting(bottoms, fields="", **more):
    classes = math.prod(bottoms[0][1:])

    def reference(bottoms, blobs):
        prob, label = bottoms
        return [np.array(multinomial_loss(prob.reshape(len(prob), -1), label.reshape(-1)) / len(prob))]

    return case(
        f'type: "MultinomialLogisticLoss" {fields}',
        bottoms,
        reference=reference,
        draw={0: more.pop("prob", probabilities), 1: lambda random, shape: random.integers(0, classes, shape)},
        label=more.pop("label", f"{fields} {bottoms}"),
        **more,
    )


CASES = [
    setting([(5, 4), (5,)]),
    setting([(4, 3, 2, 2), (4, 1, 1, 1)]),
    setting([(1, 3), (1, 1)]),
    setting([(3, 2), (3,)], "loss_weight: 0.5"),
    setting([(4, 3), (4,)], prob=lambda random, shape: np.zeros(shape), gradient=[], label="zero"),
]


def under(backend, *bottoms):
    draw = {0: probabilities, 1: lambda r, shape: np.zeros(shape)}
    return LayerUnderTest(case('type: "MultinomialLogisticLoss"', bottoms, draw=draw), get_backend(backend))


def test_no_gradient_to_labels(backend):
    made = under(backend, (2, 3), (2,))
    made.forward()
    assert [made.layer.can_propagate(i) for i in range(2)] == [True, False]
    with pytest.raises(LayerError, match="MultinomialLogisticLoss Layer cannot backpropagate to label inputs"):
        made.backward([np.array(1.0)], [True, True])


def test_batches_that_differ(backend):
    with pytest.raises(LayerError, match="The data and label should have the same first dimension"):
        under(backend, (2, 3), (3,)).forward()


@pytest.mark.parametrize("labels", [(2, 3), (2, 1, 2), (2, 1, 1, 1, 1)])
def test_labels_of_other_shapes(backend, labels):
    with pytest.raises(LayerError, match=r"Check failed: bottom\[1\]->channels\(\) == 1.*for 2 items"):
        under(backend, (2, 3), labels).forward()


@pytest.mark.parametrize("label", [3, -1])
def test_a_label_that_is_no_class_names_layer_and_sample(backend, label):
    made = under(backend, (2, 3), (2,))
    made.values[1][1] = label
    with pytest.raises(
        LayerError, match=rf"'under_test' \(MultinomialLogisticLoss\): label {label} of sample 1 .*not in 0\.\.2"
    ):
        made.forward()
