"""Hostile files by the thousand, and what became of them: ``make fuzz``.

``python -m tests.attacks.fuzz [COUNT [FIRST]]`` carries out attacks FIRST to FIRST + COUNT - 1 and all large ones, in
processes of their own, and prints a line for each family; ``--small`` leaves out the large ones. It ends with 1 if any
went wrong; ``python -m tests.attacks.run NUMBER`` does that one again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.attacks.generate import attack

__all__ = ["LARGE_SIZE", "Outcome", "in_batches", "outcomes", "report", "wrong"]

ROOT = Path(__file__).parents[2]
#: Of the large files: layers, lines and so on.
LARGE_SIZE = 1_000_000
#: Numbers that one process does, and processes at a time.
BATCH = 250
PROCESSES = 2


@dataclass(frozen=True)
class Outcome:
    """How one attack ended: refused, accepted, failed or died; ``peak`` is the memory that it took, in bytes."""

    number: int
    ended: str
    note: str
    message: str
    seconds: float
    peak: int

    @property
    def family(self) -> str:
        return self.note.partition(":")[0]


def outcomes(numbers: Sequence[int], module: str = "tests.attacks.run", *arguments: str) -> list[Outcome]:
    """Carry out ``numbers`` in a process; where it dies, note that and go on behind in another one."""
    done: list[Outcome] = []
    while numbers:
        command = [sys.executable, "-m", module, *arguments, *map(str, numbers)]
        # One thread each for BLAS and the ops: threads have stacks, and addresses are limited.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        begun: int | None = None
        for line in run.stdout.splitlines():
            record = json.loads(line)
            begun = record["number"] if "ended" not in record else None
            if "ended" in record:
                done.append(Outcome(**record))
        if begun is None:
            assert run.returncode == 0, run.stderr[-3000:]
            return done
        message = f"the process ended with {run.returncode}: {run.stderr[-2000:]}"
        note = attack(begun).note if module.endswith("run") else module
        done.append(Outcome(begun, "died", note, message, 0.0, 0))
        numbers = numbers[numbers.index(begun) + 1 :]
    return done


def in_batches(numbers: range) -> Iterator[list[Outcome]]:
    """Carry out ``numbers``, some at a time in several processes; in their order."""
    batches = [numbers[begin : begin + BATCH] for begin in range(0, len(numbers), BATCH)]
    with ThreadPoolExecutor(PROCESSES) as pool:
        yield from pool.map(outcomes, batches)


def wrong(results: list[Outcome]) -> list[Outcome]:
    """Those that ended in something else than a CaffepyError or a file that was read."""
    return [outcome for outcome in results if outcome.ended not in ("refused", "accepted")]


def report(results: list[Outcome]) -> str:
    """A table with a line for each family: how its attacks ended, the slowest and the largest with their numbers."""
    families = list(dict.fromkeys(outcome.family for outcome in results))
    rows = [("", "files", "refused", "read", "wrong", "most seconds", "most MiB")]
    for name in [*families, "all"]:
        mine = [outcome for outcome in results if name in (outcome.family, "all")]
        slow, big = max(mine, key=lambda each: each.seconds), max(mine, key=lambda each: each.peak)
        counts = [sum(outcome.ended == ended for outcome in mine) for ended in ("refused", "accepted")]
        rows.append(
            (
                name,
                *(f"{count:,}" for count in [len(mine), *counts, len(wrong(mine))]),
                f"{slow.seconds:.1f} (#{slow.number})",
                f"{big.peak / 2**20:.0f} (#{big.number})",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    )


def main(count: int = 10_000, first: int = 0, small: bool = False) -> int:
    """Carry out all, and tell."""
    from tests.attacks.large import LARGE

    began = time.perf_counter()
    results: list[Outcome] = []
    for batch in in_batches(range(first, first + count)):
        results += batch
        print(f"{len(results):,} of {count:,}, {len(wrong(results))} wrong", file=sys.stderr, flush=True)
    names = [] if small else list(LARGE)
    large = outcomes(range(len(names)), "tests.attacks.large", str(LARGE_SIZE))
    for outcome in wrong(results):
        print(f"\n#{outcome.number} {outcome.ended}: {outcome.note}\n{outcome.message}")
        print(f"again: python -m tests.attacks.run {outcome.number}")
    print(f"\nattacks {first:,} to {first + count - 1:,}\n\n{report(results)}\n")
    for outcome, name in zip(large, names, strict=True):
        print(f"{name:40}{outcome.ended:10}{outcome.seconds:7.1f} s {outcome.peak / 2**20:7,.0f} MiB")
        if outcome.ended != "refused":
            print(f"{outcome.message}\nagain: python -m tests.attacks.large {LARGE_SIZE} {outcome.number}")
    bad = wrong(results) + [outcome for outcome in large if outcome.ended != "refused"]
    total = len(results) + len(large)
    print(f"\n{total:,} files, {len(bad)} wrong, {time.perf_counter() - began:.0f} s with {PROCESSES} processes")
    return 1 if bad else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.fuzz")
    parser.add_argument("count", nargs="?", type=int, default=10_000)
    parser.add_argument("first", nargs="?", type=int, default=0)
    parser.add_argument("--small", action="store_true", help="leave out the large files")
    arguments = parser.parse_args()
    sys.exit(main(arguments.count, arguments.first, arguments.small))
