"""SigmoidCrossEntropyLoss: normalisation, ignored targets, large scores, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case
from tests.reference.sigmoid_cross_entropy_loss import sigmoid_cross_entropy_loss


def targets(*others):
    """Targets in [0, 1], zeros, ones, and now and then one of ``others``."""

    def draw(random, shape):
        values = random.uniform(0, 1, shape)
        return np.where(random.uniform(0, 1, shape) < 0.5, random.choice([0, 1, *others], shape), values)

    return draw


def setting(fields, normalizer, bottoms=((4, 3), (4, 3)), ignore=None, **more):
    def reference(bottoms, blobs):
        x, target = bottoms
        total, counted = sigmoid_cross_entropy_loss(x, target, ignore)
        return [np.array(total / max(1, normalizer(x.size, counted, len(x))))]

    return case(
        f'type: "SigmoidCrossEntropyLoss" {fields}',
        bottoms,
        reference=reference,
        draw={1: targets(*([] if ignore is None else [ignore] * 2))},
        label=f"{fields} {bottoms}",
        **more,
    )


def valid(size, counted, batch):
    return counted


def full(size, counted, batch):
    return size


def batch_size(size, counted, batch):
    return batch


def none(size, counted, batch):
    return 1


MAP = [(2, 3, 4, 2), (2, 3, 4, 2)]

CASES = [
    setting("", batch_size),
    setting("", batch_size, MAP),
    setting("loss_weight: 3", batch_size, [(1, 1), (1, 1)]),
    setting("", batch_size, [(4, 6), (4, 2, 3)]),
    setting("", batch_size, [(3,), (3, 1)]),
    setting("loss_param { ignore_label: -1 }", batch_size, ignore=-1),
    setting("loss_param { normalization: VALID }", valid, MAP),
    setting("loss_param { normalization: VALID ignore_label: 255 }", valid, MAP, ignore=255),
    setting("loss_param { normalization: FULL ignore_label: 1 }", full, ignore=1),
    setting("loss_param { normalization: BATCH_SIZE }", batch_size, MAP),
    setting("loss_param { normalization: NONE ignore_label: -2 }", none, ignore=-2),
    setting("loss_param { normalize: true ignore_label: 255 }", valid, ignore=255),
    setting("loss_param { normalize: false ignore_label: 255 }", batch_size, ignore=255),
    setting("loss_param { normalize: true normalization: FULL }", full),
    # Fractions are dropped first: all targets below 1 are label 0.
    setting("loss_param { ignore_label: 0 normalization: VALID }", valid, MAP, ignore=0),
]


def under(backend, *bottoms, fields=""):
    return LayerUnderTest(
        case(f'type: "SigmoidCrossEntropyLoss" {fields}', bottoms, draw={1: targets()}), get_backend(backend)
    )


def test_all_targets_ignored(backend):
    made = under(backend, (2, 3), (2, 3), fields="loss_param { ignore_label: 7 normalization: VALID }")
    made.values[1][...] = 7
    assert made.forward()[0] == 0
    assert (made.backward([np.array(1.0)])[0] == 0).all()


def test_large_scores_do_not_overflow(backend):
    made = under(backend, (2, 2), (2, 2))
    made.values = [np.array([[500.0, -500.0], [-1000.0, 1000.0]]), np.array([[1.0, 0.0], [1.0, 0.0]])]
    assert made.forward()[0] == 1000
    assert made.backward([np.array(1.0)])[0].tolist() == [[0, 0], [-0.5, 0.5]]


def test_counts_that_differ(backend):
    with pytest.raises(
        LayerError,
        match=r"SIGMOID_CROSS_ENTROPY_LOSS layer inputs must have the same count; got 2 3 \(6\) and 2 4 \(8\)",
    ):
        under(backend, (2, 3), (2, 4)).forward()


def test_batches_that_differ(backend):
    with pytest.raises(LayerError, match="The data and label should have the same first dimension"):
        under(backend, (2, 3), (3, 2)).forward()


def test_no_gradient_to_targets(backend):
    made = under(backend, (2, 3), (2, 3))
    made.forward()
    assert [made.layer.can_propagate(i) for i in range(2)] == [True, False]
    with pytest.raises(LayerError, match="SigmoidCrossEntropyLoss Layer cannot backpropagate to label inputs"):
        made.backward([np.array(1.0)], [True, True])
