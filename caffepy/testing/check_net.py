"""check_net: the gradients of every layer of a net, each by itself on what it reads there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf import text_format
from numpy.typing import NDArray

from caffepy.net import Net
from caffepy.net.build import Entry
from caffepy.proto import caffe_pb2
from caffepy.testing.case import Case
from caffepy.testing.check_gradient import Comparison, compare_gradients

__all__ = ["LayerCheck", "check_net", "feed_inputs"]

Values = NDArray[Any]

# Only the first top of these carries a gradient; so it is with losses.
_FIRST_TOP = frozenset({"Pooling", "LSTM", "RNN", "Recurrent"})
# Their learnable blobs are sums that they keep themselves.
_OWN_BLOBS = frozenset({"BatchNorm"})
# Values this near to zero are moved away where the function has a kink there.
_KINK = 1e-3
_KINKED = frozenset({"ReLU", "PReLU", "AbsVal", "HingeLoss"})


@dataclass(frozen=True)
class LayerCheck:
    """One layer: ``compared`` blobs, or why nothing was."""

    name: str
    type: str
    compared: list[Comparison]
    skipped: str = ""

    @property
    def failed(self) -> bool:
        """Whether a gradient is wrong."""
        return any(one.failure for one in self.compared)


def check_net(
    net: Net, layers: Collection[str] = (), *, directions: int = 3, step: float = 1e-5
) -> Iterator[LayerCheck]:
    """Compare each layer's backward pass with differences of its forward pass, in float64, layer by layer.

    The net runs forward once, so feed its inputs before (`feed_inputs`). Each layer is then built anew by itself and
    reads what it read in the net, brought to magnitudes of about one and moved a little, so that no maximum has a tie;
    labels and the like stay. In place nothing is checked: values are copied.

    Args:
        net: on the CPU; its weights are those checked with.
        layers: names; all of them unless given.
        directions: see `check_gradient`.
        step: see `check_gradient`.
    """
    read: dict[int, list[Values]] = {}

    def note(i: int) -> None:
        entry = net.entries[i]
        if not layers or entry.layer.name in layers:
            read[i] = [np.array(net.backend.to_host(blob.data)) for blob in entry.bottom]

    net.before_forward.append(note)
    try:
        net.forward()
    finally:
        net.before_forward.remove(note)
    for i, entry in enumerate(net.entries):
        layer = entry.layer
        if i not in read or layer.type == "Split":
            continue
        reason = _nothing_to_check(entry)
        if reason:
            yield LayerCheck(layer.name, layer.type, [], reason)
            continue
        case = _case(net, entry, read.pop(i))
        yield LayerCheck(layer.name, layer.type, compare_gradients(case, directions=directions, step=step))


def _nothing_to_check(entry: Entry) -> str:
    layer = entry.layer
    if not entry.bottom and not layer.blobs:
        return "reads no blob and learns none"
    if not entry.top:
        return "has no top"
    if not layer.blobs and not any(layer.can_propagate(j) for j in range(len(entry.bottom))):
        return "has no gradient by definition"
    if any(0 in blob.shape for blob in entry.bottom):
        return "reads an empty blob"
    return ""


def _case(net: Net, entry: Entry, read: list[Values]) -> Case:
    layer = entry.layer
    param = caffe_pb2.LayerParameter()
    param.CopyFrom(layer.param)
    for name in ("name", "bottom", "top", "blobs", "include", "exclude", "propagate_down", "phase"):
        param.ClearField(name)
    random = np.random.default_rng([len(read), *(size for values in read for size in values.shape)])
    fed = [_shaken(values, random) if layer.can_propagate(j) else values for j, values in enumerate(read)]
    blobs = [np.array(net.backend.to_host(blob.data)) for blob in layer.blobs]
    return Case(
        text_format.MessageToString(param, as_one_line=True),
        [values.shape for values in read],
        tops=len(entry.top),
        phase=caffe_pb2.Phase.Name(net.phase),
        draw={j: _always(values) for j, values in enumerate(fed)},
        draw_blobs={j: _always(values) for j, values in enumerate(blobs)},
        tops_checked=[0] if layer.loss or layer.type in _FIRST_TOP else None,
        blobs_checked=() if layer.type in _OWN_BLOBS else None,
        kink=_KINK if layer.type in _KINKED else 0.0,
        label=f"layer '{layer.name}' ({layer.type})",
        allow_python_layers=True,
    )


def _always(values: Values) -> Callable[[np.random.Generator, tuple[int, ...]], Values]:
    return lambda random, shape: values


def _shaken(values: Values, random: np.random.Generator) -> Values:
    """Values of about one, no two alike; none changes its sign."""
    wide = values.astype(np.float64)
    spread = float(np.abs(wide).mean()) if wide.size else 0.0
    if spread and not 0.1 <= spread <= 10:
        # A power of two: probabilities and the like stay exact multiples.
        wide *= 2.0 ** -np.round(np.log2(spread))
        spread = 1.0
    moved = wide * random.uniform(0.98, 1.02, wide.shape)
    # Many zeros, as a ReLU leaves, become as many different values as there are.
    return np.where(wide == 0, random.uniform(0.0, 1.0, wide.shape) * (spread or 1.0), moved)


def feed_inputs(net: Net, seed: int = 1) -> None:
    """Fill the net's Input blobs: normal numbers, and where a layer wants labels, indices or marks, such."""
    random = np.random.default_rng(seed)
    # Blobs that hold an input's values: its own, and the copies that Split layers make.
    inputs = {id(blob): blob for entry in net.entries if entry.layer.type == "Input" for blob in entry.top}
    own = list(inputs.values())
    feeds: dict[int, Values] = {}
    for entry in net.entries:
        if entry.layer.type == "Split" and id(entry.bottom[0]) in inputs:
            inputs.update((id(top), inputs[id(entry.bottom[0])]) for top in entry.top)
            continue
        for j, blob in enumerate(entry.bottom):
            if id(blob) in inputs:
                values = _wanted(entry, j, random)
                if values is not None:
                    feeds.setdefault(id(inputs[id(blob)]), values)
    for blob in own:
        values = feeds.get(id(blob), random.standard_normal(blob.shape))
        blob.data[...] = net.backend.asarray(values.reshape(blob.shape))


# Of these bottom 1 is a class for each position of bottom 0.
_CLASSES = frozenset({"SoftmaxWithLoss", "MultinomialLogisticLoss", "HingeLoss", "InfogainLoss", "Accuracy"})


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
        return np.arange(int(np.prod(shape))).reshape(shape) % 2
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
    return None
