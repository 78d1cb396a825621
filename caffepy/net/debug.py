"""What ``debug_info: true`` prints: the mean absolute value of every blob and gradient, as Caffe words it."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from caffepy.backend import Array
from caffepy.net.build import Entry

if TYPE_CHECKING:
    from caffepy.net.net import Net

__all__ = ["log_backward", "log_forward", "log_totals", "log_update"]

_log = logging.getLogger("caffepy")


def _mean_abs(values: Array) -> float:
    return float(abs(values).mean()) if values.size else 0.0


def log_forward(entry: Entry, params: list[str]) -> None:
    """One line for each top and each learnable blob of a layer that has just run forward."""
    for name, blob in zip(entry.top_names, entry.top, strict=True):
        _log.info("    [Forward] Layer %s, top blob %s data: %g", entry.layer.name, name, _mean_abs(blob.data))
    for name, blob in zip(params, entry.layer.blobs, strict=True):
        _log.info("    [Forward] Layer %s, param blob %s data: %g", entry.layer.name, name, _mean_abs(blob.data))


def log_backward(entry: Entry) -> None:
    """One line for each gradient that a layer has just computed."""
    layer = entry.layer
    for name, blob, needed in zip(entry.bottom_names, entry.bottom, entry.propagate_down, strict=True):
        if needed:
            _log.info("    [Backward] Layer %s, bottom blob %s diff: %g", layer.name, name, _mean_abs(blob.diff))
    for i, (blob, needed) in enumerate(zip(layer.blobs, layer.param_propagate_down, strict=True)):
        if needed:
            _log.info("    [Backward] Layer %s, param blob %d diff: %g", layer.name, i, _mean_abs(blob.diff))


def log_totals(net: Net) -> None:
    """The norms of all learnable blobs and of their gradients, after a whole backward pass."""

    def norms(arrays: Iterable[Array]) -> tuple[float, float]:
        sums = [(float(abs(values).sum()), float((values * values).sum())) for values in arrays]
        return sum(l1 for l1, _ in sums), math.sqrt(sum(l2 for _, l2 in sums))

    data = norms(param.blob.data for param in net.learnable_params)
    diff = norms(param.blob.diff for param in net.learnable_params)
    _log.info(
        "    [Backward] All net params (data, diff): L1 norm = (%g, %g); L2 norm = (%g, %g)",
        data[0], diff[0], data[1], diff[1],
    )  # fmt: skip


def log_update(net: Net) -> None:
    """One line for each learnable blob, as it was before the update that has just been made, and the step taken."""
    for param in net.learnable_params:
        _log.info(
            "    [Update] Layer %s, param %s data: %g; diff: %g",
            param.owner, param.name or param.index, _mean_abs(param.blob.data + param.blob.diff),
            _mean_abs(param.blob.diff),
        )  # fmt: skip
