"""What a training step of AlexNet must cost at least on an H100, layer by layer: arithmetic, nothing is run.

    python -m tests.benchmarks.gpu_roofline [batch]

Each pass of a layer takes at least the time of its products at the peak of the units that compute them, and at least
that of the bytes which it must read and write at the peak of the memory; the larger of both counts. The update is one
pass over weights, gradients and history.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from math import prod

from caffepy.net import Net
from caffepy.net.build import Entry
from caffepy.net.summary import multiply_adds
from caffepy.proto import caffe_pb2
from tests.benchmarks.nets import benchmark_net

__all__ = ["PEAKS", "Cost", "costs", "table"]

#: Products a second, as NVIDIA states for the H100 SXM without sparsity; and bytes a second of its memory.
PEAKS = {"fp32": 66.9e12, "TF32": 494.7e12}
BANDWIDTH = 3.35e12
_VALUE = 4
# Layers whose tops are the memory of their bottoms, or that make data.
_FREE = ("Flatten", "Input", "Reshape", "Split")


@dataclass(frozen=True)
class Cost:
    """Of one layer: floating-point operations and bytes of both passes, forward first."""

    name: str
    type: str
    operations: tuple[int, int]
    traffic: tuple[int, int]

    def seconds(self, precision: str) -> float:
        """The least time of both passes."""
        return sum(
            max(operations / PEAKS[precision], traffic / BANDWIDTH)
            for operations, traffic in zip(self.operations, self.traffic, strict=True)
        )


def _cost(entry: Entry, joined: bool) -> Cost:
    """``joined``: forward it is done by the convolution before it, and moves nothing."""
    layer = entry.layer
    products = 2 * multiply_adds(entry)
    bottom = [prod(blob.shape) for blob in entry.bottom]
    top = sum(prod(blob.shape) for blob in entry.top)
    weights = sum(prod(blob.shape) for blob in layer.blobs)
    forward = 0 if joined else sum(bottom) + top + weights
    # The tops' diffs and what forward read; the bottoms' diffs; weights' diffs are read, added to and written.
    down = sum(size for size, needed in zip(bottom, entry.propagate_down, strict=True) if needed)
    backward = (top + sum(bottom) + down + weights + 2 * weights) if entry.need_backward else 0
    gradients = products * (bool(layer.blobs) + (down > 0)) if entry.need_backward else 0
    return Cost(layer.name, layer.type, (products, gradients), (_VALUE * forward, _VALUE * backward))


def costs(batch: int) -> list[Cost]:
    """Of each layer of AlexNet, and of the update."""
    net = Net(benchmark_net("alexnet", batch), caffe_pb2.TRAIN, fill_params=False, check_memory=False)
    joined = net.fusion.begin(0, len(net.entries) - 1)
    net.fusion.end()
    rows = [_cost(entry, i in joined) for i, entry in enumerate(net.entries) if entry.layer.type not in _FREE]
    weights = sum(param.blob.count for param in net.learnable_params)
    return [*rows, Cost("update", "SGD", (0, 0), (_VALUE * 6 * weights, 0))]


def table(rows: list[Cost]) -> str:
    """As Markdown."""
    lines = ["| layer | type | GFLOP | MB | ms, fp32 | ms, TF32 |", "|---|---|--:|--:|--:|--:|"]
    for row in rows:
        work, moved = sum(row.operations) / 1e9, sum(row.traffic) / 1e6
        times = " | ".join(f"{1e3 * row.seconds(precision):.3f}" for precision in PEAKS)
        lines.append(f"| {row.name} | {row.type} | {work:,.1f} | {moved:,.0f} | {times} |")
    totals = " | ".join(f"{1e3 * sum(row.seconds(precision) for row in rows):.2f}" for precision in PEAKS)
    work, moved = sum(sum(r.operations) for r in rows) / 1e9, sum(sum(r.traffic) for r in rows) / 1e6
    return "\n".join([*lines, f"| all | | {work:,.0f} | {moved:,.0f} | {totals} |"])


if __name__ == "__main__":
    print(table(costs(int(sys.argv[1]) if len(sys.argv) > 1 else 256)))
