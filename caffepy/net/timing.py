"""How long each layer takes, forward and backward (Caffe's ``caffe time``), and how much it computes meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean, median

from caffepy.net.build import Entry
from caffepy.net.net import Net
from caffepy.net.product_speed import product_speed
from caffepy.net.summary import multiply_adds

__all__ = ["LayerTiming", "Timing", "flop", "time_layers"]


@dataclass
class LayerTiming:
    """One layer: milliseconds of each pass. No backward where nothing below it learns.

    ``forward_flop`` and ``backward_flop``: operations of its products in a pass, two for a multiply-add; 0 where it has
    none.
    """

    name: str
    type: str
    forward: list[float] = field(default_factory=list)
    backward: list[float] = field(default_factory=list)
    forward_flop: float = 0.0
    backward_flop: float = 0.0

    @property
    def middle(self) -> tuple[float, float]:
        """The median forward and the median backward pass; the second is 0 where there is none."""
        return median(self.forward), median(self.backward) if self.backward else 0.0

    @property
    def speed(self) -> float:
        """FLOP/s of its products, by the medians of both passes; 0 where it has none."""
        flop = self.forward_flop + (self.backward_flop if self.backward else 0.0)
        return 1e3 * flop / sum(self.middle) if flop else 0.0


@dataclass
class Timing:
    """All layers, and whole passes: milliseconds each. ``total``: of all iterations together.

    ``products``: FLOP/s of the device's matrix product, measured before and after (`product_speed`).
    """

    layers: list[LayerTiming]
    forward: list[float] = field(default_factory=list)
    backward: list[float] = field(default_factory=list)
    total: float = 0.0
    products: list[float] = field(default_factory=list)

    @property
    def middle(self) -> tuple[float, float]:
        """The median forward and the median backward pass; the second is 0 where nothing learns."""
        return median(self.forward), median(self.backward)

    @property
    def mean(self) -> tuple[float, float]:
        """The mean forward and the mean backward pass, which Caffe shows."""
        return fmean(self.forward), fmean(self.backward)

    @property
    def product(self) -> float:
        """FLOP/s of the device's matrix product."""
        return fmean(self.products)

    @property
    def flop(self) -> float:
        """Operations of all products in a pass forward and backward."""
        return sum(layer.forward_flop + layer.backward_flop for layer in self.layers)

    @property
    def floor(self) -> float:
        """Milliseconds that the products of a pass forward and backward would take at the matrix product's speed."""
        return 1e3 * self.flop / self.product


def time_layers(net: Net, iterations: int, progress: Callable[[int, float], None] | None = None) -> Timing:
    """Run ``iterations`` passes forward and backward, layer by layer, waiting for the device after each.

    Run the net once before, forward and backward: a first pass compiles and allocates. ``progress`` is called with the
    number of each iteration, from 1, and its milliseconds.
    """
    result = Timing(
        [LayerTiming(e.layer.name, e.layer.type, [], [], *flop(e)) for e in net.entries],
        products=[product_speed(net.backend)],
    )
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
    result.products.append(product_speed(net.backend))
    return result


def flop(entry: Entry) -> tuple[float, float]:
    """Operations of a layer's products, forward and backward, as it is shaped now; two for a multiply-add."""
    forward = 2.0 * multiply_adds(entry)
    if not forward or not entry.need_backward:
        return forward, 0.0
    # Gradients of the weights and of what came in are as many products again, each.
    needed = entry.layer.param_propagate_down[0] + sum(entry.propagate_down) / len(entry.propagate_down)
    return forward, forward * needed


def _note(net: Net, series: list[float], before: float) -> float:
    net.backend.synchronize()
    now = time.perf_counter()
    series.append(1e3 * (now - before))
    return now
