"""How long each layer takes, forward and backward (Caffe's ``caffe time``)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean, median

from caffepy.net.net import Net

__all__ = ["LayerTiming", "Timing", "time_layers"]


@dataclass
class LayerTiming:
    """One layer: milliseconds of each pass. No backward where nothing below it learns."""

    name: str
    type: str
    forward: list[float] = field(default_factory=list)
    backward: list[float] = field(default_factory=list)


@dataclass
class Timing:
    """All layers, and whole passes: milliseconds each. ``total``: of all iterations together."""

    layers: list[LayerTiming]
    forward: list[float] = field(default_factory=list)
    backward: list[float] = field(default_factory=list)
    total: float = 0.0

    @property
    def middle(self) -> tuple[float, float]:
        """The median forward and the median backward pass; the second is 0 where nothing learns."""
        return median(self.forward), median(self.backward)

    @property
    def mean(self) -> tuple[float, float]:
        """The mean forward and the mean backward pass, which Caffe shows."""
        return fmean(self.forward), fmean(self.backward)


def time_layers(net: Net, iterations: int, progress: Callable[[int, float], None] | None = None) -> Timing:
    """Run ``iterations`` passes forward and backward, layer by layer, waiting for the device after each.

    Run the net once before, forward and backward: a first pass compiles and allocates. ``progress`` is called with the
    number of each iteration, from 1, and its milliseconds.
    """
    result = Timing([LayerTiming(entry.layer.name, entry.layer.type) for entry in net.entries])
    pairs = list(zip(net.entries, result.layers, strict=True))
    for iteration in range(1, iterations + 1):
        net.clear_param_diffs()
        net.backend.synchronize()
        start = before = time.perf_counter()
        for entry, timing in pairs:
            entry.layer.reshape(entry.bottom, entry.top)
            entry.layer.forward(entry.bottom, entry.top)
            before = _note(net, timing.forward, before)
        middle = before
        for entry, timing in reversed(pairs):
            if entry.need_backward:
                entry.layer.backward(entry.top, entry.propagate_down, entry.bottom)
                before = _note(net, timing.backward, before)
        net.counter.value += 1
        result.forward.append(1e3 * (middle - start))
        result.backward.append(1e3 * (before - middle))
        result.total += 1e3 * (before - start)
        if progress is not None:
            progress(iteration, 1e3 * (before - start))
    return result


def _note(net: Net, series: list[float], before: float) -> float:
    net.backend.synchronize()
    now = time.perf_counter()
    series.append(1e3 * (now - before))
    return now
