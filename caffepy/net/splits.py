"""Split layers for tops that several layers read, with the names that Caffe gives them (insert_splits.cpp).

A top that also carries a loss weight counts as read once more; the weight moves to the first copy. Caffe then clears
all weights of the layer; here that one becomes 0, so that a layer with two losses keeps the other, and a loss layer
does not add its default weight to the one that it was given.
"""

from __future__ import annotations

from collections import Counter

from caffepy.proto import caffe_pb2
from caffepy.proto.text import Lines

__all__ = ["PlacedLayer", "insert_splits", "split_blob_name", "split_layer_name"]

PlacedLayer = tuple[caffe_pb2.LayerParameter, Lines]
# A top: the index of its layer and its index there.
_Top = tuple[int, int]


def split_layer_name(layer: str, blob: str, top: int) -> str:
    """``ip2_ip2_0_split``."""
    return f"{blob}_{layer}_{top}_split"


def split_blob_name(layer: str, blob: str, top: int, copy: int) -> str:
    """``ip2_ip2_0_split_1``."""
    return f"{split_layer_name(layer, blob, top)}_{copy}"


def insert_splits(layers: list[PlacedLayer]) -> list[PlacedLayer]:
    """``layers`` with a Split after each top that has more than one reader; the given messages are not changed.

    Bottoms that no earlier layer makes are left alone: the builder names them in its error.
    """
    source: dict[tuple[int, int], _Top] = {}
    readers: Counter[_Top] = Counter()
    weights: dict[_Top, float] = {}
    last_top: dict[str, _Top] = {}
    for i, (layer, _) in enumerate(layers):
        for j, name in enumerate(layer.bottom):
            if name in last_top:
                source[i, j] = last_top[name]
                readers[last_top[name]] += 1
        for j, name in enumerate(layer.top):
            last_top[name] = (i, j)
        for j, weight in zip(range(len(layer.top)), layer.loss_weight, strict=False):
            # Not by name: a layer that names a top twice is refused later, by its line.
            top = (i, j)
            weights[top] = weight
            readers[top] += weight != 0

    copies: Counter[_Top] = Counter()
    result: list[PlacedLayer] = []
    for i, (original, lines) in enumerate(layers):
        layer = caffe_pb2.LayerParameter()
        layer.CopyFrom(original)
        result.append((layer, lines))
        for j, name in enumerate(layer.bottom):
            top = source.get((i, j), (-1, -1))
            if readers[top] > 1:
                layer.bottom[j] = split_blob_name(layers[top[0]][0].name, name, top[1], copies[top])
                copies[top] += 1
        for j, name in enumerate(original.top):
            if readers[i, j] > 1:
                split = _split(layer.name, name, j, readers[i, j], weights.get((i, j), 0.0))
                if split.loss_weight:
                    layer.loss_weight[j] = 0
                    copies[i, j] += 1
                result.append((split, lines))
    return result


def _split(layer: str, blob: str, top: int, count: int, loss_weight: float) -> caffe_pb2.LayerParameter:
    return caffe_pb2.LayerParameter(
        name=split_layer_name(layer, blob, top),
        type="Split",
        bottom=[blob],
        top=[split_blob_name(layer, blob, top, copy) for copy in range(count)],
        loss_weight=[loss_weight] + [0.0] * (count - 1) if loss_weight else [],
    )
