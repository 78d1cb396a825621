"""The same calls on two backends."""

from __future__ import annotations

import numpy as np

__all__ = ["both", "on"]


def on(backend, values, dtype=None):
    """``values`` on the backend, in memory of their own: what changes them in place changes nothing else."""
    return backend.asarray(np.array(values), dtype)


def both(run, *backends):
    """What ``run(backend)``, a tuple of arrays, gives on each, as NumPy arrays."""
    return [[np.array(backend.to_host(array)) for array in run(backend)] for backend in backends]
