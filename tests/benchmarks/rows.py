"""What the scripts print: a claim with its target, what was measured, and how it came out."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.benchmarks.machine import describe

__all__ = ["Row", "main"]


@dataclass
class Row:
    """One claim.

    Attributes:
        what: which is measured, against what.
        target: the number to reach.
        value: what was measured; None where a side is not here.
        unit: "" of a ratio, "s" of seconds.
        at_least: the target is a smallest number, not a largest.
        summary: the medians behind the value, in a few words.
        details: medians of all sides, the floor, how far the sides' results differ.
        skipped: why it was not measured.
        stretch: wished for, not promised.
    """

    what: str
    target: float
    value: float | None = None
    unit: str = ""
    at_least: bool = False
    summary: str = ""
    details: list[str] = field(default_factory=list)
    skipped: str = ""
    stretch: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None where nothing was measured."""
        if self.value is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.value is None:
            return "not measured"
        return "met" if self.met else "**missed**"

    def shown(self, number: float) -> str:
        """With its unit."""
        return f"{number:.2f}{' ' + self.unit if self.unit else ''}"

    def __str__(self) -> str:
        bound = f"{'at least' if self.at_least else 'at most'} {self.shown(self.target)}"
        found = f"not measured: {self.skipped}" if self.value is None else self.shown(self.value)
        head = f"{self.what}: {found} ({bound}{', a stretch' if self.stretch else ''}: {self.verdict.strip('*')})"
        return "\n".join([head, *(f"    {line}" for line in self.details)])


def main(
    description: str | None,
    measure: Callable[[argparse.Namespace], Iterator[Row]],
    options: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
) -> None:
    """Parse the options that all scripts have, measure and print; ``--json`` adds lines to a file for `run`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=7, help="turns of each side (default 7)")
    parser.add_argument("--threads", type=int, default=_cores(), help="of each side (default: all cores)")
    parser.add_argument(
        "--clock",
        choices=["wall", "cpu"],
        default="wall",
        help="cpu: seconds that all threads worked, for a machine that others use too; threads that wait busily count",
    )
    parser.add_argument("--json", type=Path, help="add a line for each row to this file")
    options(parser)
    given = parser.parse_args()
    print(f"{describe()}; {given.threads} threads, {given.repetitions} repetitions, {given.clock} clock", flush=True)
    for row in measure(given):
        print(row, flush=True)
        if given.json:
            with given.json.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(row)) + "\n")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
