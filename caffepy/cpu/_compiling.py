"""Says that kernels are being compiled, which a first run on a machine waits for, and how far that is."""

from __future__ import annotations

import logging
import time

from numba.core import event

__all__ = ["announce_compiling"]

_log = logging.getLogger("caffepy")

# Kernels that compile sooner than this, in seconds, are not worth a line; nor are more lines than one in so many.
_SHORT = 1.0
_PAUSE = 10.0


class _Announcer(event.Listener):
    """Told by numba, one kernel at a time, of those that are not on disk yet; a kernel may need others."""

    def __init__(self) -> None:
        self._depth = self._count = 0
        self._seconds = self._began = self._told = 0.0

    def on_start(self, event: event.Event) -> None:
        now = time.perf_counter()
        if self._depth == 0:
            self._began = now
        self._depth += 1
        seconds = self._seconds + now - self._began
        if self._told == 0.0 and seconds >= _SHORT:
            _log.info("Compiling kernels for this processor; that may take a minute, once: they are kept on disk.")
            self._told = now
        elif self._told and now - self._told >= _PAUSE:
            _log.info("Compiled %d kernels in %.0f s; the next is under way.", self._count, seconds)
            self._told = now

    def on_end(self, event: event.Event) -> None:
        self._depth -= 1
        self._count += 1
        if self._depth == 0:
            self._seconds += time.perf_counter() - self._began


def announce_compiling() -> None:
    """From now on."""
    event.register("numba:compile", _Announcer())  # type: ignore[no-untyped-call]
