"""What the host has made, on its way into a blob."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from caffepy.backend import Array, Backend

__all__ = ["Upload"]


class Upload:
    """``y = x``, x an array of the host of any number type, y one of the backend.

    Args:
        backend: the CPU.
    """

    def __init__(self, backend: Backend) -> None:
        self._dtype = backend.dtype

    def plan(self, shape: tuple[int, ...]) -> None:
        """Nothing to prepare."""

    def forward(self, x: NDArray[Any], out: Array) -> None:
        """``out``, of x's shape, is overwritten; x may be overwritten after `wait`."""
        out[...] = x

    def wait(self) -> None:
        """Until the x of the last `forward` may be overwritten: it may already."""
