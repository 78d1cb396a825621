"""Layers that the convolution before them does in passing: a pass that can be left out.

In place after a Convolution: BatchNorm and Scale by stored numbers, then ReLU. Each is a function of one number and its
channel, so the convolution applies them as it writes its top, and nobody goes through that memory again. What the
blobs hold after a forward pass is the same, to rounding; what they hold in between is not, so layers that someone looks
at one by one are not joined: part of a net that ends between them, calls around layers, `debug_info`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple

from caffepy.backend import Array
from caffepy.layer import Layer
from caffepy.net.build import Entry
from caffepy.proto import caffe_pb2

if TYPE_CHECKING:
    from caffepy.net.net import Net

__all__ = ["Fusion"]


class _Chain(NamedTuple):
    """A convolution's number and the last layer's that it does; the layers in between, None where there is none.

    Attributes:
        affine: the op that works out what BatchNorm and Scale come to; None where there is neither.
        numbers: memory for that.
    """

    first: int
    last: int
    batch_norm: Layer | None
    scale: Layer | None
    relu: Layer | None
    affine: Any
    numbers: tuple[Array, Array] | None

    def epilogue(self, conv: Layer) -> tuple[Array | None, Array | None, float]:
        """What the convolution is to do, by the numbers that the layers have now."""
        slope = 1.0 if self.relu is None else 0.0
        if self.numbers is None:
            return None, None, slope
        b = conv.blobs[1].data if len(conv.blobs) > 1 else None
        statistics = None if self.batch_norm is None else tuple(blob.data for blob in self.batch_norm.blobs)
        factor = offset = None
        if self.scale is not None:
            factor, offset, *_ = *(blob.data for blob in self.scale.blobs), None
        self.affine.forward(b, statistics, factor, offset, *self.numbers)
        return *self.numbers, slope


class Fusion:
    """The chains of a net; see the module.

    Args:
        net: wired, its gradients found.
    """

    def __init__(self, net: Net) -> None:
        self._entries = net.entries
        # A net in TEST that shares memory cannot run backward, whatever it has losses for.
        forward_only = net.phase == caffe_pb2.TEST and net.memory is not None
        self._chains = [
            chain for i in range(len(net.entries)) if (chain := _chain(net.entries, i, forward_only)) is not None
        ]
        self._set: list[Any] = []

    def begin(self, first: int, last: int) -> Collection[int]:
        """A forward pass from layer ``first`` to ``last`` begins; gives the numbers of those to leave out."""
        skipped: set[int] = set()
        for chain in self._chains:
            if first <= chain.first and chain.last <= last:
                conv: Any = self._entries[chain.first].layer
                conv.convs[0].epilogue = chain.epilogue(conv)
                self._set.append(conv.convs[0])
                skipped.update(range(chain.first + 1, chain.last + 1))
        return skipped

    def end(self) -> None:
        """It has ended: convolutions are nothing but that again."""
        while self._set:
            self._set.pop().epilogue = None


def _chain(entries: list[Entry], number: int, forward_only: bool) -> _Chain | None:
    """What the layer of that number does beside its own; None where it is no convolution, or does nothing more."""
    entry = entries[number]
    layer: Any = entry.layer
    if layer.type != "Convolution" or len(entry.top) != 1 or layer.channel_axis != 1:
        return None
    # Another device may have convolutions that do nothing else.
    if not hasattr(layer.convs[0], "epilogue"):
        return None
    found: dict[str, Layer] = {}
    last = number
    for next_entry in entries[number + 1 :]:
        kind = next_entry.layer.type
        if kind in found or "ReLU" in found or (kind == "BatchNorm" and "Scale" in found):
            break
        if len(next_entry.bottom) != 1 or next_entry.bottom[0] is not entry.top[0] or next_entry.top != entry.top:
            break
        if not _joins(next_entry, forward_only):
            break
        found[kind] = next_entry.layer
        last += 1
    if not found:
        return None
    batch_norm, scale, relu = (found.get(kind) for kind in ("BatchNorm", "Scale", "ReLU"))
    if batch_norm is None and scale is None:
        return _Chain(number, last, None, None, relu, None, None)
    full, channels = layer.backend.full, layer.num_output
    eps = 0.0 if batch_norm is None else batch_norm.param.batch_norm_param.eps
    affine = full.ops.ChannelAffine(full, eps)
    affine.plan(channels)
    numbers = full.empty((channels,)), full.empty((channels,))
    return _Chain(number, last, batch_norm, scale, relu, affine, numbers)


def _joins(entry: Entry, forward_only: bool) -> bool:
    layer: Any = entry.layer
    if layer.type == "ReLU":
        # From its output its gradient can be told, and once more it changes nothing.
        return bool(layer.param.relu_param.negative_slope == 0)
    if entry.need_backward and not forward_only:
        return False
    if layer.type == "BatchNorm":
        return bool(layer.use_global_stats)
    top = entry.top[0]
    if layer.type != "Scale" or layer.blobs[0].shape != top.shape[1:2]:
        return False
    return bool(layer.axis(top, layer.given_axis) == 1)
