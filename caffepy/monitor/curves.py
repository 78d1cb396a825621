"""``curves.png``: how loss, accuracy and rate went, redrawn at tests and snapshots and at the end of the run."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caffepy.monitor.curve_picture import History, draw
from caffepy.monitor.metrics import loss_of_test, read_metrics
from caffepy.proto.files import remove_abandoned
from caffepy.solver.observer import Display, End, Observer, Snapshot, TestResult

if TYPE_CHECKING:
    from caffepy.solver.solver import Solver

__all__ = ["Curves"]

_log = logging.getLogger("caffepy")


def _load_matplotlib() -> None:
    # Without a home folder it says so at length; the picture is the same.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    # What is wrong with it is told where it is used.
    with contextlib.suppress(Exception):
        import matplotlib.backends.backend_agg
        import matplotlib.figure  # noqa: F401


class Curves(Observer):
    """Draws ``path``. A picture that cannot be drawn is a warning, once, and never the end of a run.

    Args:
        path: the PNG file.
        metrics: the `Metrics` file of the run, read when it is resumed: stands before this observer.
    """

    def __init__(self, path: str | os.PathLike[str], metrics: str | os.PathLike[str] | None = None) -> None:
        self.path = Path(path)
        self.metrics = metrics
        self.history = History()
        self._failed = False
        self._drawn_at = self._took = 0.0

    def on_begin(self, solver: Solver) -> None:
        self._title = solver.net.name or "unnamed net"
        self._max_iter = solver.param.max_iter
        self._several = len(solver.test_nets) > 1
        self._accuracy_names = [
            {name for entry in net.entries if entry.layer.type == "Accuracy" for name in entry.top_names[:1]}
            for net in solver.test_nets
        ]
        self.history = History()
        # The next picture may be hours away.
        remove_abandoned(self.path.parent, self.path.name)
        self._importing: threading.Thread | None = None
        if importlib.util.find_spec("matplotlib") is None:
            self._warn(ModuleNotFoundError("No module named 'matplotlib'"))
        if solver.iter and self.metrics is not None and Path(self.metrics).exists():
            for record in read_metrics(self.metrics):
                self._add(record)

    def _import_matplotlib(self) -> None:
        """After the first iteration, which should not wait for it, and beside the next: it takes half a second."""
        if self._importing is None:
            self._importing = threading.Thread(target=_load_matplotlib, name="caffepy-curves")
            self._importing.start()

    def _add(self, record: dict[str, Any]) -> None:
        """A line of the metrics file."""
        loss = record.get("loss")
        number = float("nan") if loss is None else float(loss)
        if record.get("kind") == "train":
            self.history.add_train(record["iter"], number, float(record.get("lr") or "nan"))
        elif record.get("kind") == "test":
            self._add_test(record["iter"], record.get("net", 0), loss, record.get("outputs", {}))

    def _add_test(self, iteration: int, net: int, loss: float | None, outputs: dict[str, Any]) -> None:
        names = self._accuracy_names[net] if net < len(self._accuracy_names) else set()
        label = f" (test net {net})" if self._several else ""
        shown = {f"{name}{label}": value for name, value in outputs.items() if name in names and value is not None}
        self.history.add_test(iteration, net, loss, shown)

    def on_display(self, event: Display) -> None:
        self._import_matplotlib()
        self.history.add_train(event.iter, event.loss, event.rate)

    def on_test(self, event: TestResult) -> None:
        self._add_test(event.iter, event.net, loss_of_test(event), {o.name: o.value for o in event.outputs})
        self._draw_in_between(event.iter)

    def on_snapshot(self, event: Snapshot) -> None:
        # For runs without tests.
        self._draw_in_between(event.iter)

    def _draw_in_between(self, iteration: int) -> None:
        # At each test, unless tests follow so fast that drawing would take more than a twentieth of the run.
        if iteration and time.perf_counter() - self._drawn_at > 20 * self._took:
            self._draw()

    def on_end(self, event: End) -> None:
        self._draw()

    def _draw(self) -> None:
        _load_matplotlib()
        # Later pictures need no import, and how long they take is asked.
        began = time.perf_counter()
        try:
            draw(self.path, self.history, self._title, self._max_iter)
            self._drawn_at = time.perf_counter()
            self._took = self._drawn_at - began
        except Exception as error:
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        if not self._failed:
            _log.warning("%s cannot be drawn (the run goes on): %s: %s", self.path, type(error).__name__, error)
        self._failed = True
