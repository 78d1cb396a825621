"""A forward pass of AlexNet, GoogLeNet and ResNet-50, one image and 32, against PyTorch and OpenCV's dnn.

    python -m tests.benchmarks.inference [--only resnet50] [--batch 1] [--repetitions 7]

The nets are the deploy files of ``models/``, which OpenCV reads itself; PyTorch runs the same in inference mode, in
both memory layouts. All sides have the same weights and images, and how far their probabilities differ is printed. The
target is against whichever is fastest.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Iterator
from typing import Any

from caffepy.net import Net
from caffepy.net.timing import flop
from caffepy.proto import caffe_pb2
from tests.benchmarks.machine import missing
from tests.benchmarks.nets import benchmark_net
from tests.benchmarks.rows import Row, main
from tests.benchmarks.training import Steps
from tests.benchmarks.turns import Side, SideError, take_turns

MODELS = {"alexnet": "AlexNet", "googlenet": "GoogLeNet", "resnet50": "ResNet-50"}
OTHERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "PyTorch": ("torch", "torch_inference", {}),
    "PyTorch channels-last": ("torch", "torch_inference", {"channels_last": True}),
    "OpenCV dnn": ("cv2", "opencv_inference", {}),
}


def rows(given: argparse.Namespace) -> Iterator[Row]:
    """One for each net and batch."""
    for model in given.only or MODELS:
        for batch in given.batch or (1, 32):
            steps = measure(given, model, batch)
            what = f"{MODELS[model]} inference, batch {batch}, against the best of PyTorch and OpenCV's dnn"
            yield steps.row(what, 1.00, OTHERS)


def measure(given: argparse.Namespace, model: str, batch: int) -> Steps:
    """All sides that are here, in turn."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        settings = {"model": model, "batch": batch, "folder": folder}
        sides = {"caffepy": stack.enter_context(Side("caffepy_inference", settings, given.threads))}
        skipped: dict[str, str] = {}
        agreements: list[str] = []
        for name, (module, side, more) in OTHERS.items():
            if reason := missing(module):
                skipped[name] = reason
                continue
            try:
                sides[name] = stack.enter_context(Side(side, {**settings, **more}, given.threads))
            except SideError as error:
                skipped[name] = str(error)
                continue
            difference = sides[name].facts["difference"]
            agreements.append(f"{name}: probabilities differ from caffepy's by {difference:.1e} of the largest")
        sides["matrix product"] = stack.enter_context(Side("matrix_product", {}, given.threads))
        series = take_turns(sides, given.repetitions)
    param = benchmark_net(model, batch, train=False)
    with Net(param, caffe_pb2.TEST, fill_params=False, check_memory=False) as net:
        work = sum(flop(entry)[0] for entry in net.entries)
    return Steps(series, skipped, agreements, work, given.clock, given.threads)


def options(parser: argparse.ArgumentParser) -> None:
    """Beside those of all scripts."""
    parser.add_argument("--only", action="append", choices=list(MODELS), help="this net; may be given several times")
    parser.add_argument("--batch", action="append", type=int, help="images; may be given several times")


if __name__ == "__main__":
    main(__doc__, rows, options)
