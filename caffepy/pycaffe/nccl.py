"""pycaffe's NCCL, which trains on several GPUs; caffepy trains on one."""

from __future__ import annotations

from typing import NoReturn

from caffepy.errors import BackendError

__all__ = ["NCCL"]


class NCCL:
    """Averages gradients between the solvers of several GPUs.

    Raises:
        BackendError: always, as `has_nccl` says: a run is on one device.
    """

    def __init__(self, solver: object, uid: str) -> None:
        _refuse()

    @staticmethod
    def new_uid() -> str:
        """The name by which solvers find each other."""
        return _refuse()

    def bcast(self) -> None:
        """Give all solvers the weights of the first."""
        _refuse()


def _refuse() -> NoReturn:
    raise BackendError(
        "NCCL trains on several GPUs, and this release of caffepy trains on one device, as caffepy.has_nccl() "
        "says. Train with one solver, without NCCL."
    )
