"""caffepy.testing's check of allocations sees those of a device."""

from __future__ import annotations

import re

import pytest

from caffepy.layer import Layer, register_layer
from caffepy.testing import case, check_layer


@register_layer("KitCopyOnDevice")
class CopyOnDevice(Layer):
    """``y = x``; forward makes an array that it need not."""

    bottoms = (1, 1)
    tops = (1, 1)

    def setup(self, bottom, top):
        """Nothing to learn."""

    def reshape(self, bottom, top):
        """Top as bottom."""
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        """By way of a third array."""
        top[0].data[...] = bottom[0].data.copy()

    def backward(self, top, propagate_down, bottom):
        """As it should be."""
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff


@pytest.mark.parametrize("dtype", ["float32"])
def test_an_allocation_on_the_device_is_seen(gpu):
    with pytest.raises(AssertionError) as caught:
        check_layer(case('type: "KitCopyOnDevice"', [(2, 3)]), "gpu:0")
    lines = str(caught.value).splitlines()
    assert len(lines) == 2, lines
    assert re.search(r"gpu:0 allocation: forward allocates [\d,]{7,} bytes", lines[1])
