"""Random numbers for the inputs of a net, to see two nets compute the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from caffepy.net.net import Net

__all__ = ["feed_random"]


def feed_random(net: Net, seed: int = 1, scale: float = 1.0) -> None:
    """Fill the net's inputs with normal numbers of standard deviation ``scale``, and labels with zeros.

    Inputs of equal shapes, in order, get the same numbers in every net.
    """
    random = np.random.default_rng(seed)
    labels = {
        name
        for layer in net.param.layer
        if layer.type.endswith("Loss") or layer.type == "Accuracy"
        for name in layer.bottom[1:]
    }
    for name in net.inputs:
        blob = net.blobs[name]
        values = np.zeros(blob.shape)
        if len(blob.shape) > 1 and name not in labels:
            values = scale * random.standard_normal(blob.shape)
        blob.data[...] = net.backend.asarray(values.astype(net.backend.dtype))
