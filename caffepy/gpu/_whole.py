"""A record, on the device, of whole numbers that cannot be used, such as labels that are no class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cupy
import numpy as np

from caffepy.backend import Array
from caffepy.labels import BadLabel

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["BadNumber"]

_NONE = np.iinfo(np.uint64).max


class BadNumber:
    """The bad number with the least place among all passes since `fetch` was last asked (_whole.cuh's ``note_bad``).

    So a bad label shows even where the host looks only every so many passes.

    Attributes:
        record: one element, uint64; kernels write it.
    """

    def __init__(self, gpu: GpuBackend) -> None:
        self.record: Array = gpu.zeros((1,), np.uint64)
        self.record.fill(_NONE)

    def fetch(self) -> tuple[int, float] | None:
        """Its place and its value, to float's precision; None if there was none. Waits for the device."""
        found = cupy.asnumpy(self.record)
        if found[0] == _NONE:
            return None
        self.record.fill(_NONE)
        place, bits = divmod(int(found[0]), 1 << 32)
        return place, float(np.uint32(bits).view(np.float32))

    def label(self, positions: int, classes: int) -> BadLabel | None:
        """`fetch` for labels (samples, ``positions``)."""
        bad = self.fetch()
        return bad and BadLabel(bad[1], *divmod(bad[0], max(positions, 1)), positions, classes)
