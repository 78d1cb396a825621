"""Layers that the convolution before them does in passing: a pass that can be left out.

In place after a Convolution: BatchNorm and Scale by stored numbers, then ReLU. Each is a function of one number and its
channel, so the convolution applies them as it writes its top, and nobody goes through that memory again. What the
blobs hold after a forward pass is the same, to rounding; what they hold in between is not, so layers that someone looks
at one by one are not joined: part of a net that ends between them, calls around layers, `debug_info`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, runtime_checkable

from caffepy.backend import Array
from caffepy.layers.batch_norm import BatchNorm
from caffepy.layers.convolution import Convolution
from caffepy.layers.relu import ReLU
from caffepy.layers.scale import Scale
from caffepy.net.build import Entry
from caffepy.proto import caffe_pb2

if TYPE_CHECKING:
    from caffepy.net.net import Net

__all__ = ["Fusion"]


# What a convolution does to its y as it writes it: factor and offset of each channel, and slope below zero.
_Epilogue: TypeAlias = tuple[Array | None, Array | None, float]


@runtime_checkable
class _Conv(Protocol):
    """An op that does more than a convolution where it is told to; another device may have one that cannot."""

    epilogue: _Epilogue | None


class _ChannelAffine(Protocol):
    """The op that works out what BatchNorm and Scale come to."""

    def forward(
        self,
        b: Array | None,
        statistics: tuple[Array, ...] | None,
        factor: Array | None,
        offset: Array | None,
        scale: Array,
        shift: Array,
    ) -> None: ...


class _Chain(NamedTuple):
    """A convolution and what it does beside its own: layers, None where there is none.

    Attributes:
        first, last: the numbers of the convolution and of the last of those layers.
        conv: the convolution's op.
        affine: None where there is neither BatchNorm nor Scale.
        numbers: memory for what it works out.
    """

    first: int
    last: int
    convolution: Convolution
    conv: _Conv
    batch_norm: BatchNorm | None
    scale: Scale | None
    relu: ReLU | None
    affine: _ChannelAffine | None = None
    numbers: tuple[Array, Array] | None = None

    def epilogue(self) -> _Epilogue:
        """What the convolution is to do, by the numbers that the layers have now."""
        slope = 1.0 if self.relu is None else 0.0
        if self.affine is None or self.numbers is None:
            return None, None, slope
        b = self.convolution.blobs[1].data if len(self.convolution.blobs) > 1 else None
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
        # A net in TEST that shares memory cannot run backward, whatever it has losses for.
        forward_only = net.phase == caffe_pb2.TEST and net.memory is not None
        self._chains = [
            chain for i in range(len(net.entries)) if (chain := _chain(net.entries, i, forward_only)) is not None
        ]
        self._set: list[_Conv] = []

    def begin(self, first: int, last: int) -> Collection[int]:
        """A forward pass from layer ``first`` to ``last`` begins; gives the numbers of those to leave out."""
        skipped: set[int] = set()
        for chain in self._chains:
            if first <= chain.first and chain.last <= last:
                chain.conv.epilogue = chain.epilogue()
                self._set.append(chain.conv)
                skipped.update(range(chain.first + 1, chain.last + 1))
        return skipped

    def end(self) -> None:
        """It has ended: convolutions are nothing but that again."""
        while self._set:
            self._set.pop().epilogue = None


def _chain(entries: list[Entry], number: int, forward_only: bool) -> _Chain | None:
    """What the layer of that number does beside its own; None where it is no convolution, or does nothing more."""
    entry = entries[number]
    layer = entry.layer
    if type(layer) is not Convolution or len(entry.top) != 1 or layer.channel_axis != 1:
        return None
    conv = layer.convs[0]
    if not isinstance(conv, _Conv):
        return None
    batch_norm: BatchNorm | None = None
    scale: Scale | None = None
    relu: ReLU | None = None
    last = number
    for next_entry in entries[number + 1 :]:
        if len(next_entry.bottom) != 1 or next_entry.bottom[0] is not entry.top[0] or next_entry.top != entry.top:
            break
        # What is made from one of these classes may compute something else.
        if type(next_entry.layer) not in (BatchNorm, Scale, ReLU) or not _joins(next_entry, forward_only):
            break
        # In this order, and each once at most.
        match next_entry.layer:
            case BatchNorm() as found if batch_norm is None and scale is None and relu is None:
                batch_norm = found
            case Scale() as found if scale is None and relu is None:
                scale = found
            case ReLU() as found if relu is None:
                relu = found
            case _:
                break
        last += 1
    if last == number:
        return None
    chain = _Chain(number, last, layer, conv, batch_norm, scale, relu)
    if batch_norm is None and scale is None:
        return chain
    full, channels = layer.backend.full, layer.num_output
    eps = 0.0 if batch_norm is None else batch_norm.param.batch_norm_param.eps
    affine = full.ops.ChannelAffine(full, eps)
    affine.plan(channels)
    return chain._replace(affine=affine, numbers=(full.empty((channels,)), full.empty((channels,))))


def _joins(entry: Entry, forward_only: bool) -> bool:
    layer = entry.layer
    if isinstance(layer, ReLU):
        # From its output its gradient can be told, and once more it changes nothing.
        return layer.param.relu_param.negative_slope == 0
    if entry.need_backward and not forward_only:
        return False
    if isinstance(layer, BatchNorm):
        return layer.use_global_stats
    top = entry.top[0]
    if not isinstance(layer, Scale) or layer.blobs[0].shape != top.shape[1:2]:
        return False
    return layer.axis(top, layer.given_axis) == 1
