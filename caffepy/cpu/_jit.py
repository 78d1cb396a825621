"""How kernels of this folder are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

from caffepy.cpu._compiling import announce_compiling

__all__ = ["exact_kernel", "kernel"]

F = TypeVar("F", bound=Callable[..., Any])

announce_compiling()


def kernel(function: F) -> F:
    """Compile for this very CPU at first use and keep the result on disk; runs without the GIL.

    Sums may be reordered and multiply-adds contracted, which is what lets loops use the vector units. NaN and infinity
    keep their meaning: a diverged run must show.
    """
    compiled = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})(
        function
    )
    return cast(F, compiled)


def exact_kernel(function: F) -> F:
    """As `kernel`, for numbers that have to be the same on every machine: nothing is reordered or contracted."""
    return cast(F, numba.njit(nogil=True, cache=True, error_model="numpy")(function))
