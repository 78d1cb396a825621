"""How fast this device multiplies matrices: what the speed of layers is held against."""

from __future__ import annotations

import time
from statistics import median

from caffepy.backend import Backend

__all__ = ["product_speed"]

# Larger matrices are no faster; this many rows and columns take 10 ms where 200 GFLOP/s are reached.
_SIZE = 1024
_SECONDS = 0.1


def product_speed(backend: Backend) -> float:
    """FLOP/s of one product of two 1024 x 1024 matrices, by ``backend``'s inner product; a multiply-add counts as 2.

    The median of at least three, for a tenth of a second.
    """
    shape = (_SIZE, _SIZE)
    x, w, y = backend.zeros(shape), backend.zeros(shape), backend.empty(shape)
    x.fill(1)
    w.fill(1)
    product = backend.ops.InnerProduct(backend, False)
    product.plan(shape, shape)
    taken: list[float] = []
    for _ in range(2):
        product.forward(x, w, None, y)
    backend.synchronize()
    began = before = time.perf_counter()
    while len(taken) < 3 or before - began < _SECONDS:
        product.forward(x, w, None, y)
        backend.synchronize()
        now = time.perf_counter()
        taken.append(now - before)
        before = now
    return 2 * float(_SIZE) ** 3 / median(taken)
