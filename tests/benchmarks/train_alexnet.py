"""AlexNet's training step, batch 64, with and without LRN: PyTorch eager and compiled, Caffe, and the machine's floor.

    python -m tests.benchmarks.train_alexnet [--repetitions 7] [--batch 64] [--no-compile]

All sides run the net of ``models/alexnet`` from the same weights on the same images; first each computes the loss and
the gradients of two images, and how far they differ is printed. PyTorch counts by the better of its two memory layouts;
what torch.compile needs to compile is not counted. ``CAFFE_BIN`` names Caffe's binary.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

from tests.benchmarks.rows import Row, main
from tests.benchmarks.training import COMPILED, EAGER, measure_steps


def rows(given: argparse.Namespace) -> Iterator[Row]:
    """With LRN against four others, then without."""
    name = f"AlexNet train step, batch {given.batch}"
    steps = measure_steps(given, "alexnet", given.batch, compiled=given.compile, caffe=True)
    yield steps.row(f"{name}, against PyTorch", 0.40, EAGER)
    row = steps.row(f"{name}, against torch.compile", 0.55, COMPILED, details=False)
    yield row if given.compile else replace(row, skipped="--no-compile")
    yield steps.row(f"{name}, against BVLC Caffe", 0.50, ["Caffe"], details=False)
    yield Row(
        f"{name}, against its direct products at the speed of one matrix product", 1.0,
        steps.seconds("caffepy") / steps.floor, stretch=True,
        summary=f"{1e3 * steps.seconds('caffepy'):.1f} ms, products {1e3 * steps.floor:.1f} ms",
    )  # fmt: skip
    steps = measure_steps(given, "alexnet", given.batch, drop=["LRN"])
    yield steps.row(f"{name}, without LRN, against PyTorch", 0.70, EAGER)


def options(parser: argparse.ArgumentParser) -> None:
    """Beside those of all scripts."""
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="leave torch.compile out")


if __name__ == "__main__":
    main(__doc__, rows, options)
