"""What the pooling ops share: windows over the planes of images, and gradients sent back to one value of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._jit import kernel
from caffepy.cpu._parallel import Task

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["Pair", "Planes", "Shape", "planes", "send_back"]

Pair = tuple[int, int]
Shape = tuple[int, ...]


class Planes:
    """Windows over planes of x (N, C, H, W) and y (N, C, h, w)."""

    def __init__(self, backend: Backend, kernel: Pair, stride: Pair, pad: Pair) -> None:
        self._backend = backend
        self._workers = cast("CpuBackend", backend).workers
        self._window = np.array([kernel, stride, pad], np.int64)
        self._shapes: tuple[Shape, Shape] = ((), ())

    def _changed(self, x_shape: Shape, y_shape: Shape) -> bool:
        changed = (x_shape, y_shape) != self._shapes
        self._shapes = (x_shape, y_shape)
        return changed

    def _each_plane(self, task: Task) -> None:
        self._workers.run(self._shapes[0][0] * self._shapes[0][1], task)


def planes(x: Array) -> Array:
    """x (N, C, H, W) as (N C, H, W)."""
    return x.reshape(-1, *x.shape[2:])


@kernel
def send_back(first: int, last: int, dy: Array, chosen: Array, dx: Array) -> None:
    """Planes of dx get each dy at the index that ``chosen`` has for it; -1 is none."""
    for plane in range(first, last):
        grad = dx[plane].reshape(-1)
        grad[:] = 0
        grads, places = dy[plane].reshape(-1), chosen[plane].reshape(-1)
        for p in range(np.uintp(grads.size)):
            if places[p] >= 0:
                grad[np.uintp(places[p])] += grads[p]
