"""The numbers of a net's outputs, as displays and tests show them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from caffepy.net.net import Net
from caffepy.solver.observer import Output

__all__ = ["named", "values"]


def values(net: Net) -> NDArray[np.float64]:
    """All elements of all outputs, on the host."""
    blobs = [net.backend.to_host(net.blobs[name].data).reshape(-1) for name in net.outputs]
    return np.concatenate(blobs).astype(np.float64) if blobs else np.zeros(0)


def named(net: Net, numbers: NDArray[np.float64]) -> list[Output]:
    """``numbers``, in the order of `values`, with the blobs' names and what they add to the loss."""
    weights = net.loss_weights
    names = [name for name in net.outputs for _ in range(net.blobs[name].count)]
    return [Output(name, float(number), weights[name]) for name, number in zip(names, numbers, strict=True)]
