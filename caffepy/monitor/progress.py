"""One line on a terminal that says where a run is; tests, snapshots and the end stay above it as lines."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from caffepy.monitor.metrics import loss_of_test
from caffepy.solver.observer import End, Iteration, Observer, Snapshot, TestResult

if TYPE_CHECKING:
    from caffepy.solver.solver import Solver

__all__ = ["Progress", "duration"]

#: Redrawn at most this often, in seconds.
_PAUSE = 0.1
#: Speed and share of waiting are of about this many last seconds.
_RECENT = 20.0
#: Losses that the shown one is the mean of, where average_loss asks for no more.
_LOSSES = 20


class Progress(Observer):
    """Iteration, loss, rate, images per second, share of time that waited for data, time left; redrawn in place.

    A context manager: leaving it gives the terminal back, whatever ended the run.

    Args:
        console: the terminal.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live: Live | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def on_begin(self, solver: Solver) -> None:
        self._solver = solver
        self._losses: deque[float] = deque(maxlen=max(solver.param.average_loss, _LOSSES))
        #: (time without tests, iterations done, seconds waited), oldest first.
        self._marks: deque[tuple[float, int, float]] = deque()
        self._testing = ""
        self._in_tests = self._test_seconds = 0.0
        self._drawn_at = 0.0
        self._images = _images(solver)
        self._mark(solver.iter)
        self._live = Live(console=self.console, auto_refresh=False, transient=True)
        self._live.start()
        self._draw(solver.iter)

    def on_iteration(self, event: Iteration) -> None:
        self._losses.append(event.loss)
        self._testing = ""
        now = time.perf_counter()
        if now - self._drawn_at >= _PAUSE:
            self._mark(event.iter + 1)
            self._draw(event.iter + 1)

    def on_test_begin(self, iteration: int, net: int) -> None:
        self._testing = f"testing net {net}" if len(self._solver.test_nets) > 1 else "testing"
        self._draw(iteration)

    def on_test(self, event: TestResult) -> None:
        self._in_tests += event.seconds
        self._test_seconds = event.seconds
        which = f" net {event.net}" if len(self._solver.test_nets) > 1 else ""
        parts = [f"{output.name} {output.value:.4g}" for output in event.outputs if not output.weight]
        loss = loss_of_test(event)
        parts += [f"loss {loss:.4g}"] if loss is not None else []
        self.console.print(
            Text.assemble(
                f"iteration {event.iter:,}  test{which}: ", (", ".join(parts), "bold"), f"  ({duration(event.seconds)})"
            )
        )

    def on_snapshot(self, event: Snapshot) -> None:
        self.console.print(Text(f"iteration {event.iter:,}  snapshot: {event.model}", "dim"), soft_wrap=True)

    def on_end(self, event: End) -> None:
        self._close()
        self.console.print(
            f"Stopped early at iteration {event.iter:,}." if event.early else f"Done: {event.iter:,} iterations."
        )

    def _close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _mark(self, done: int) -> None:
        waited = self._solver.net.wait_seconds
        now = time.perf_counter() - self._in_tests
        self._marks.append((now, done, waited))
        while len(self._marks) > 2 and now - self._marks[1][0] > _RECENT:
            self._marks.popleft()

    def _draw(self, done: int) -> None:
        if self._live is None:
            return
        self._drawn_at = time.perf_counter()
        last = self._solver.param.max_iter
        grid = Table.grid(padding=(0, 2))
        grid.add_row(
            Text(self._solver.net.name, "bold"),
            ProgressBar(total=max(last, 1), completed=done, width=20),
            Text("  ".join([f"{done:,}/{last:,}", *self._figures(done)]), no_wrap=True, overflow="ellipsis"),
        )
        self._live.update(grid, refresh=True)

    def _figures(self, done: int) -> list[str]:
        figures = [f"loss {sum(self._losses) / len(self._losses):.4g}"] if self._losses else []
        figures.append(f"lr {self._solver.rate:.3g}")
        (began, first, waited), (now, last, waited_now) = self._marks[0], self._marks[-1]
        if last > first and now > began:
            rate = (last - first) / (now - began)
            speed = f"{rate * self._images:,.0f} images/s" if self._images else f"{rate:.3g} iterations/s"
            figures += [speed, f"waits {100 * (waited_now - waited) / (now - began):.1f} %"]
            figures.append(f"{duration(self._left(done, rate))} left")
        return [*figures, self._testing] if self._testing else figures

    def _left(self, done: int, rate: float) -> float:
        param = self._solver.param
        left = max(param.max_iter - done, 0)
        tests = left // param.test_interval * len(self._solver.test_nets) if param.test_interval else 0
        return left / rate + tests * self._test_seconds


def _images(solver: Solver) -> int:
    """Images that one iteration learns from: the batch of the first layer that reads nothing, times iter_size."""
    for entry in solver.net.entries:
        if not entry.bottom and entry.top and entry.top[0].shape:
            return int(entry.top[0].shape[0] * solver.param.iter_size)
    return 0


def duration(seconds: float) -> str:
    """``1.2 s``, ``0:45``, ``2:03:00`` or ``3 d 04:00``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} d {hour:02d}:{minute:02d}"
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
