"""What adds to the loss, by how much, and where backward starts from."""

from __future__ import annotations

import numpy as np
import pytest

from tests.net.from_text import net_of
from tests.net.square_loss import SquareLoss

assert SquareLoss.loss

# w = (1, 1, 1, 1); a = 2 w; b = 3 w
NET = """
    layer { name: "w" type: "Weights" top: "w" input_param { shape { dim: 2 dim: 2 } } }
    layer { name: "a" type: "Power" bottom: "w" top: "a" power_param { scale: 2 } %s }
    layer { name: "b" type: "Power" bottom: "w" top: "b" power_param { scale: 3 } %s }
    layer { name: "loss" type: "SquareLoss" bottom: "a" bottom: "b" top: "loss" %s }
"""


def _run(*weights: str):
    net = net_of(NET % weights)
    net.forward()
    net.backward()
    return net, net.params["w"][0].diff


def test_a_loss_layer_weighs_one_unless_told():
    net, diff = _run("", "", "")
    # 4 differences of 1, over 2 N = 4
    assert net.loss() == 1
    assert net.blobs["loss"].diff == 1
    # d/dw (2 w - 3 w)^2 / 4 = w / 2
    np.testing.assert_array_equal(diff, np.full((2, 2), 0.5, np.float32))


@pytest.mark.parametrize("weight", [0.5, 2, -3])
def test_loss_and_gradients_scale_with_the_weight(weight):
    net, diff = _run("", "", f"loss_weight: {weight}")
    assert net.loss() == weight
    assert net.blobs["loss"].diff == weight
    assert net.blobs["loss"].data == 1, "the blob itself is not weighted"
    np.testing.assert_array_equal(diff, np.full((2, 2), 0.5 * weight, np.float32))


def test_any_top_may_be_a_loss_and_counts_as_its_sum():
    net, diff = _run("loss_weight: 10", "", "")
    assert net.loss() == 10 * 4 * 2 + 1
    np.testing.assert_array_equal(diff, np.full((2, 2), 0.5 + 20, np.float32))


def test_losses_add_up():
    net, diff = _run("loss_weight: 10", "loss_weight: 100", "loss_weight: 2")
    assert net.loss() == 80 + 100 * 12 + 2
    np.testing.assert_array_equal(diff, np.full((2, 2), 1 + 20 + 300, np.float32))


def test_a_weight_of_zero_leaves_a_loss_layer_out():
    net, diff = _run("loss_weight: 10", "", "loss_weight: 0")
    assert net.loss() == 80
    np.testing.assert_array_equal(diff, np.full((2, 2), 20, np.float32))


def test_a_weighted_loss_that_another_layer_reads_counts_once():
    text = NET % ("", "", "loss_weight: 10")
    text += 'layer { name: "twice" type: "Power" bottom: "loss" top: "twice" power_param { scale: 2 } loss_weight: 3 }'
    net = net_of(text)
    net.forward()
    net.backward()
    assert net.loss() == 10 + 3 * 2
    np.testing.assert_array_equal(net.params["w"][0].diff, np.full((2, 2), 0.5 * 16, np.float32))


def test_of_two_tops_each_has_its_weight():
    text = """
        layer { name: "w" type: "Weights" top: "x" top: "y" loss_weight: 2 loss_weight: 5
          input_param { shape { dim: 3 } shape { dim: 2 } } }"""
    net = net_of(text)
    net.forward()
    net.backward()
    assert net.loss() == 2 * 3 + 5 * 2 * 2
    assert net.params["w"][0].diff.tolist() == [2, 2, 2]
    assert net.params["w"][1].diff.tolist() == [5, 5]
    # A reader of the first top: its weight moves to a split, and the second's stays.
    net = net_of(text + 'layer { name: "s" type: "Silence" bottom: "x" }')
    net.forward()
    net.backward()
    assert net.loss() == 2 * 3 + 5 * 2 * 2
    assert net.params["w"][0].diff.tolist() == [2, 2, 2]
    assert net.params["w"][1].diff.tolist() == [5, 5]


def test_the_second_top_of_a_loss_layer_weighs_nothing_unless_told():
    text = """
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 2 } } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "y" top: "loss" top: "prob" %s }"""
    net = net_of(text % "")
    assert net.entries[-1].loss_weights == [1, 0]
    assert net.loss_weights == {"x": 0, "y": 0, "loss": 1, "prob": 0}
    net.forward()
    assert net.loss() == pytest.approx(np.log(3))
    net = net_of(text % "loss_weight: 2 loss_weight: 3")
    net.forward()
    assert net.loss() == pytest.approx(2 * np.log(3) + 3 * 2)


def test_a_loss_that_changes_its_shape_is_weighted_everywhere():
    """Backward starts from the weight in every element, also in those that a larger batch adds."""
    text = """
        force_backward: true
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { name: "a" type: "Power" bottom: "x" top: "a" power_param { scale: 2 } loss_weight: 7 }"""
    net = net_of(text)
    for batch in (2, 5, 1, 4, 8):
        net.blobs["x"].reshape(batch, 3)
        net.blobs["x"].data[...] = 1
        net.forward()
        net.backward()
        assert net.loss() == 7 * 2 * 3 * batch
        np.testing.assert_array_equal(net.blobs["x"].diff, np.full((batch, 3), 14, np.float32))


def test_a_diff_that_the_caller_writes_stays_until_the_shape_changes():
    net, diff = _run("", "", "")
    net.blobs["loss"].diff[...] = 8
    for _ in range(2):
        net.clear_param_diffs()
        net.forward()
        net.backward()
        np.testing.assert_array_equal(diff, np.full((2, 2), 4, np.float32))
    assert net.loss() == 1
