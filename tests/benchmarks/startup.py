"""How long ``caffepy --help`` and ``import caffepy`` take, from the start of the process to its end.

    python -m tests.benchmarks.startup [--repetitions 15]

Printed too: what Python itself takes, and which modules of others ``import caffepy`` brings in.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.machine import compile_modules
from tests.benchmarks.rows import Row, main


def rows(given: argparse.Namespace) -> Iterator[Row]:
    """One for each."""
    compile_modules()
    script = shutil.which("caffepy", path=str(Path(sys.executable).parent))
    commands = {
        "Python": [sys.executable, "-c", "pass"],
        "caffepy --help": [script, "--help"] if script else [sys.executable, "-m", "caffepy", "--help"],
        "import caffepy": [sys.executable, "-c", "import caffepy"],
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(given.repetitions + 1):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            # The first brings files into memory.
            if turn:
                taken[name].append(time.perf_counter() - began)
    middle = {name: statistics.median(values) for name, values in taken.items()}
    python = f"of which Python alone {middle['Python']:.3f} s"
    details = [python, *_range(taken["caffepy --help"])]
    yield Row("caffepy --help", 0.15, middle["caffepy --help"], unit="s", summary=python, details=details)
    details = [*_range(taken["import caffepy"]), f"brings in {', '.join(_packages())}"]
    yield Row("import caffepy", 0.30, middle["import caffepy"], unit="s", summary=python, details=details)


def _range(values: list[float]) -> Iterator[str]:
    yield f"{min(values):.3f} to {max(values):.3f} s"


def _packages() -> list[str]:
    """Packages of others that are imported with caffepy."""
    code = "import sys; before = set(sys.modules); import caffepy; print(*(set(sys.modules) - before))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    roots = {name.split(".")[0] for name in found} - set(sys.stdlib_module_names) - {"caffepy"}
    return sorted(root for root in roots if not root.startswith("_")) or ["nothing else"]


if __name__ == "__main__":
    main(__doc__, rows)
