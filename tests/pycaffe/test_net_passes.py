"""caffe.Net: forward and backward, whole and in part, with inputs by keyword, in batches, and watched."""

from __future__ import annotations

import numpy as np
import pytest

import caffepy as caffe
from caffepy.errors import NetError
from tests.pycaffe.nets import DEPLOY, REGRESSION, make


@pytest.fixture
def images():
    return np.random.rand(7, 3, 8, 6).astype(np.float32)


@pytest.fixture
def net(tmp_path, device):
    return make(tmp_path, DEPLOY, backend=device, seed=1)


def alone(net, image):
    """What the net makes of one image, and of this gradient of its output, with nothing of the methods tested here."""
    net.blobs["data"].data[...] = image
    net.forward()
    net.blobs["prob"].diff[...] = np.arange(5)
    net.backward()
    return net.blobs["prob"].data[0].copy(), net.blobs["data"].diff[0].copy()


def test_forward_with_inputs(net, images):
    expected = [alone(net, image)[0] for image in images[:2]]
    out = net.forward(data=images[:2].astype(np.float64))
    assert list(out) == ["prob"]
    np.testing.assert_allclose(out["prob"], expected, rtol=1e-5)
    np.testing.assert_array_equal(net.blobs["data"].data, images[:2])


def test_forward_gives_more_blobs(net, images):
    out = net.forward(["conv", "data", "prob"], data=images[:2])
    assert set(out) == {"conv", "data", "prob"}
    assert out["conv"].min() == 0
    assert set(net.forward(blobs=["score"], end="relu")) == {"conv", "score"}


def test_forward_in_parts(net, images):
    whole = net.forward(data=images[:2])["prob"].copy()
    net.blobs["prob"].data[...] = 0
    assert set(net.forward(end="ip")) == {"score"}
    assert not net.blobs["prob"].data.any()
    np.testing.assert_array_equal(net.forward(start="prob")["prob"], whole)
    net.blobs["score"].data[...] = 0
    np.testing.assert_allclose(net.forward(start="prob", end="prob")["prob"], np.full((2, 5), 0.2), rtol=1e-6)


def test_backward(net, images):
    net.forward(data=images[:2])
    given = np.random.rand(2, 5)
    out = net.backward(prob=given)
    assert list(out) == ["data"]
    assert out["data"].shape == (2, 3, 8, 6)
    assert out["data"].any()
    np.testing.assert_array_equal(net.blobs["prob"].diff, given.astype(np.float32))
    prob = net.blobs["prob"].data
    expected = prob * (given - (prob * given).sum(1, keepdims=True))
    np.testing.assert_allclose(net.blobs["score"].diff, expected, atol=1e-6)
    assert set(net.backward(["score", "conv"])) == {"data", "score", "conv"}


def test_backward_in_parts(net, images):
    net.forward(data=images[:2])
    whole = net.backward(prob=np.eye(2, 5))["data"].copy()
    net.blobs["data"].diff[...] = 0
    assert set(net.backward(end="ip")) == {"conv"}
    assert not net.blobs["data"].diff.any()
    assert set(net.backward(diffs=["score"], start="relu", end="conv")) == {"data", "score"}
    np.testing.assert_allclose(net.blobs["data"].diff, whole, rtol=1e-5)


def test_gradients_add_up_until_they_are_cleared(net, images):
    weights = net.params["ip"][0]
    net.forward(data=images[:2])
    net.backward(prob=np.eye(2, 5))
    once = weights.diff.copy()
    net.backward()
    np.testing.assert_allclose(weights.diff, 2 * once, rtol=1e-5)
    net.clear_param_diffs()
    assert once.any()
    assert not weights.diff.any()


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda net: net.forward(x=np.zeros((2, 3, 8, 6))), "Input blob arguments do not match net inputs.*: data;"),
        (lambda net: net.forward(data=np.zeros((1, 3, 8, 6))), r"Input is not batch sized: 'data' has shape \(1, 3"),
        (lambda net: net.forward(data=np.zeros((2, 3, 8, 7))), r"shape \(2, 3, 8, 7\) does not fit the blob's"),
        (lambda net: net.backward(data=np.zeros(2)), "Top diff arguments do not match net outputs.*: prob; .*: data"),
        (lambda net: net.backward(prob=np.zeros((3, 5))), "Diff is not batch sized: 'prob'"),
        (lambda net: net.forward(start="cnv"), "The net has no layer 'cnv'. Did you mean 'conv'"),
        (lambda net: net.backward(end="nowhere"), "The net has no layer 'nowhere'"),
        (lambda net: net.forward(["scor"]), "The net has no blob 'scor'. Did you mean 'score'"),
        (lambda net: net.backward(["x"]), "The net has no blob 'x'"),
        (lambda net: net.forward_all(), r"Arrays of equal length are needed for the inputs \(data\); given: none"),
        (lambda net: net.forward_all(x=np.zeros((2, 3))), "The net has no blob 'x'"),
        (
            lambda net: net.forward_backward_all(data=np.zeros((2, 3, 8, 6)), prob=np.zeros((3, 5))),
            "equal length .*; given: data: 2, prob: 3",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit(net, call, match):
    with pytest.raises(NetError, match=match):
        call(net)


@pytest.mark.parametrize("number", [1, 2, 3, 7])
def test_any_number_of_inputs(net, images, number):
    expected = [alone(net, image) for image in images[:number]]
    out = net.forward_all(["score"], data=images[:number])
    assert set(out) == {"prob", "score"}
    assert out["score"].shape == (number, 5)
    np.testing.assert_allclose(out["prob"], [prob for prob, _ in expected], rtol=1e-5)
    blobs, diffs = net.forward_backward_all(
        blobs=["score"], diffs=["conv"], data=list(images[:number]), prob=np.tile(np.arange(5.0), (number, 1))
    )
    assert set(blobs) == {"prob", "score"}
    assert set(diffs) == {"data", "conv"}
    np.testing.assert_allclose(blobs["prob"], [prob for prob, _ in expected], rtol=1e-5)
    np.testing.assert_allclose(diffs["data"], [diff for _, diff in expected], rtol=1e-4, atol=1e-7)


def test_diffs_that_are_not_given_stay(net, images):
    net.blobs["prob"].diff[...] = np.arange(5)
    _, diffs = net.forward_backward_all(data=images[:3])
    expected = [alone(net, image)[1] for image in images[:3]]
    np.testing.assert_allclose(diffs["data"], expected, rtol=1e-4, atol=1e-7)


def test_an_output_of_one_number_a_batch(tmp_path, device):
    net = make(tmp_path, REGRESSION, caffe.TRAIN, backend=device)
    x, t = np.random.rand(8, 3), np.random.rand(8, 2)
    out = net.forward_all(x=x, t=t)
    y = out["z"]
    assert out["loss"].shape == (2,)
    assert y.shape == (8, 2)
    halves = ((y - t) ** 2).reshape(2, -1).sum(1) / 8
    np.testing.assert_allclose(out["loss"], halves, rtol=1e-5)


def test_by_number_and_the_loss(tmp_path, device):
    net = make(tmp_path, REGRESSION, caffe.TRAIN, backend=device)
    net.blobs["x"].data[...] = 1
    net.blobs["t"].data[...] = 3
    last = len(net.layers) - 1
    loss = net._forward(0, last)
    assert loss == pytest.approx(2 * float(net.blobs["loss"].data))
    assert loss == net.loss()
    assert loss > 0
    assert net._forward(0, last - 1) == 0
    net._backward(last, 0)
    assert net.params["ip"][0].diff.any()


def test_who_watches_may_write(net, images):
    seen = []

    def before(layer):
        seen.append(("before", layer))
        if layer == 4:
            net.blobs["score"].data[...] = [0, 0, 0, 0, 50]

    net.before_forward(before)
    net.after_forward(lambda layer: seen.append(("after", layer)))
    prob = net.forward(data=images[:2])["prob"]
    np.testing.assert_allclose(prob, [[0, 0, 0, 0, 1]] * 2, atol=1e-6)
    assert seen == [(when, i) for i in range(5) for when in ("before", "after")]
    seen.clear()
    net.before_backward(lambda layer: seen.append(("before", layer)))

    def after(layer):
        seen.append(("after", layer))
        if layer == 3:
            net.blobs["conv"].diff[...] = 0

    net.after_backward(after)
    assert not net.backward(prob=np.eye(2, 5))["data"].any()
    assert seen == [(when, i) for i in range(4, -1, -1) for when in ("before", "after")]
