"""From ``caffepy train`` to AlexNet's first iteration, with the kernels compiled before.

    python -m tests.benchmarks.first_iteration [--batch 64] [--photographs FOLDER] [--repetitions 5]

A run of three iterations on JPEGs, as a user starts it; its log shows when each iteration's loss was known. From the
start of the process to the first of them, less what an iteration takes (from the second to the third), is what
starting takes: Python, libraries, database, net, weights, first batches, first touch of memory. A run before, not
counted, compiles what is not compiled yet.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import text_format

from caffepy.data.mean import compute_mean, write_mean
from caffepy.data.source import open_source
from caffepy.proto import caffe_pb2
from caffepy.proto.read import read_net
from tests.benchmarks.machine import compile_modules
from tests.benchmarks.nets import MODELS
from tests.benchmarks.photographs import add_option, make_database
from tests.benchmarks.rows import Row, main

_LINE = re.compile(r"\] Iteration (\d+) .*loss = ")


def rows(given: argparse.Namespace) -> Iterator[Row]:
    """One."""
    compile_modules()
    with tempfile.TemporaryDirectory() as folder:
        solver, what = write_solver(Path(folder), given)
        compiling, _ = _start(solver, given.threads)
        runs = [_start(solver, given.threads) for _ in range(given.repetitions)]
    starts = [start for start, _ in runs]
    step = statistics.median(step for _, step in runs)
    details = [
        f"{min(starts):.2f} to {max(starts):.2f} s; an iteration then takes {step:.2f} s",
        f"the run before, which compiled what was not compiled: {compiling:.2f} s",
        what,
    ]
    name = f"Start of AlexNet training, batch {given.batch}, to the first iteration, kernels compiled before"
    yield Row(name, 3.0, statistics.median(starts), unit="s", summary=f"an iteration {step:.2f} s", details=details)


def write_solver(folder: Path, given: argparse.Namespace) -> tuple[Path, str]:
    """A solver for three iterations of ``models/alexnet`` on a database in ``folder``; and what is in that."""
    database, what = make_database(given.photographs, folder)
    mean = str(folder / "mean.binaryproto")
    source = open_source(database)
    write_mean(mean, compute_mean(source))
    source.close()
    net, _ = read_net(MODELS / "alexnet" / "train_val.prototxt")
    for layer in net.layer:
        if layer.type == "Data":
            layer.data_param.source, layer.data_param.batch_size = database, given.batch
            layer.transform_param.mean_file = mean
    param = caffe_pb2.SolverParameter(
        train_net_param=net, type="SGD", base_lr=0.01, lr_policy="fixed", momentum=0.9, weight_decay=5e-4, display=1,
        max_iter=3, snapshot_after_train=False, snapshot_prefix=str(folder / "alexnet"),
    )  # fmt: skip
    path = folder / "solver.prototxt"
    path.write_text(text_format.MessageToString(param))
    return path, what


def _start(solver: Path, threads: int) -> tuple[float, float]:
    """Seconds until the first iteration began, and of an iteration."""
    command = [sys.executable, "-m", "caffepy", "train", f"--solver={solver}", f"--threads={threads}"]
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=solver.parent, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    seen: list[float] = []
    lines = []
    for line in process.stderr:
        lines.append(line)
        if _LINE.search(line):
            seen.append(time.perf_counter() - began)
    if process.wait() != 0 or len(seen) < 3:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{''.join(lines[-20:])}")
    step = seen[2] - seen[1]
    return seen[0] - step, step


def options(parser: argparse.ArgumentParser) -> None:
    """Beside those of all scripts."""
    parser.add_argument("--batch", type=int, default=64)
    add_option(parser)


if __name__ == "__main__":
    main(__doc__, rows, options)
