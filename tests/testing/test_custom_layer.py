"""A layer of a user's own, as docs/custom_layers has it, through the public kit."""

from __future__ import annotations

import numpy as np
import pytest

import caffepy
from caffepy.testing import case, check_gradient, check_layer


@caffepy.register_layer("Swish2")
class Swish2(caffepy.Layer):
    """y = x * sigmoid(x); x, y (N, ...)."""

    bottoms = (1, 1)
    tops = (1, 1)
    in_place = False

    def setup(self, bottom, top):
        self.gate = caffepy.Blob(self.backend)

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)
        self.gate.reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        x, gate = bottom[0].data, self.gate.data
        self.xp.negative(x, out=gate)
        self.xp.exp(gate, out=gate)
        gate += 1
        self.xp.divide(x, gate, out=top[0].data)
        self.xp.reciprocal(gate, out=gate)

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            gate, dx = self.gate.data, bottom[0].diff
            self.xp.subtract(1, gate, out=dx)
            dx *= top[0].data
            dx += gate
            dx *= top[0].diff


CASES = [
    case('type: "Swish2"', [(2, 3, 4)], reference=lambda bottoms, blobs: [bottoms[0] / (1 + np.exp(-bottoms[0]))]),
    case('type: "Swish2"', [(7,)], reference=lambda bottoms, blobs: [bottoms[0] / (1 + np.exp(-bottoms[0]))]),
]


@pytest.mark.parametrize("setting", CASES, ids=lambda setting: str(setting.bottoms[0]))
def test_swish2_passes_the_kit(setting, backend):
    check_layer(setting, backend)
    check_gradient(setting, backend)
    check_gradient(setting, backend, exhaustive=True)


def test_swish2_in_a_net():
    from caffepy.net import Net
    from caffepy.proto.read import parse_net

    text = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 5 } } }
    layer { name: "s" type: "Swish2" bottom: "x" top: "y" }
    """
    net = Net(parse_net(text)[0], phase=caffepy.TEST)
    x = np.linspace(-2, 2, 10, dtype=np.float32).reshape(2, 5)
    net.blobs["x"].data[...] = x
    net.forward()
    np.testing.assert_allclose(net.blobs["y"].data, x / (1 + np.exp(-x)), rtol=1e-6)
