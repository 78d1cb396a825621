"""Work that is the same in each pass, recorded as CUDA graphs and then started by one call."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cupy

from caffepy.backend import Counter, Recorder
from caffepy.gpu._numbers import known_counter

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["GraphRecorder"]

_log = logging.getLogger("caffepy")


@dataclass
class _Recording:
    """Of one piece of work: how often it ran, its graph, and the checks that its steps asked for."""

    runs: int = 0
    graph: Any = None
    checks: list[Callable[[], None]] = field(default_factory=list)
    #: Scratch memory that the graph writes to: another net may make the backend take a larger one.
    held: tuple[Any, ...] = ()


class GraphRecorder(Recorder):
    """Runs work as it is the first two times, records it the third, and from then on launches what was recorded.

    In the first run ops plan and kernels are loaded. From the second on, arrays that the work makes and drops come from
    a pool of the recorder's own: a graph writes to the same places each time, so nobody else may get them.

    Args:
        backend: whose work it is.
        counter: of the net whose passes these are.
    """

    def __init__(self, backend: GpuBackend, counter: Counter) -> None:
        self._backend, self._counter = backend, counter
        self._why_not = ""
        self.reset()

    def reset(self) -> None:
        self._recordings: defaultdict[str, _Recording] = defaultdict(_Recording)
        self._pool = cupy.cuda.MemoryPool()

    def run(self, name: str, steps: Sequence[Callable[[], None]], passes: int = 0) -> None:
        on_device = known_counter(self._counter)
        if on_device is not None:
            on_device.refresh(self._counter.value)
        recording = self._recordings[name]
        recording.runs += 1
        if self._why_not or recording.runs == 1:
            _each(steps)
        elif recording.runs == 2:
            with cupy.cuda.using_allocator(self._pool.malloc):
                _each(steps)
        elif recording.graph is None and not self._record(recording, name, steps, passes):
            _each(steps)
        else:
            self._launch(recording, passes)
        self._counter.value += passes

    def _launch(self, recording: _Recording, passes: int) -> None:
        recording.graph.launch(cupy.cuda.get_current_stream())
        on_device = known_counter(self._counter)
        if on_device is not None:
            on_device.stepped(passes)
        for check in recording.checks:
            self._backend.defer(check)

    def _record(self, recording: _Recording, name: str, steps: Sequence[Callable[[], None]], passes: int) -> bool:
        """Record it, which starts nothing; False if something in it cannot be recorded."""
        stream = cupy.cuda.Stream(non_blocking=True)
        with self._backend.noting_checks() as recording.checks, cupy.cuda.using_allocator(self._pool.malloc), stream:
            stream.begin_capture()
            try:
                _each(steps)
                on_device = known_counter(self._counter)
                if passes and on_device is not None:
                    on_device.record_step(passes)
            except Exception as error:
                self._why_not = f"{type(error).__name__}: {error}"
            try:
                recording.graph = stream.end_capture()
            except cupy.cuda.runtime.CUDARuntimeError as error:
                self._why_not = self._why_not or str(error)
        if self._why_not:
            recording.graph = None
            _log.info("Not recorded as a CUDA graph, but started kernel by kernel (%s): %s", name, self._why_not)
            return False
        half = self._backend.half
        recording.held = (self._backend.arena, half.arena if isinstance(half, type(self._backend)) else None)
        recording.graph.upload(cupy.cuda.get_current_stream())
        _log.info("Recorded as a CUDA graph: %s.", name)
        return True


def _each(steps: Sequence[Callable[[], None]]) -> None:
    for step in steps:
        step()
