"""The roofline of AlexNet on a GPU counts what the net does."""

from __future__ import annotations

import pytest

from tests.benchmarks.gpu_roofline import BANDWIDTH, PEAKS, costs, table


def test_alexnet_by_layer():
    rows = {row.name: row for row in costs(2)}
    # 724.4 million multiply-adds an image forward; as many for the gradients of weights, and of data but conv1's.
    forward = sum(row.operations[0] for row in rows.values())
    assert forward == pytest.approx(2 * 2 * 724.4e6, rel=1e-4)
    assert sum(row.operations[1] for row in rows.values()) == 2 * forward - rows["conv1"].operations[0]
    # Forward x and y, unless a convolution does it; backward dy, x and dx.
    relu, values = rows["relu1"], 4 * 2 * 96 * 55 * 55
    assert relu.traffic == (0, 3 * values)
    assert rows["relu6"].traffic == (2 * 4 * 2 * 4096, 3 * 4 * 2 * 4096)
    assert relu.seconds("fp32") == sum(relu.traffic) / BANDWIDTH
    assert rows["conv2"].seconds("fp32") == sum(rows["conv2"].operations) / PEAKS["fp32"]
    assert rows["update"].traffic[0] == 6 * 4 * 60_965_224
    lines = table(list(rows.values())).splitlines()
    assert len(lines) == len(rows) + 3
    assert lines[-1].startswith("| all |")
