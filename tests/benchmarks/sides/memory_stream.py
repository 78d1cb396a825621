"""Adding two long vectors in all threads: how fast the machine's memory is."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

__all__ = ["Side"]

_COUNT = 1 << 25


class Side:
    """``c = a + b`` of 32 Mi floats each, the loop shared by ``threads``; NumPy lets the others run meanwhile."""

    def __init__(self, threads: int) -> None:
        a, b, c = (np.ones(_COUNT, np.float32) for _ in range(3))
        bounds = [_COUNT * part // threads for part in range(threads + 1)]
        self.parts_of = [tuple(array[begin:end] for array in (a, b, c)) for begin, end in itertools.pairwise(bounds)]
        self.pool = ThreadPoolExecutor(threads)
        self.facts: dict[str, Any] = {"bytes": 3 * a.nbytes}

    def step(self) -> None:
        """Once through."""
        list(self.pool.map(lambda part: np.add(part[0], part[1], out=part[2]), self.parts_of))
