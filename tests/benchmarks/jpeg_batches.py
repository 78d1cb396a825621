"""From a JPEG database to transformed batches: images a second for each core, against torch's DataLoader with Pillow.

    python -m tests.benchmarks.jpeg_batches [--photographs FOLDER] [--workers 2] [--repetitions 7]

Both read the same LMDB in random order: random 227 x 227 crop, random mirror image, mean taken off, float32, batches of
64. caffepy has as many threads as PyTorch has worker processes, one for each core unless ``--workers`` says otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.machine import missing
from tests.benchmarks.photographs import add_option, make_database
from tests.benchmarks.rows import Row, main
from tests.benchmarks.turns import Side, take_turns


def rows(given: argparse.Namespace) -> Iterator[Row]:
    """One."""
    workers = given.workers or given.threads
    reason = missing("torch")
    with tempfile.TemporaryDirectory() as folder:
        database, what = make_database(given.photographs, Path(folder))
        settings = {"database": database, "batch": 64, "workers": workers}
        with contextlib.ExitStack() as stack:
            sides = {"caffepy": stack.enter_context(Side("caffepy_images", settings, given.threads))}
            if not reason:
                sides["DataLoader"] = stack.enter_context(Side("torch_images", settings, given.threads))
            # Readers go on until they are as far ahead as they may be: a longer pause.
            series = take_turns(sides, given.repetitions, 0.0, pause=1.0)
    details = [
        f"{name}: median {1 / one.middle() / workers:.0f} images/s a core, {1 / one.middle():.0f} in all"
        for name, one in series.items()
    ]
    value = None if reason else series["DataLoader"].middle() / series["caffepy"].middle()
    details.append(f"{what}; {workers} threads, or worker processes")
    name = "JPEG LMDB to transformed batch, images/s per core, against torch DataLoader + Pillow"
    summary = ", ".join(f"{side} {1 / one.middle() / workers:.0f}" for side, one in series.items())
    yield Row(name, 1.5, value, at_least=True, skipped=reason, summary=f"{summary} images/s a core", details=details)


def options(parser: argparse.ArgumentParser) -> None:
    """Beside those of all scripts."""
    parser.add_argument("--workers", type=int, default=0, help="threads, or processes, that decode")
    add_option(parser)


if __name__ == "__main__":
    main(__doc__, rows, options)
