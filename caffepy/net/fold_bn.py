"""Nets without BatchNorm, Scale and Bias: their numbers are put into the weights of the layer before or after them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.errors import NetError
from caffepy.net.affine import (
    AFFINE,
    WEIGHTED,
    Affine,
    Inexact,
    affine,
    channels_out,
    fold_after,
    fold_before,
)
from caffepy.net.net import Net
from caffepy.net.random_inputs import feed_random
from caffepy.net.state import included
from caffepy.proto import caffe_pb2

__all__ = ["Folded", "Kept", "fold_bn", "largest_difference"]

Layer = caffe_pb2.LayerParameter
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Kept:
    """A BatchNorm, Scale or Bias layer that stays, and why."""

    name: str
    type: str
    why: str


@dataclass
class Folded:
    """What `fold_bn` makes: the net and its weights, and what became of each layer.

    Attributes:
        net: the layers of the TEST phase without those that were folded.
        blobs: by layer, all weights of ``net``.
        into: by folded layer, its type and the layer that it was folded into.
        kept: those that could not be.
        left_out: layers of the other phase, which are not in ``net``.
        changed: blobs of ``net`` that hold something else than before, as a layer that worked on them is folded into
            the one that reads them.
    """

    net: caffe_pb2.NetParameter
    blobs: dict[str, list[NDArray[Any]]]
    into: dict[str, tuple[str, str]] = field(default_factory=dict)
    kept: list[Kept] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)

    def copy_to(self, net: Net) -> None:
        """Put the weights into a net made of ``net``, whose data layers may be others."""
        for name, blobs in self.blobs.items():
            for blob, values in zip(net.layer_dict[name].blobs, blobs, strict=True):
                blob.data[...] = net.backend.asarray(values.reshape(blob.shape))


def fold_bn(param: caffe_pb2.NetParameter, net: Net) -> Folded:
    """Fold what can be folded without changing what the net computes in TEST, but for rounding.

    A BatchNorm, Scale or Bias layer goes into the Convolution, InnerProduct or Deconvolution that makes its bottom, or
    else into the one that reads its top, where that is exact.

    Args:
        param: the net, as `read_net` gives it.
        net: the same in the TEST phase, with its weights; its data layers may be Input layers.

    Raises:
        NetError: another phase, or two layers of one name.
    """
    if net.phase != caffe_pb2.TEST:
        raise NetError("fold-bn needs a net in the TEST phase: in TRAIN BatchNorm depends on the batch.")
    folding = _Folding(param, net)
    for name in [layer.name for layer in folding.layers if layer.type in AFFINE]:
        folding.try_before(name)
    for name in [layer.name for layer in reversed(folding.layers) if layer.type in AFFINE]:
        folding.try_after(name)
    return folding.result()


class _Folding:
    def __init__(self, param: caffe_pb2.NetParameter, net: Net) -> None:
        self.param, self.net = param, net
        self.layers: list[Layer] = []
        left_out: list[str] = []
        for layer in param.layer:
            if included(layer, net.state):
                self.layers.append(Layer())
                self.layers[-1].CopyFrom(layer)
            else:
                left_out.append(layer.name)
        for name, count in Counter(layer.name for layer in self.layers).items():
            if count > 1:
                raise NetError(
                    f"net '{net.name}' has {count} layers named '{name}': rename them, to tell weights apart."
                )
        host = net.backend.to_host
        self.blobs: dict[str, list[Values]] = {
            name: [np.asarray(host(blob.data), np.float64) for blob in blobs] for name, blobs in net.params.items()
        }
        self.shared = _shared(self.layers)
        self.folded = Folded(caffe_pb2.NetParameter(), {}, left_out=left_out)
        self.reasons: dict[str, str] = {}

    def result(self) -> Folded:
        folded = self.folded
        folded.net.CopyFrom(self.param)
        del folded.net.layer[:]
        folded.net.layer.extend(self.layers)
        dtype = self.net.backend.dtype
        names = {layer.name for layer in self.layers}
        folded.blobs = {
            name: [blob.astype(dtype) for blob in blobs] for name, blobs in self.blobs.items() if name in names
        }
        folded.kept = [
            Kept(layer.name, layer.type, self.reasons[layer.name]) for layer in self.layers if layer.type in AFFINE
        ]
        return folded

    def try_before(self, name: str) -> None:
        """Fold a layer into the one before it, or note why not."""
        place = self._place(name)
        try:
            target = self._maker(place)
            blobs = self._weights(place, target)
            layer, before = self.layers[place], self.layers[target]
            channels = channels_out(before, len(self.net.blobs[layer.bottom[0]].shape))
            what = self._affine(layer, channels)
        except Inexact as reason:
            self.reasons[name] = str(reason)
            return
        self._replace(before, fold_after(before, blobs, what))
        before.top[0] = layer.top[0]
        self._remove(place, before)

    def try_after(self, name: str) -> None:
        """Fold a layer into the one after it, or add to the note why not."""
        place = self._place(name)
        layer = self.layers[place]
        try:
            target = self._reader(place)
        except Inexact:
            # What stands before it is the reason.
            return
        after = self.layers[target]
        channels = self.net.blobs[layer.bottom[0]].shape[1:2]
        try:
            if not channels:
                raise Inexact("its bottom has no channels")
            blobs = self._weights(place, target)
            axis = (after.inner_product_param if after.type == "InnerProduct" else after.convolution_param).axis
            if axis not in (1, 1 - len(self.net.blobs[layer.bottom[0]].shape)):
                raise Inexact(f"{after.type} '{after.name}' does not begin at axis 1")
            changed = fold_before(after, blobs, self._affine(layer, channels[0]), channels[0])
        except Inexact as reason:
            self.reasons[name] += f"; nor into the layer after it: {reason}"
            return
        self._replace(after, changed)
        self.folded.changed.add(layer.bottom[0])
        after.bottom[0] = layer.bottom[0]
        self._remove(place, after)

    def _affine(self, layer: Layer, channels: int) -> Affine:
        if layer.name in self.shared:
            raise Inexact(f"its numbers are shared with layer '{self.shared[layer.name]}'")
        return affine(layer, self.blobs.get(layer.name, []), self._shape(layer), channels)

    def _shape(self, layer: Layer) -> tuple[int, ...]:
        return self.net.blobs[layer.bottom[0]].shape

    def _place(self, name: str) -> int:
        return next(i for i, layer in enumerate(self.layers) if layer.name == name)

    def _maker(self, place: int) -> int:
        """The weighted layer whose top the layer at ``place`` alone reads."""
        blob = self.layers[place].bottom[0]
        found = next((i for i in range(place - 1, -1, -1) if blob in self.layers[i].top), None)
        if found is None:
            raise Inexact(f"no layer makes its bottom '{blob}'")
        maker = self.layers[found]
        if maker.type not in WEIGHTED:
            in_place = " (in place)" if blob in maker.bottom else ""
            raise Inexact(f"it follows {maker.type} '{maker.name}'{in_place}, not {', '.join(WEIGHTED)}")
        others = [self.layers[i].name for i in _readers(self.layers, found, blob) if i != place]
        if others:
            raise Inexact(f"its bottom '{blob}' is read by layer '{others[0]}' too")
        top = self.layers[place].top[0]
        between = self.layers[found + 1 : place]
        if top != blob and any(top in (*layer.bottom, *layer.top) for layer in between):
            raise Inexact(f"blob '{top}' is used between {maker.type} '{maker.name}' and it")
        return found

    def _reader(self, place: int) -> int:
        """The weighted layer that alone reads the top of the layer at ``place``."""
        readers = _readers(self.layers, place, self.layers[place].top[0])
        if len(readers) != 1 or self.layers[readers[0]].type not in WEIGHTED:
            raise Inexact("")
        return readers[0]

    def _weights(self, place: int, target: int) -> list[Values]:
        """The weights of the layer at ``target``, if they may be changed for the sake of the one at ``place``."""
        layer = self.layers[target]
        if len(layer.bottom) != 1 or len(layer.top) != 1:
            raise Inexact(f"{layer.type} '{layer.name}' has several bottoms or tops")
        if layer.name in self.shared:
            raise Inexact(f"the weights of '{layer.name}' are shared with layer '{self.shared[layer.name]}'")
        if any(self.layers[place].loss_weight) or any(layer.loss_weight):
            raise Inexact("its bottom or top counts as a loss (loss_weight)")
        return self.blobs[layer.name]

    def _replace(self, layer: Layer, blobs: list[Values]) -> None:
        self.blobs[layer.name] = blobs
        settings = layer.inner_product_param if layer.type == "InnerProduct" else layer.convolution_param
        if len(blobs) > 1 and not settings.bias_term:
            settings.bias_term = True

    def _remove(self, place: int, into: Layer) -> None:
        layer = self.layers.pop(place)
        self.reasons.pop(layer.name, None)
        self.folded.into[layer.name] = (layer.type, into.name)


def _readers(layers: Sequence[Layer], place: int, blob: str) -> list[int]:
    """Layers that read ``blob`` as the layer at ``place`` leaves it: up to the one that writes it anew, in place."""
    found = []
    for i in range(place + 1, len(layers)):
        if blob in layers[i].bottom:
            found.append(i)
        if blob in layers[i].top:
            break
    return found


def _shared(layers: Sequence[Layer]) -> dict[str, str]:
    """By layer with a named parameter that another has too, that other layer."""
    owners: dict[str, list[str]] = {}
    for layer in layers:
        for spec in layer.param:
            if spec.name and layer.name not in owners.setdefault(spec.name, []):
                owners[spec.name].append(layer.name)
    shared: dict[str, str] = {}
    for names in owners.values():
        for name in names if len(names) > 1 else ():
            shared.setdefault(name, next(other for other in names if other != name))
    return shared


def largest_difference(net: Net, other: Net, folded: Folded, seed: int = 1) -> tuple[str, float, float]:
    """How far blobs that a net and its folded form have in common lie apart on the same random inputs.

    Returns:
        of the blob that differs most: its name, the largest absolute difference, and that divided by the largest value
        of the blob.
    """
    # An output alone tells little: Softmax may give 1 for a class whatever happens.
    names = [
        name for name in net.blobs if name in other.blobs and name not in folded.changed and name not in net.inputs
    ]
    worst = ("", 0.0, 0.0)
    for scale in (1.0, 64.0):
        for one in (net, other):
            feed_random(one, seed, scale)
            one.forward()
        for name in names:
            ours, theirs = (np.asarray(one.backend.to_host(one.blobs[name].data), np.float64) for one in (net, other))
            # Where the net overflows, so does the other.
            finite = np.isfinite(ours) | np.isfinite(theirs)
            apart = float(np.abs(ours - theirs)[finite].max(initial=0.0))
            size = float(np.abs(ours[np.isfinite(ours)]).max(initial=0.0))
            relative = apart / size if size else apart
            if not worst[0] or not relative <= worst[2]:
                worst = (name, apart, relative)
    return worst
