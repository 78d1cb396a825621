"""``metrics.jsonl``: the figures of a run, one JSON object a line, for programs.

::

    {"kind": "train", "iter": 100, "loss": 0.25, "lr": 0.01, "outputs": {"loss": 0.25}, "iter_per_s": 25.1, "wait": 0.0}
    {"kind": "test", "iter": 100, "net": 0, "loss": 0.21, "outputs": {"accuracy": 0.97, "loss": 0.21}, "seconds": 1.5}

"train" is written at each ``display``, "test" after each run of a test net; its ``loss`` is the weighted sum of the
outputs that are losses, null where there is none. An output of several values is a list. NaN and infinity are null.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from caffepy.proto.files import atomic_write, remove_abandoned
from caffepy.solver.observer import Display, End, Observer, Output, TestResult

if TYPE_CHECKING:
    from caffepy.solver.solver import Solver

__all__ = ["Metrics", "loss_of_test", "metrics_in", "read_metrics"]


class Metrics(Observer):
    """Writes ``path``; every line is flushed, and synced to the disk at tests.

    A run that goes on from a snapshot keeps the lines before its iteration and drops those after, which the run that
    was cut off had still written: the file is that of a run that was never interrupted. A run that starts anew moves
    the file of an earlier one to ``metrics.jsonl.old``.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file: IO[str] | None = None

    def on_begin(self, solver: Solver) -> None:
        self.close()
        remove_abandoned(self.path.parent, self.path.name)
        if self.path.exists() and solver.iter:
            _cut(self.path, solver.iter)
        elif self.path.exists():
            os.replace(self.path, self.path.with_name(f"{self.path.name}.old"))
        self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115

    def on_display(self, event: Display) -> None:
        self._write(
            kind="train",
            iter=event.iter,
            loss=event.loss,
            lr=event.rate,
            outputs=_by_name(event.outputs),
            iter_per_s=event.iterations / event.seconds if event.seconds > 0 else 0.0,
            wait=event.wait,
        )

    def on_test(self, event: TestResult) -> None:
        self._write(
            kind="test",
            iter=event.iter,
            net=event.net,
            loss=loss_of_test(event),
            outputs=_by_name(event.outputs),
            seconds=event.seconds,
        )
        self._sync()

    def on_end(self, event: End) -> None:
        self.close()

    def close(self) -> None:
        """Sync and close the file; the next run opens it again."""
        if self._file is not None:
            self._sync()
            self._file.close()
            self._file = None

    def _write(self, **record: Any) -> None:
        if self._file is not None:
            self._file.write(json.dumps(_finite(record), allow_nan=False) + "\n")
            self._file.flush()

    def _sync(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())


def read_metrics(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """The records of a ``metrics.jsonl``; a line that is not whole (a run killed while it wrote) is passed over."""
    with open(path, encoding="utf-8", errors="replace") as file:
        yield from metrics_in(file)


def metrics_in(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The records in the lines of a ``metrics.jsonl``, as `read_metrics` gives them."""
    for line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and isinstance(record.get("iter"), int):
            yield record


def loss_of_test(event: TestResult) -> float | None:
    """The loss of a test: the weighted sum of the outputs that are losses; None if there is none."""
    if event.loss is not None:
        return event.loss
    losses = [output.weight * output.value for output in event.outputs if output.weight]
    return sum(losses) if losses else None


def _cut(path: Path, iteration: int) -> None:
    kept = [record for record in read_metrics(path) if record["iter"] < iteration]
    with atomic_write(path) as file:
        file.writelines((json.dumps(record) + "\n").encode() for record in kept)


def _by_name(outputs: list[Output]) -> dict[str, float | list[float]]:
    values: dict[str, list[float]] = {}
    for output in outputs:
        values.setdefault(output.name, []).append(output.value)
    return {name: some[0] if len(some) == 1 else some for name, some in values.items()}


def _finite(value: Any) -> Any:
    """``value`` with null for what JSON has no number for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    return value
