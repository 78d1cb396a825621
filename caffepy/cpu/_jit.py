"""How kernels of this folder are compiled."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba.core.dispatcher import Dispatcher

from caffepy.cpu._cache import KernelCache
from caffepy.cpu._compiling import announce_compiling

__all__ = ["exact_kernel", "kernel"]

_log = logging.getLogger("caffepy")

F = TypeVar("F", bound=Callable[..., Any])

announce_compiling()


def kernel(function: F) -> F:
    """Compile for this very CPU at first use and keep the result on disk; runs without the GIL.

    Sums may be reordered and multiply-adds contracted, which is what lets loops use the vector units. NaN and infinity
    keep their meaning: a diverged run must show.
    """
    return _compiled(function, fastmath={"reassoc", "contract", "nsz", "arcp"})


def exact_kernel(function: F) -> F:
    """As `kernel`, for numbers that have to be the same on every machine: nothing is reordered or contracted."""
    return _compiled(function)


def _compiled(function: F, **options: Any) -> F:
    compiled = numba.njit(nogil=True, error_model="numpy", **options)(function)
    # NUMBA_DISABLE_JIT leaves the function as it is.
    if isinstance(compiled, Dispatcher):
        _keep(compiled)
    return cast(F, compiled)


def _keep(compiled: Dispatcher) -> None:
    """What ``cache=True`` does, with another cache."""
    try:
        compiled._cache = KernelCache(compiled.py_func)  # type: ignore[attr-defined, no-untyped-call]
    except RuntimeError:
        _tell_of_no_cache()


@functools.cache
def _tell_of_no_cache() -> None:
    _log.warning(
        "Kernels are compiled anew in each run: there is no folder to keep them in that can be written "
        "(NUMBA_CACHE_DIR names one), or there are no sources beside the bytecode."
    )
