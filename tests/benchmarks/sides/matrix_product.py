"""One product of two large matrices in single precision, by NumPy's BLAS: the machine's yardstick."""

from __future__ import annotations

from typing import Any

import numpy as np
import threadpoolctl

__all__ = ["Side"]


class Side:
    """2048 x 2048, in ``threads`` threads of BLAS."""

    def __init__(self, threads: int) -> None:
        self.limit = threadpoolctl.threadpool_limits(threads, user_api="blas")
        rng = np.random.default_rng(1)
        self.a, self.b = (rng.standard_normal((2048, 2048), np.float32) for _ in range(2))
        self.c = np.empty_like(self.a)
        self.facts: dict[str, Any] = {}

    def step(self) -> None:
        """One product."""
        np.matmul(self.a, self.b, out=self.c)
