"""EuclideanLoss: its value, both gradients, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net
from caffepy.testing import LayerUnderTest, case
from tests.reference.euclidean_loss import euclidean_loss


def reference(bottoms, blobs):
    return [np.array(euclidean_loss(*bottoms))]


def setting(bottoms, fields="", **more):
    return case(f'type: "EuclideanLoss" {fields}', bottoms, reference=reference, label=f"{fields} {bottoms}", **more)


CASES = [
    setting([(5, 3), (5, 3)]),
    setting([(4, 3, 2, 5), (4, 3, 2, 5)]),
    setting([(1, 7), (1, 7)]),
    setting([(3,), (3,)]),
    setting([(4, 6), (4, 2, 3)]),
    setting([(2, 3), (2, 3)], "loss_weight: 0.25"),
    setting([(2, 1, 2, 1, 2), (2, 4)]),
]


def under(backend, *bottoms):
    return LayerUnderTest(case('type: "EuclideanLoss"', bottoms), get_backend(backend))


def test_both_bottoms_get_the_gradient(backend):
    made = under(backend, (2, 3), (2, 3))
    made.forward()
    a, b = made.backward([np.array(3.0)])
    expected = 3 * (made.values[0] - made.values[1]) / 2
    np.testing.assert_allclose(a, expected, rtol=1e-6)
    np.testing.assert_allclose(b, -expected, rtol=1e-6)
    assert [made.layer.can_propagate(i) for i in range(2)] == [True, True]


def test_force_backward_reaches_the_target(backend):
    net = Net(
        parse_net(
            """force_backward: true
            layer { name: "x" type: "Input" top: "x" top: "t" input_param { shape { dim: 2 dim: 2 } } }
            layer { name: "loss" type: "EuclideanLoss" bottom: "x" bottom: "t" }"""
        ),
        caffe_pb2.TRAIN,
        get_backend(backend),
    )
    net.blobs["x"].data[...] = 1
    net.blobs["t"].data[...] = 3
    net.forward()
    net.backward()
    assert net.loss() == 4
    assert (net.blobs["t"].diff == 1).all()
    assert (net.blobs["x"].diff == -1).all()


def test_sizes_that_differ(backend):
    with pytest.raises(LayerError, match=r"Inputs must have the same dimension; got 2 3 \(6\) and 2 2 \(4\)"):
        under(backend, (2, 3), (2, 2)).forward()


def test_batches_that_differ(backend):
    with pytest.raises(LayerError, match=r"The data and label should have the same first dimension; got 2 3 \(6\) and"):
        under(backend, (2, 3), (3, 2)).forward()


def test_numbers_without_a_batch(backend):
    with pytest.raises(LayerError, match="The data and label should have the same first dimension"):
        under(backend, (), ()).forward()
