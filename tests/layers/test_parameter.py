"""Parameter."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from caffepy.net import Net
from caffepy.proto.read import parse_net
from caffepy.testing import LayerUnderTest, case


def setting(shape, **more):
    dims = " ".join(f"dim: {size}" for size in shape)
    return case(
        f'type: "Parameter" parameter_param {{ shape {{ {dims} }} }}',
        [],
        reference=lambda bottoms, blobs: [blobs[0]],
        label=f"{shape}",
        kind="copy",
        **more,
    )


CASES = [setting((3, 2)), setting((5,)), setting((2, 3, 4, 5)), setting((1,)), setting(())]


def test_zero_at_first_and_of_the_right_shape_at_once(backend):
    made = LayerUnderTest(setting((3, 2)), get_backend(backend))
    assert made.top[0].shape == (3, 2)
    assert made.layer.blobs[0].data.tolist() == [[0, 0]] * 3


def test_learned_in_a_net(backend):
    text = """
        layer { name: "p" type: "Parameter" top: "p" parameter_param { shape { dim: 2 } } %s }
        layer { name: "relu" type: "ReLU" bottom: "p" top: "p" }
        layer { name: "sum" type: "Reduction" bottom: "p" top: "loss" loss_weight: 3 reduction_param { coeff: 2 } }
    """
    device = get_backend(backend)
    net = Net(parse_net(text % ""), backend=device)
    net.params["p"][0].data[...] = device.asarray(np.array([-4, 5]))
    net.clear_param_diffs()
    for passes in (1, 2):
        net.forward()
        assert net.blobs["loss"].data == 10
        net.backward()
        # Gradients add up, and the layer in place has not touched what is learned.
        assert net.params["p"][0].diff.tolist() == [0, 6 * passes]
        assert net.params["p"][0].data.tolist() == [-4, 5]
    net = Net(parse_net(text % "blobs { shape { dim: 2 } data: 7 data: 8 }"), backend=device)
    assert net.params["p"][0].data.tolist() == [7, 8]


def test_a_negative_size(backend):
    with pytest.raises(LayerError, match=r"\(Parameter\): parameter_param: .*Check failed: shape\[i\] >= 0"):
        LayerUnderTest(setting((2, -3)), get_backend(backend))


def test_a_shape_that_is_too_large(backend):
    with pytest.raises(LayerError, match="parameter_param: blob size exceeds INT_MAX"):
        LayerUnderTest(setting((2**20, 2**20)), get_backend(backend))


def test_nothing_is_written_where_nothing_is_learned(backend):
    made = LayerUnderTest(setting((2,)), get_backend(backend))
    made.forward()
    made.layer.param_propagate_down = [False]
    made.clear_blob_diffs(7)
    made.backward([np.ones(2)])
    assert made.blob_diffs()[0].tolist() == [7, 7]
