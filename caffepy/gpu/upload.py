"""What the host has made, on its way into a blob."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.backend import Array, Backend
from caffepy.gpu._upload import PinnedCopies

__all__ = ["Upload"]


class Upload:
    """``y = x``, x an array of the host of any number type, y one of the backend. The host does not wait for the copy.

    Args:
        backend: a GPU.
    """

    def __init__(self, backend: Backend) -> None:
        self._dtype = backend.dtype
        self._copies = PinnedCopies()

    def plan(self, shape: tuple[int, ...]) -> None:
        """Reserve memory for arrays of ``shape`` on their way."""
        self._copies.reserve(math.prod(shape) * self._dtype.itemsize)

    def forward(self, x: NDArray[Any], out: Array) -> None:
        """``out``, of x's shape, is overwritten; x may be overwritten after `wait`."""
        if x.size:
            (sent,) = self._copies.send(np.asarray(x, self._dtype))
            out[...] = sent.reshape(out.shape)
            self._copies.done()

    def wait(self) -> None:
        """Until the x of the last `forward` may be overwritten."""
        self._copies.wait()
