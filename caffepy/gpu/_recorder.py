"""Work that is the same in each pass, recorded as a CUDA graph and then started by one call."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import cupy

from caffepy.backend import Counter, Recorder
from caffepy.gpu._numbers import refresh_counter

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["GraphRecorder"]

_log = logging.getLogger("caffepy")


class GraphRecorder(Recorder):
    """Runs work as it is the first two times, records it the third, and from then on launches what was recorded.

    In the first run ops plan and kernels are loaded. From the second on, arrays that the work makes and drops come from
    a pool of the recorder's own: a graph writes to the same places each time, so nobody else may get them.

    Args:
        backend: whose work it is.
        counter: of the net whose pass this is.
    """

    def __init__(self, backend: GpuBackend, counter: Counter) -> None:
        self._backend, self._counter = backend, counter
        self._why_not = ""
        self.reset()

    def reset(self) -> None:
        self._runs = 0
        self._graph: Any = None
        self._checks: list[Callable[[], None]] = []
        # Scratch memory that the graph writes to: another net may make the backend take a larger one.
        self._held: Any = None
        self._pool = cupy.cuda.MemoryPool()

    def run(self, work: Callable[[], None]) -> None:
        refresh_counter(self._counter)
        self._runs += 1
        if self._why_not or self._runs == 1:
            work()
        elif self._runs == 2:
            with cupy.cuda.using_allocator(self._pool.malloc):
                work()
        elif self._graph is None and not self._record(work):
            work()
        else:
            self._launch()

    def _launch(self) -> None:
        self._graph.launch(cupy.cuda.get_current_stream())
        for check in self._checks:
            self._backend.defer(check)

    def _record(self, work: Callable[[], None]) -> bool:
        """Record it, which starts nothing; False if something in it cannot be recorded."""
        stream = cupy.cuda.Stream(non_blocking=True)
        with self._backend.noting_checks() as self._checks, cupy.cuda.using_allocator(self._pool.malloc), stream:
            stream.begin_capture()
            try:
                work()
            except Exception as error:
                self._why_not = f"{type(error).__name__}: {error}"
            try:
                self._graph = stream.end_capture()
            except cupy.cuda.runtime.CUDARuntimeError as error:
                self._why_not = self._why_not or str(error)
        if self._why_not:
            self._graph = None
            _log.info("The pass is not recorded as a CUDA graph, but started kernel by kernel: %s", self._why_not)
            return False
        half = self._backend.half
        self._held = [self._backend.arena, half.arena if isinstance(half, type(self._backend)) else None]
        self._graph.upload(cupy.cuda.get_current_stream())
        _log.info("The pass is recorded as a CUDA graph.")
        return True
