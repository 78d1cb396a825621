"""SoftmaxWithLoss: normalisation, ignored labels, the second top, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.testing import LayerUnderTest, case
from tests.reference.softmax import softmax
from tests.reference.softmax_loss import softmax_loss


def labels(classes, *others):
    """Labels of ``classes`` classes, and now and then one of ``others``."""
    return lambda random, shape: random.choice([*range(classes), *others], shape)


def loss(normalizer, axis=1, ignore=None, prob=False):
    """``normalizer(labels, counted, batch)``, before the floor of 1."""

    def reference(bottoms, blobs):
        x, label = bottoms
        k = axis % x.ndim
        outer = math.prod(x.shape[:k])
        y = softmax(x.reshape(outer, x.shape[k], -1))
        total, counted = softmax_loss(y, label.reshape(outer, -1), ignore)
        value = np.array(total / max(1, normalizer(label.size, counted, outer)))
        return [value, y.reshape(x.shape)] if prob else [value]

    return reference


def valid(size, counted, batch):
    return counted


def full(size, counted, batch):
    return size


def batch_size(size, counted, batch):
    return batch


def none(size, counted, batch):
    return 1


MAP, MAP_LABELS = (2, 4, 3, 3), (2, 1, 3, 3)


def setting(fields, normalizer, bottoms=(MAP, MAP_LABELS), ignore=None, axis=1, **more):
    classes = bottoms[0][axis]
    others = [] if ignore is None else [ignore]
    return case(
        f'type: "SoftmaxWithLoss" {fields}',
        bottoms,
        reference=loss(normalizer, axis, ignore, more.get("tops") == 2),
        draw={1: labels(classes, *others)},
        label=more.pop("label", fields or "plain"),
        **more,
    )


CASES = [
    setting("", valid, [(5, 7), (5,)]),
    setting("", valid, [(1, 3), (1, 1)], label="batch 1"),
    setting("", valid, label="map"),
    setting("loss_param { normalization: VALID ignore_label: 2 }", valid, ignore=2),
    setting("loss_param { normalization: FULL ignore_label: 255 }", full, ignore=255),
    setting("loss_param { normalization: BATCH_SIZE ignore_label: -1 }", batch_size, ignore=-1),
    setting("loss_param { normalization: NONE ignore_label: 0 }", none, ignore=0),
    setting("loss_param { normalize: true ignore_label: 1 }", valid, ignore=1),
    setting("loss_param { normalize: false }", batch_size),
    setting("loss_param { normalize: false normalization: FULL }", full),
    setting("softmax_param { axis: 2 }", valid, [(2, 3, 4), (2, 3)], axis=2),
    setting("softmax_param { axis: -1 }", valid, [(2, 3, 4), (2, 3)], axis=-1),
    setting("loss_weight: 0.3", valid, [(5, 7), (5,)]),
    setting("loss_weight: 1 loss_weight: 0", valid, tops=2, tops_checked=[0], label="second top"),
]


def under(backend, fields="", bottoms=((2, 3), (2,)), values=None, tops=1):
    made = LayerUnderTest(
        case(f'type: "SoftmaxWithLoss" {fields}', bottoms, tops=tops, draw={1: labels(3)}), get_backend(backend)
    )
    if values is not None:
        made.values[1][...] = values
    return made


def test_all_labels_ignored_gives_no_loss_and_no_gradient(backend):
    made = under(backend, "loss_param { ignore_label: 1 }", values=1)
    assert made.forward()[0] == 0
    assert (made.backward([np.array(1.0), *[]], [True, False])[0] == 0).all()


def test_the_gradient_is_scaled_by_the_top_s_diff(backend):
    made = under(backend)
    made.forward()
    once = made.backward([np.array(1.0)], [True, False])[0]
    made.forward()
    np.testing.assert_allclose(made.backward([np.array(-2.5)], [True, False])[0], -2.5 * once, rtol=1e-6)


def test_a_batch_of_more_than_one_label_each(backend):
    """One label for each of two samples is not enough for a map."""
    with pytest.raises(
        LayerError,
        match=r"Number of labels must match number of predictions.*need 18 labels, got 2 1 \(2\)"
        r".*label count must be N\*H\*W, with integer values in \{0, 1, \.\.\., C-1\}",
    ):
        under(backend, bottoms=[MAP, (2, 1)]).forward()


def test_another_batch_size(backend):
    with pytest.raises(LayerError, match="The data and label should have the same first dimension; got 2 3"):
        under(backend, bottoms=[(2, 3), (3,)]).forward()


def test_no_such_axis(backend):
    with pytest.raises(LayerError, match=r"softmax_param.axis: axis 2 out of range"):
        under(backend, "softmax_param { axis: 2 }").forward()


@pytest.mark.parametrize("label", [3, -1])
def test_a_label_that_is_no_class_names_layer_and_sample(backend, label):
    made = under(backend)
    made.values[1][1] = label
    with pytest.raises(
        LayerError,
        match=rf"layer 'under_test' \(SoftmaxWithLoss\): label {label} of sample 1 .*Check failed.*num_output",
    ):
        made.forward()


def test_no_gradient_to_labels(backend):
    made = under(backend)
    made.forward()
    assert [made.layer.can_propagate(i) for i in range(2)] == [True, False]
    with pytest.raises(LayerError, match="SoftmaxWithLoss Layer cannot backpropagate to label inputs"):
        made.backward([np.array(1.0)], [True, True])
