"""The text log of a run, in the shape that Caffe's glog gives it and that Caffe's log tools read.

::

    I1124 03:03:26.123456 12345 solver.cpp:218] Iteration 100 (25.1 iter/s, 3.98s/100 iters), loss = 0.25

The place after the process number is Caffe's own for lines that Caffe prints, and ours for others.
"""

from __future__ import annotations

import logging
import os
from datetime import datetime
from typing import TYPE_CHECKING, Final

from caffepy.solver.observer import Display, End, Iteration, Observer, Output, Snapshot, TestResult

if TYPE_CHECKING:
    from caffepy.solver.solver import Solver

__all__ = ["RUN", "GlogFormatter", "Log", "least_level", "loss_term"]

RUN: Final = "caffepy.run"
"""Name of the logger that gets Caffe's lines, below "caffepy", so that a display can leave them out."""

_log = logging.getLogger(RUN)


_LEVELS = (logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)


def least_level(number: int | None = None) -> int:
    """The level of `logging` below which nothing is written, by glog's number for it.

    Args:
        number: 0 all, 1 warnings, 2 errors, 3 nothing but what ends a run; the environment's GLOG_minloglevel unless
            given.
    """
    if number is None:
        given = os.environ.get("GLOG_minloglevel", "")  # noqa: SIM112 - its name is glog's
        number = int(given) if given.isdecimal() else 0
    return _LEVELS[min(max(number, 0), 3)]


class GlogFormatter(logging.Formatter):
    """One line of glog for each line of a record: level, month and day, time, process, place, text."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        letter = "E" if record.levelno >= logging.ERROR else "W" if record.levelno >= logging.WARNING else "I"
        when = datetime.fromtimestamp(record.created)
        place = getattr(record, "place", None) or f"{record.filename}:{record.lineno}"
        head = f"{letter}{when:%m%d %H:%M:%S.%f} {record.process or 0:5d} {place}] "
        return "\n".join(head + line for line in text.split("\n"))


class Log(Observer):
    """Logs what Caffe logs of a run (src/caffe/solver.cpp, sgd_solver.cpp), in its words."""

    # Steps by hand do not begin a run, and so do not say.
    _every = 0
    _hdf5 = False

    def on_begin(self, solver: Solver) -> None:
        self._every = solver.param.display
        self._hdf5 = solver.param.snapshot_format == solver.param.HDF5
        _say("solver.cpp:272", f"Solving {solver.net.name}")
        _say("solver.cpp:273", f"Learning Rate Policy: {solver.param.lr_policy}")

    def on_display(self, event: Display) -> None:
        per_second = event.iterations / event.seconds if event.seconds > 0 else 0.0
        speed = f"{per_second:g} iter/s, {event.seconds:g}s/{self._every or event.iterations} iters"
        _say("solver.cpp:218", f"Iteration {event.iter} ({speed}), loss = {event.loss:g}")
        for i, output in enumerate(event.outputs):
            _say("solver.cpp:237", f"    Train net output #{i}: {output.name} = {output.value:g}{loss_term(output)}")
        _say("sgd_solver.cpp:105", f"Iteration {event.iter}, lr = {event.rate:g}")
        if event.iterations:
            _say(None, f"    Waited for data: {100 * event.wait:.1f} %")

    def on_test_begin(self, iteration: int, net: int) -> None:
        _say("solver.cpp:330", f"Iteration {iteration}, Testing net (#{net})")

    def on_test(self, event: TestResult) -> None:
        if event.loss is not None:
            _say("solver.cpp:393", f"Test loss: {event.loss:g}")
        for i, output in enumerate(event.outputs):
            _say("solver.cpp:397", f"    Test net output #{i}: {output.name} = {output.value:g}{loss_term(output)}")

    def on_snapshot(self, event: Snapshot) -> None:
        kind = "HDF5" if self._hdf5 or event.model.endswith(".h5") else "binary proto"
        _say("solver.cpp:447", f"Snapshotting to {kind} file {event.model}")
        _say("sgd_solver.cpp:273", f"Snapshotting solver state to {kind} file {event.state}")

    def on_last_loss(self, event: Iteration) -> None:
        _say("solver.cpp:310", f"Iteration {event.iter}, loss = {event.loss:g}")

    def on_end(self, event: End) -> None:
        if event.early:
            _say("solver.cpp:295", "Optimization stopped early.")
        else:
            _say("solver.cpp:315", "Optimization Done.")


def loss_term(output: Output) -> str:
    """`` (* 1 = 0.25 loss)`` for an output that is part of the loss, else nothing."""
    return f" (* {output.weight:g} = {output.weight * output.value:g} loss)" if output.weight else ""


def _say(place: str | None, text: str) -> None:
    _log.info("%s", text, extra={"place": place}, stacklevel=2)
