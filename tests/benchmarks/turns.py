"""Several sides of a claim, each in a process of its own, that compute in turn and never at the same time.

A process each, as pools of threads in one process get in each other's way. A turn is one step, or as many as fit in
the seconds given; between turns is a pause, in which the threads that still wait busily for work fall asleep.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["Series", "Side", "SideError", "take_turns"]

ROOT = Path(__file__).parents[2]


class SideError(RuntimeError):
    """A side's process said why it cannot run, or ended."""


@dataclass
class Series:
    """What the turns of one side took: seconds a step that passed (``wall``) and that its threads worked (``cpu``)."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    #: Numbers that the side itself reports in each turn, by name.
    parts: dict[str, list[float]] = field(default_factory=dict)

    def middle(self, clock: str = "wall") -> float:
        """The median."""
        return statistics.median(self.cpu if clock == "cpu" else self.wall)


class Side:
    """A process that runs one module of ``tests/benchmarks/sides``.

    Args:
        module: its name.
        settings: what its class ``Side`` is made with.
        threads: of every pool that it may have.

    Raises:
        SideError: it cannot run.
    """

    def __init__(self, module: str, settings: Mapping[str, Any], threads: int) -> None:
        self.name = module
        # Where torch and OpenCV say more than asked; shown if the process ends.
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with this object)
        variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.worker", module, json.dumps({**settings, "threads": threads})],
            cwd=ROOT, env={**os.environ, **dict.fromkeys(variables, str(threads))}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
        )  # fmt: skip
        try:
            #: What the side says of itself: versions, losses.
            self.facts: dict[str, Any] = self._answer()
        except BaseException:
            self.close()
            raise

    def turn(self, seconds: float) -> dict[str, Any]:
        """Let it compute; gives ``wall`` and ``cpu`` of a step, ``peak`` bytes of memory so far, and ``parts``."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise SideError(f"{self.name} ended with {self._process.wait()}: {self._log.read()[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise SideError(answer["error"])
        return answer

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None and not stream.closed:
                stream.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def __enter__(self) -> Side:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def take_turns(
    sides: Mapping[str, Side], repetitions: int, seconds: float = 0.5, pause: float = 0.2
) -> dict[str, Series]:
    """``repetitions`` turns of each side in rounds; every second round goes backward, so that none is always first."""
    series = {name: Series() for name in sides}
    order: Sequence[str] = list(sides)
    for _ in range(repetitions):
        for name in order:
            time.sleep(pause)
            answer = sides[name].turn(seconds)
            series[name].wall.append(answer["wall"])
            series[name].cpu.append(answer["cpu"])
            for part, value in answer["parts"].items():
                series[name].parts.setdefault(part, []).append(value)
        order = order[::-1]
    return series
