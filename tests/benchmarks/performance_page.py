"""The table of docs/performance.md, between two markers: a row for each claim, by machine and day."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tests.benchmarks.rows import Row

__all__ = ["BEGIN", "END", "REASONS", "unexplained", "update"]

BEGIN = "<!-- written by make bench: begin -->"
END = "<!-- written by make bench: end -->"
REASONS = "## What is missed, and why"
_HEAD = ["| what | target | measured | medians | |", "| --- | --- | --- | --- | --- |"]


def update(page: str, rows: Sequence[Row], machine: str, day: str) -> str:
    """``page`` with ``rows`` in its table: those of the same name replaced, new ones added at the end.

    A row is put under the machine and the day that it was measured on; earlier rows of other machines or days keep
    theirs.

    Raises:
        ValueError: the page lacks the markers.
    """
    begin, end = page.find(BEGIN), page.find(END)
    if begin < 0 or end < begin:
        raise ValueError(f"the page has no table: expected the lines {BEGIN!r} and {END!r}")
    tables = _read(page[begin + len(BEGIN) : end])
    names = {row.what for row in rows}
    for lines in tables.values():
        for name in names & lines.keys():
            del lines[name]
    head = f"Measured on {day}: {machine}."
    tables.setdefault(head, {}).update({row.what: _line(row) for row in rows})
    parts = ["\n".join([title, "", *_HEAD, *lines.values()]) for title, lines in tables.items() if lines]
    return page[: begin + len(BEGIN)] + "\n" + "\n\n".join(parts) + "\n" + page[end:]


def unexplained(page: str, rows: Sequence[Row]) -> list[str]:
    """Names of rows that are missed and that the page's section of reasons does not name; wishes need no reason."""
    reasons = page.partition(REASONS)[2].partition("\n## ")[0]
    return [row.what for row in rows if row.met is False and not row.stretch and row.what not in reasons]


def _line(row: Row) -> str:
    bound = f"{'at least' if row.at_least else 'at most'} {row.shown(row.target)}"
    if row.stretch:
        bound += " (a wish)"
    found = f"not measured: {row.skipped}" if row.value is None else row.shown(row.value)
    cells = [row.what, bound, found, row.summary, row.verdict if row.value is not None else ""]
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _read(text: str) -> dict[str, dict[str, str]]:
    """Lines by machine and day, and name."""
    tables: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("Measured on "):
            current = tables.setdefault(line, {})
        elif line.startswith("| ") and line not in _HEAD:
            name = re.split(r"(?<!\\)\|", line)[1].strip().replace("\\|", "|")
            current[name] = line
    return tables
