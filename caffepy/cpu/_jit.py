"""How kernels of this folder are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

__all__ = ["kernel"]

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile for this very CPU at first use and keep the result on disk; runs without the GIL.

    Sums may be reordered and multiply-adds contracted, which is what lets loops use the vector units. NaN and infinity
    keep their meaning: a diverged run must show.
    """
    compiled = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})(
        function
    )
    return cast(F, compiled)
