"""pycaffe's Timer."""

from __future__ import annotations

import time

__all__ = ["Timer"]


class Timer:
    """A stopwatch: ``start``, ``stop``, and then ``ms``, the milliseconds between; while it runs, those until now."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._seconds = 0.0

    def start(self) -> None:
        """Begin to count from zero."""
        self._began = time.perf_counter()

    def stop(self) -> None:
        """Stop; without a start nothing happens."""
        if self._began is not None:
            self._seconds = time.perf_counter() - self._began
            self._began = None

    @property
    def ms(self) -> float:
        """Milliseconds."""
        return 1000 * (self._seconds if self._began is None else time.perf_counter() - self._began)
