"""The ops of the GPU: the twins of those in ``caffepy.cpu``, each a kernel or a library's routine on CuPy's stream."""

from __future__ import annotations

from caffepy.gpu.relu import ReLU

__all__ = [
    "ReLU",
]
