"""feed_inputs, fill_zero_params: plausible numbers for a net without data and without weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.net import Net
from caffepy.net.build import Entry

__all__ = ["feed_inputs", "fill_zero_params", "inputs_behind", "is_custom"]

Values = NDArray[Any]

# Layers that hand on what they read as it is.
_HANDING_ON = frozenset({"Flatten", "Reshape", "Slice", "Split"})
# Of these bottom 1 is a class for each position of bottom 0.
_CLASSES = frozenset({"SoftmaxWithLoss", "MultinomialLogisticLoss", "HingeLoss", "InfogainLoss", "Accuracy"})


def is_custom(entry: Entry) -> bool:
    """Whether the layer is not one of Caffe's own."""
    return entry.layer.type == "Python" or not type(entry.layer).__module__.startswith("caffepy.layers.")


def inputs_behind(net: Net) -> dict[int, int]:
    """By the id of each blob that holds values of an Input layer as they are, the id of that layer's top."""
    behind = {id(blob): id(blob) for entry in net.entries if entry.layer.type == "Input" for blob in entry.top}
    for entry in net.entries:
        if entry.layer.type in _HANDING_ON and id(entry.bottom[0]) in behind:
            behind.update((id(top), behind[id(entry.bottom[0])]) for top in entry.top)
    return behind


def feed_inputs(net: Net, seed: int = 1) -> None:
    """Fill the net's Input blobs: normal numbers, and where a layer wants labels, indices or marks, such."""
    random = np.random.default_rng(seed)
    behind = inputs_behind(net)
    feeds: dict[int, Values] = {}
    # What Caffe's own layers want is known; of a custom layer it is a guess.
    for entry in sorted(net.entries, key=is_custom):
        for j, blob in enumerate(entry.bottom):
            values = _wanted(entry, j, random) if id(blob) in behind else None
            if values is None:
                continue
            known = feeds.get(behind[id(blob)])
            # Labels of two losses are classes of both.
            if known is None or (_whole(known) and _whole(values) and values.max() < known.max()):
                feeds[behind[id(blob)]] = values
    for entry in net.entries:
        for blob in entry.top if entry.layer.type == "Input" else ():
            values = feeds.get(id(blob), random.standard_normal(blob.shape))
            blob.data[...] = net.backend.asarray(np.resize(values, blob.shape))


def _whole(values: Values) -> bool:
    return values.dtype.kind in "iu" and bool(values.size)


def _wanted(entry: Entry, index: int, random: np.random.Generator) -> Values | None:
    """Values that a layer takes as its bottom ``index``; None where any will do."""
    layer, shape = entry.layer, entry.bottom[index].shape
    kind, last = layer.type, index == len(entry.bottom) - 1
    if kind in _CLASSES and index == 1:
        scores = entry.bottom[0]
        axis = {
            "SoftmaxWithLoss": layer.param.softmax_param.axis,
            "InfogainLoss": layer.param.infogain_loss_param.axis,
            "Accuracy": layer.param.accuracy_param.axis,
        }.get(kind, 1)
        return random.integers(0, scores.shape[axis] if len(scores.shape) > 1 else 2, shape)
    if kind == "InfogainLoss" and index == 2:
        return random.uniform(0.1, 1.0, shape)
    if kind == "MultinomialLogisticLoss" or (kind == "InfogainLoss" and index == 0):
        return random.uniform(0.1, 1.0, shape)
    if kind == "SigmoidCrossEntropyLoss" and index == 1:
        return random.integers(0, 2, shape)
    if (kind == "ContrastiveLoss" and index == 2) or (kind == "Filter" and last):
        # One of each at least, or there may be nothing to see.
        return np.arange(math.prod(shape)).reshape(shape) % 2
    if kind in ("LSTM", "RNN") and index == 1:
        marks = np.ones(shape)
        marks[:1] = 0
        return marks
    if kind == "LSTMUnit" and index == 2:
        return np.ones(shape)
    if kind == "Embed":
        return random.integers(0, layer.param.embed_param.input_dim, shape)
    if kind == "BatchReindex" and index == 1:
        return random.integers(0, entry.bottom[0].shape[0], shape)
    if kind == "Log":
        return random.uniform(0.5, 2.0, shape)
    if is_custom(entry) and index and math.prod(shape[1:]) == 1 and len(entry.bottom[0].shape) > 1:
        # A number for each image, which may be its class.
        return random.integers(0, max(entry.bottom[0].shape[1], 1), shape)
    return None


def fill_zero_params(net: Net, seed: int = 1) -> None:
    """Draw learnable blobs that are zero throughout, as without a filler: they would let no gradient through."""
    random = np.random.default_rng(seed)
    for entry in net.entries:
        for j, blob in enumerate(entry.layer.blobs):
            if not blob.count or net.backend.to_host(blob.data).any():
                continue
            # So that values neither grow nor shrink from layer to layer (msra).
            values = random.standard_normal(blob.shape) * math.sqrt(2 / max(math.prod(blob.shape[1:]), 1))
            if entry.layer.type == "BatchNorm" and j > 0:
                # A variance, and what both sums are divided by.
                values = random.uniform(0.5, 1.5, blob.shape) if j == 1 else np.ones(blob.shape)
            blob.data[...] = net.backend.asarray(values)
