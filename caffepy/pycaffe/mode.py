"""What pycaffe keeps for the whole process: device, seed, and this process's number among several that train together.

Nets and solvers of `caffepy.net` and `caffepy.solver` do not look here: they are told. Those that scripts make through
``caffe.Net`` and ``caffe.SGDSolver`` are made for what was set last.
"""

from __future__ import annotations

import os

from caffepy.backend import Backend
from caffepy.devices import get_backend
from caffepy.errors import BackendError
from caffepy.random import Stream

__all__ = [
    "backend",
    "has_nccl",
    "net_seed",
    "seed_is_set",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
]

#: Whether nets may run Python layers of modules that only the prototxt names.
allow_python_layers = False

_gpu = False
_device = 0
_seed: int | None = None
_seeded = 0
_count = 1
_rank = 0
_multiprocess = False


def set_mode_cpu() -> None:
    """Make nets from now on for the CPU, which is so from the start."""
    global _gpu
    _gpu = False


def set_mode_gpu() -> None:
    """Make nets from now on for the GPU of `set_device`.

    Raises:
        BackendError: there is none.
    """
    global _gpu
    _on_gpu(_device)
    _gpu = True


def set_device(device_id: int) -> None:
    """Choose the GPU, by its number, for nets from now on; it counts in the mode of `set_mode_gpu`.

    Raises:
        BackendError: no such GPU, where that mode is on.
    """
    global _device
    if _gpu:
        _on_gpu(device_id)
    _device = device_id


def _on_gpu(device: int) -> Backend:
    try:
        return get_backend(f"gpu:{device}")
    except BackendError as error:
        raise BackendError(
            f"Cannot use GPU in CPU-only Caffe: check mode. {error} In a script: caffe.set_mode_cpu() in place of "
            "caffe.set_mode_gpu()."
        ) from error


def backend() -> Backend:
    """Where a net that is made now runs."""
    return _on_gpu(_device) if _gpu else get_backend("cpu")


def set_random_seed(seed: int) -> None:
    """Let nets and solvers that are made from now on draw the same numbers in each run of the script.

    The first gets this very seed, those after it others: two nets of one prototxt are filled differently, as in Caffe.
    A solver whose prototxt has a ``random_seed`` keeps to that.
    """
    global _seed, _seeded
    _seed, _seeded = int(seed), 0


def seed_is_set() -> bool:
    """Whether `set_random_seed` was called."""
    return _seed is not None


def net_seed() -> int:
    """The seed of the next net: by `set_random_seed`, or else by chance."""
    global _seeded
    if _seed is None:
        return int.from_bytes(os.urandom(4), "little") >> 1
    _seeded += 1
    return _seed if _seeded == 1 else int(Stream(_seed, "net", _seeded).bits(1)[0]) >> 1


def solver_count() -> int:
    """How many solvers train together, as `set_solver_count` said; 1 unless it did."""
    return _count


def set_solver_count(count: int) -> None:
    """Say how many solvers train together."""
    global _count
    _count = count


def solver_rank() -> int:
    """Which of them this process is, as `set_solver_rank` said."""
    return _rank


def set_solver_rank(rank: int) -> None:
    """Say which of several solvers this process is."""
    global _rank
    _rank = rank


def set_multiprocess(multiprocess: bool) -> None:
    """Say whether the solvers are processes; they always are here."""
    global _multiprocess
    _multiprocess = multiprocess


def has_nccl() -> bool:
    """Whether `NCCL` can be used."""
    return False
