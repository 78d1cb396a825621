"""The ops of the GPU: the twins of those in ``caffepy.cpu``, each a kernel or a library's routine on CuPy's stream."""

from __future__ import annotations

from caffepy.gpu.dropout import Dropout
from caffepy.gpu.pool import AvePool, MaxPool
from caffepy.gpu.relu import ReLU
from caffepy.gpu.stochastic_pool import StochasticPool

__all__ = [
    "AvePool",
    "Dropout",
    "MaxPool",
    "ReLU",
    "StochasticPool",
]
