"""BatchNorm."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net
from caffepy.testing import LayerUnderTest, case
from tests.reference.batch_norm import batch_norm, moments

EPS = float(np.float32(1e-5))
FRACTION = float(np.float32(0.999))


def three(x):
    return x.reshape(x.shape[0], x.shape[1] if x.ndim > 1 else 1, -1)


def of_the_batch(eps):
    def reference(bottoms, blobs):
        x = three(bottoms[0])
        return [batch_norm(x, *moments(x), eps).reshape(bottoms[0].shape)]

    return reference


def sums_after(fraction):
    def reference(bottoms, blobs):
        x = three(bottoms[0])
        mean, variance = moments(x)
        count = x.shape[0] * x.shape[2]
        unbiased = variance * count / (count - 1) if count > 1 else variance
        values = zip(blobs, (mean, unbiased, np.ones(1)), strict=True)
        return [fraction * blob + value for blob, value in values]

    return reference


def of_the_sums(eps):
    def reference(bottoms, blobs):
        mean, variance, weight = blobs
        y = batch_norm(three(bottoms[0]), mean / weight[0], variance / weight[0], eps)
        return [y.reshape(bottoms[0].shape)]

    return reference


def train(shape, fields="", phase="TRAIN", eps=EPS, fraction=FRACTION, **more):
    return case(
        f'type: "BatchNorm" batch_norm_param {{ {fields} }}',
        [shape],
        phase=phase,
        reference=of_the_batch(eps),
        blobs_after=sums_after(fraction),
        blobs_checked=(),
        label=f"{phase} {fields} {shape}",
        **more,
    )


def of_given(shape, fields="", phase="TEST", eps=EPS):
    return case(
        f'type: "BatchNorm" batch_norm_param {{ {fields} }}',
        [shape],
        phase=phase,
        reference=of_the_sums(eps),
        blobs_checked=(),
        label=f"{phase} {fields} {shape}",
    )


CASES = [
    train((4, 3, 5, 2)),
    train((5, 3)),
    train((6,)),
    train((2, 3, 2), "moving_average_fraction: 0.5 eps: 0.1", eps=float(np.float32(0.1)), fraction=0.5),
    train((4, 3, 2), "use_global_stats: false", phase="TEST"),
    of_given((4, 3, 5, 2)),
    of_given((1, 3), "eps: 0.5", eps=0.5),
    of_given((4, 3, 2), "use_global_stats: true", phase="TRAIN"),
]

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 8 dim: 2 dim: 3 } } }
layer { name: "bn" type: "BatchNorm" bottom: "x" top: "y" PARAM }
"""


def net(backend, phase, param=""):
    return Net(parse_net(NET.replace("PARAM", param)), phase, get_backend(backend))


def test_running_sums_lead_to_the_numbers_of_the_data(backend):
    with net(backend, caffe_pb2.TRAIN) as trained, net(backend, caffe_pb2.TEST) as tested:
        random = np.random.default_rng(0)
        for _ in range(200):
            trained.blobs["x"].data[...] = trained.backend.asarray(random.normal(3, 2, (8, 2, 3)))
            trained.forward()
        for mine, theirs in zip(tested.params["bn"], trained.params["bn"], strict=True):
            mine.data[...] = theirs.data
        mean, variance, weight = (trained.backend.to_host(blob.data) for blob in trained.params["bn"])
        np.testing.assert_allclose(mean / weight, 3, atol=0.2)
        np.testing.assert_allclose(variance / weight, 4, atol=0.4)
        tested.blobs["x"].data[...] = 5
        np.testing.assert_allclose(tested.backend.to_host(tested.forward()["y"]), 1, atol=0.15)


def test_before_any_training_mean_and_variance_are_zero(backend):
    with net(backend, caffe_pb2.TEST) as tested:
        tested.params["bn"][0].data[...] = 7
        tested.blobs["x"].data[...] = 1
        y = tested.backend.to_host(tested.forward()["y"])
        np.testing.assert_allclose(y, 1 / math.sqrt(EPS), rtol=1e-5)


def test_nothing_is_learned(backend):
    with net(backend, caffe_pb2.TRAIN) as trained:
        assert [param.lr_mult for param in trained.learnable_params] == [0, 0, 0]
    with net(backend, caffe_pb2.TRAIN, "param { lr_mult: 0 } param { lr_mult: 0 decay_mult: 0 }") as trained:
        assert [param.lr_mult for param in trained.learnable_params] == [0, 0, 0]


def test_a_learning_rate_is_refused(backend):
    match = r"Cannot configure batch normalization statistics as layer parameters.*param 1 .*got 0\.5"
    with pytest.raises(LayerError, match=match):
        net(backend, caffe_pb2.TRAIN, "param { lr_mult: 0 } param { lr_mult: 0.5 }")


def test_another_number_of_channels(backend):
    made = LayerUnderTest(CASES[0], get_backend(backend))
    made.resize([(4, 2, 5, 2)])
    match = r"made for 3 channels \(Check failed: bottom\[0\]->shape\(1\) == channels_\); got a bottom 4 2 5 2"
    with pytest.raises(LayerError, match=match):
        made.forward()


def test_train_and_test_in_turn_on_one_batch_of_one_value(backend):
    """A single value has no variance: the sums stay finite."""
    made = LayerUnderTest(train((1, 2)), get_backend(backend))
    assert (made.forward()[0] == 0).all()
    assert np.isfinite(made.layer.blobs[1].data).all()
