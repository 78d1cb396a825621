"""Peak memory of AlexNet's training step, batch 128, against what BVLC Caffe keeps.

    python -m tests.benchmarks.peak_memory [--batch 128]

Measured is the largest resident memory of the whole process, Python and libraries included, after three steps. Caffe's
is computed, blob by blob, from what it allocates: data of every blob, diff of every blob that its backward pass writes,
and of the parameters data, diff and momentum; its program, im2col columns, LRN scales, pooling and dropout masks are
not counted, so it really needs more. With ``CAFFE_BIN`` it is measured too, and printed. So is PyTorch's.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from tempfile import TemporaryDirectory

from caffepy.net import Net
from caffepy.proto import caffe_pb2
from tests.benchmarks.machine import missing
from tests.benchmarks.nets import benchmark_net
from tests.benchmarks.rows import Row, main
from tests.benchmarks.turns import Side, SideError

_MIB = 1 << 20
# Layers whose tops are other names for their bottom's data, and for its diff.
_SHARED_DATA = ("Split", "Flatten", "Reshape")
_SHARED_DIFF = ("Flatten", "Reshape")


def caffe_bytes(param: caffe_pb2.NetParameter, itemsize: int = 4) -> tuple[int, int]:
    """What Caffe keeps to train ``param`` by SGD: bytes of blobs, and of parameters."""
    blobs = 0
    with Net(param, caffe_pb2.TRAIN, fill_params=False, check_memory=False) as net:
        for entry in net.entries:
            for blob in entry.top:
                if any(blob is bottom for bottom in entry.bottom):
                    continue
                data = entry.layer.type not in _SHARED_DATA
                diff = entry.need_backward and entry.layer.type not in _SHARED_DIFF
                blobs += itemsize * blob.count * (data + diff)
        params = 3 * itemsize * sum(param.blob.count for param in net.learnable_params)
    return blobs, params


def rows(given: argparse.Namespace) -> Iterator[Row]:
    """One."""
    blobs, params = caffe_bytes(benchmark_net("alexnet", given.batch))
    settings = {"model": "alexnet", "batch": given.batch}
    with Side("caffepy_training", settings, given.threads) as side:
        before = side.facts["before"]
        peak = side.turn(0.0)["peak"]
    with Side("caffepy_training", {**settings, "share": False}, given.threads) as side:
        kept = side.turn(0.0)["peak"]
    details = [
        f"caffepy: {peak / _MIB:,.0f} MiB at most, of which {before / _MIB:,.0f} MiB before the net was built",
        f"caffepy with blobs that share no memory, as Net and get_solver keep them unless told: {kept / _MIB:,.0f} MiB",
        f"BVLC Caffe, computed: {(blobs + params) / _MIB:,.0f} MiB, {blobs / _MIB:,.0f} for blobs and "
        f"{params / _MIB:,.0f} for parameters",
        *_measured(given, settings),
    ]
    what = f"AlexNet train step, batch {given.batch}, peak memory, against BVLC Caffe's"
    summary = f"{peak / _MIB:,.0f} MiB, Caffe {(blobs + params) / _MIB:,.0f} MiB"
    yield Row(what, 0.75, peak / (blobs + params), summary=summary, details=details)


def _measured(given: argparse.Namespace, settings: dict[str, object]) -> Iterator[str]:
    with TemporaryDirectory() as folder:
        shared = {**settings, "folder": folder}
        if reason := missing("torch"):
            yield f"PyTorch: {reason}"
        else:
            with Side("caffepy_training", {**shared, "batch": 1}, given.threads):
                pass
            with Side("torch_training", shared, given.threads) as side:
                yield f"PyTorch, measured: {side.turn(0.0)['peak'] / _MIB:,.0f} MiB"
        if binary := os.environ.get("CAFFE_BIN"):
            try:
                with Side("caffe_training", {**shared, "binary": binary}, given.threads) as side:
                    side.turn(0.0)
                    yield f"BVLC Caffe, measured: {side.turn(0.0)['parts']['peak'] / _MIB:,.0f} MiB"
            except SideError as error:
                yield f"BVLC Caffe: {error}"


def options(parser: argparse.ArgumentParser) -> None:
    """Beside those of all scripts."""
    parser.add_argument("--batch", type=int, default=128)


if __name__ == "__main__":
    main(__doc__, rows, options)
