"""check_net: the gradients of every layer of a net, each by itself on what it reads there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf import text_format
from numpy.typing import NDArray

from caffepy.errors import LayerError
from caffepy.net import Net
from caffepy.net.build import Entry
from caffepy.proto import caffe_pb2
from caffepy.testing.case import Case
from caffepy.testing.check_gradient import Comparison, compare_gradients
from caffepy.testing.feed_net import inputs_behind, is_custom

__all__ = ["LayerCheck", "check_net"]

Values = NDArray[Any]

# Only the first top of these carries a gradient; so it is with losses.
_FIRST_TOP = frozenset({"Pooling", "LSTM", "RNN"})
# Their learnable blobs are sums that they keep themselves.
_OWN_BLOBS = frozenset({"BatchNorm"})
# Values this near to zero are moved away where the function has a kink there.
_KINK = 1e-3
_KINKED = frozenset({"ReLU", "PReLU", "AbsVal", "HingeLoss"})


@dataclass(frozen=True)
class LayerCheck:
    """One layer: its blobs as they were compared or skipped, or why none was looked at."""

    name: str
    type: str
    compared: list[Comparison]
    skipped: str = ""

    @property
    def failed(self) -> bool:
        """Whether a gradient is wrong."""
        return any(one.failure for one in self.compared)


def check_net(
    net: Net,
    layers: Collection[str] = (),
    *,
    directions: int = 3,
    elements: int = 0,
    step: float = 1e-5,
    threshold: float | None = None,
) -> Iterator[LayerCheck]:
    """Compare each layer's backward pass with differences of its forward pass, in float64, layer by layer.

    The net runs forward once, so feed its inputs before (`feed_inputs`). Each layer is then built anew by itself and
    reads what it read in the net, brought to magnitudes of about one and moved a little, so that no maximum has a tie;
    labels and the like stay. In place nothing is checked: values are copied.

    Args:
        net: on the CPU; its weights are those checked with.
        layers: names; all of them unless given.
        directions, elements, step, threshold: see `compare_gradients`.
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
    behind = inputs_behind(net)
    for i, entry in enumerate(net.entries):
        layer = entry.layer
        if i not in read or layer.type == "Split":
            continue
        reason = _nothing_to_check(entry)
        if reason:
            yield LayerCheck(layer.name, layer.type, [], reason)
            continue
        skipped = _skipped(entry, behind)
        case = _case(net, entry, read.pop(i), skipped)
        try:
            found = compare_gradients(case, directions=directions, elements=elements, step=step, threshold=threshold)
        except LayerError as error:
            text = str(error).replace("layer 'under_test'", f"layer '{layer.name}'")
            found = [Comparison("passes", 0, np.inf, True, text)]
        yield LayerCheck(layer.name, layer.type, [*found, *skipped.values()])


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


def _skipped(entry: Entry, behind: dict[int, int]) -> dict[str, Comparison]:
    """The blobs of a layer of which nothing is compared, with the reason."""
    layer = entry.layer
    reasons = {}
    for j, blob in enumerate(entry.bottom):
        if not layer.can_propagate(j):
            reasons[f"bottom[{j}]"] = (blob, "has no gradient by definition")
        elif not entry.propagate_down[j] and _may_be_labels(entry, j, behind):
            # A user's loss: it need not say that its labels have no gradient, since no net asks for one.
            reasons[f"bottom[{j}]"] = (blob, "an input of which the net asks no gradient (force_backward: true does)")
    for j, blob in enumerate(layer.blobs if layer.type in _OWN_BLOBS else ()):
        reasons[f"blobs[{j}]"] = (blob, "a sum that the layer keeps itself")
    return {name: Comparison(name, blob.count, skipped=reason) for name, (blob, reason) in reasons.items()}


def _may_be_labels(entry: Entry, j: int, behind: Container[int]) -> bool:
    return j > 0 and is_custom(entry) and id(entry.bottom[j]) in behind


def _case(net: Net, entry: Entry, read: list[Values], skipped: Container[str]) -> Case:
    layer = entry.layer
    param = caffe_pb2.LayerParameter()
    param.CopyFrom(layer.param)
    for name in ("name", "bottom", "top", "blobs", "include", "exclude", "propagate_down", "phase"):
        param.ClearField(name)
    random = np.random.default_rng([len(read), *(size for values in read for size in values.shape)])
    checked = [j for j in range(len(read)) if f"bottom[{j}]" not in skipped]
    behind = inputs_behind(net)
    fed = [
        _shaken(values, random) if j in checked and not _may_be_labels(entry, j, behind) else values
        for j, values in enumerate(read)
    ]
    blobs = [np.array(net.backend.to_host(blob.data)) for blob in layer.blobs]
    return Case(
        text_format.MessageToString(param, as_one_line=True),
        [values.shape for values in read],
        tops=len(entry.top),
        phase=caffe_pb2.Phase.Name(net.phase),
        draw={j: _always(values) for j, values in enumerate(fed)},
        draw_blobs={j: _always(values) for j, values in enumerate(blobs)},
        gradient=checked,
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
