"""What SIGINT, SIGTERM and SIGHUP do to a run (Caffe's src/caffe/util/signal_handler.cpp, and its flags)."""

from __future__ import annotations

import logging
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from caffepy.monitor.log import RUN
from caffepy.solver.observer import End, Iteration, Observer

if TYPE_CHECKING:
    from caffepy.solver.solver import Solver

__all__ = ["Signals"]

_log = logging.getLogger(RUN)


class Signals(Observer):
    """While entered, turns signals into requests to the solver that it observes; the handlers before come back after.

    Before the solver runs, "stop" ends the process as it would without. A second SIGINT while a stop is under way
    raises KeyboardInterrupt at once.

    Args:
        sigint, sighup: "stop" (after the iteration, with a snapshot), "snapshot" (and go on) or "none" (ignored).
            SIGTERM always stops.
        terminal: answer each signal at once on stderr; the log has it after the iteration in any case.
    """

    def __init__(self, sigint: str, sighup: str, terminal: bool = False) -> None:
        self._effects = {signal.SIGINT: sigint, signal.SIGTERM: "stop"}
        if hasattr(signal, "SIGHUP"):
            self._effects[signal.SIGHUP] = sighup
        self._terminal = terminal
        self._solver: Solver | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._notes: list[str] = []
        #: Whether a signal has asked the run to stop.
        self.stopping = False

    def on_begin(self, solver: Solver) -> None:
        self._solver = solver

    def on_iteration(self, event: Iteration) -> None:
        self._tell()

    def on_end(self, event: End) -> None:
        # A stop in the middle of a test ends the run without another iteration.
        self._tell()

    def _tell(self) -> None:
        while self._notes:
            _log.info("%s", self._notes.pop(0))

    def __enter__(self) -> Signals:
        # Python lets only the main thread set handlers; a run in another one goes without.
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in self._effects}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        which = signal.Signals(number)
        effect = self._effects[which]
        if effect == "none":
            return
        if self._solver is None:
            if effect == "stop":
                _end(which)
        elif effect == "snapshot":
            self._note(f"{which.name}: snapshot after this iteration.")
            self._solver.request_snapshot()
        elif self.stopping and which == signal.SIGINT:
            _end(which)
        else:
            again = " Once more ends at once, without a snapshot." if which == signal.SIGINT else ""
            self._note(f"{which.name}: stop after this iteration.{again}")
            self.stopping = True
            self._solver.request_stop()

    def _note(self, text: str) -> None:
        self._notes.append(text)
        if self._terminal:
            # Not through print or logging: the signal may have come in the middle of either.
            os.write(2, f"\r\x1b[K{text}\n".encode())


def _end(which: signal.Signals) -> None:
    if which == signal.SIGINT:
        raise KeyboardInterrupt
    signal.signal(which, signal.SIG_DFL)
    os.kill(os.getpid(), which)
