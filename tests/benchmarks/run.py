"""Runs the benchmarks that have targets, and writes what they found into docs/performance.md.

    python -m tests.benchmarks.run [--only train_alexnet] [--repetitions 7] [--no-write]

Each script is a process of its own; one that fails is named at the end and does not stop the others. Rows replace
those of the same name in the table; others stay, with the machine and the day that they were measured on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from tests.benchmarks.machine import describe, versions
from tests.benchmarks.performance_page import REASONS, unexplained, update
from tests.benchmarks.rows import Row

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "performance.md"

SCRIPTS = (
    "train_alexnet", "train_nets", "inference", "peak_memory", "solver_update", "jpeg_batches", "startup",
    "first_iteration",
)  # fmt: skip


def run(script: str, repetitions: int, threads: int | None) -> list[Row]:
    """The rows of one script; its own words go to the terminal as they come."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "rows"
        command = [
            sys.executable,
            "-m",
            f"tests.benchmarks.{script}",
            f"--json={found}",
            f"--repetitions={repetitions}",
        ]
        command += [f"--threads={threads}"] if threads else []
        code = subprocess.run(command, cwd=ROOT).returncode
        rows = [Row(**json.loads(line)) for line in found.read_text().splitlines()] if found.exists() else []
    if code:
        print(f"{script} ended with {code}", file=sys.stderr)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=SCRIPTS, help="this script; may be given several times")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--threads", type=int, help="of each side (default: all cores)")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave docs/performance.md as it is")
    given = parser.parse_args()
    machine = f"{describe()}; {versions()}"
    day = datetime.now(timezone.utc).date().isoformat()
    failed: list[str] = []
    found: list[Row] = []
    for script in given.only or SCRIPTS:
        print(f"== {script}", flush=True)
        rows = run(script, given.repetitions, given.threads)
        found += rows
        if not rows:
            failed.append(script)
        if rows and given.write:
            # After each script: a run that is stopped keeps what it has measured.
            PAGE.write_text(update(PAGE.read_text(encoding="utf-8"), rows, machine, day), encoding="utf-8")
    if names := unexplained(PAGE.read_text(encoding="utf-8"), found):
        print(f"missed, and not explained in docs/performance.md under '{REASONS}':", *names, sep="\n    ")
    if failed:
        sys.exit(f"nothing was measured by: {', '.join(failed)}")


if __name__ == "__main__":
    main()
