"""Powers of many numbers, as normalisation takes them."""

from __future__ import annotations

import numpy as np

from caffepy.backend import Array
from caffepy.cpu._jit import kernel

__all__ = ["powers"]


@kernel
def powers(scale: Array, beta: float, out: Array) -> None:
    """out = scale^beta; by square roots, several times as fast, for AlexNet's 0.75 and for 0.5."""
    count = np.uintp(out.size)
    if beta == 0.75:
        for p in range(count):
            root = np.sqrt(scale[p])
            out[p] = root * np.sqrt(root)
    elif beta == 0.5:
        for p in range(count):
            out[p] = np.sqrt(scale[p])
    else:
        for p in range(count):
            out[p] = scale[p] ** beta
