"""Training steps of CaffeNet, GoogLeNet, VGG-16, ResNet-50 and LeNet against PyTorch, the better of its two layouts.

    python -m tests.benchmarks.train_nets [--only googlenet] [--repetitions 7]

Nets are those of ``models/``, from the same weights on the same images; see `train_alexnet`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from tests.benchmarks.rows import Row, main
from tests.benchmarks.training import EAGER, measure_steps

#: Folder of ``models/``: name, images, target.
NETS = {
    "caffenet": ("CaffeNet", 64, 0.90),
    "googlenet": ("GoogLeNet", 32, 0.90),
    "vgg16": ("VGG-16", 8, 0.90),
    "resnet50": ("ResNet-50", 16, 0.90),
    "lenet": ("LeNet", 64, 0.80),
}


def rows(given: argparse.Namespace) -> Iterator[Row]:
    """One for each net."""
    for model in given.only or NETS:
        name, batch, target = NETS[model]
        batch = given.batch or batch
        steps = measure_steps(given, model, batch)
        what = f"{name} train step, batch {batch}, against PyTorch"
        yield steps.row(what, target, EAGER)


def options(parser: argparse.ArgumentParser) -> None:
    """Beside those of all scripts."""
    parser.add_argument("--only", action="append", choices=list(NETS), help="this net; may be given several times")
    parser.add_argument("--batch", type=int, default=0, help="images, instead of the net's own number")


if __name__ == "__main__":
    main(__doc__, rows, options)
