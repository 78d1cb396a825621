"""The process of one side of a benchmark: makes it, then computes whenever it is its turn.

    python -m tests.benchmarks.worker MODULE SETTINGS

Reads seconds from stdin, a line for each turn; writes a line of JSON: first the side's facts, then what each turn took.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import statistics
import sys
import time
from typing import Any, TextIO

__all__ = ["peak_memory", "run_turn", "serve"]

# A turn of shorter steps begins with one that does not count, as the other sides have emptied the caches.
_SHORT = 0.2


def run_turn(side: Any, seconds: float, last: float) -> dict[str, Any]:
    """Steps of ``side`` for ``seconds``, at least one; ``last`` is what a step took before."""
    if last < _SHORT:
        side.step()
    walls: list[float] = []
    cpus: list[float] = []
    began = time.perf_counter()
    while not walls or time.perf_counter() - began < seconds:
        wall, cpu = time.perf_counter(), _cpu()
        own = side.step()
        passed, worked = time.perf_counter() - wall, _cpu() - cpu
        # A side may know better which part of its time counts; the same part then does of the threads' work.
        walls.append(passed if own is None else own)
        cpus.append(worked if own is None else worked * own / passed)
    parts = side.parts() if hasattr(side, "parts") else {}
    return {"wall": statistics.median(walls), "cpu": statistics.median(cpus), "peak": peak_memory(), "parts": parts}


def _cpu() -> float:
    """Seconds that this process and those that it started and waited for have worked."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def peak_memory(whose: int = resource.RUSAGE_SELF) -> int:
    """The largest resident memory so far, in bytes; ``RUSAGE_CHILDREN``: of the processes that ended."""
    peak = resource.getrusage(whose).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


def serve(name: str, settings: dict[str, Any], turns: TextIO, answers: TextIO) -> None:
    """Make the side and answer each line of ``turns``."""

    def answer(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    try:
        side = importlib.import_module(f"tests.benchmarks.sides.{name}").Side(**settings)
        answer(side.facts)
        last = 0.0
        for line in turns:
            told = run_turn(side, float(line), last)
            last = told["wall"]
            answer(told)
    except Exception as error:
        answer({"error": f"{type(error).__name__}: {error}"})
        raise


if __name__ == "__main__":
    # What libraries print goes to stderr: stdout is for answers.
    stdout = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(sys.argv[1], json.loads(sys.argv[2]), sys.stdin, stdout)
