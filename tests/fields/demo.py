"""A demonstration: a message, and all that can be seen of what it makes."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import Message

from caffepy.blob import Blob
from caffepy.devices import get_backend
from caffepy.errors import CaffepyError
from caffepy.layer import Layer, LayerContext, get_layer_class
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net
from caffepy.testing import Case

__all__ = ["Demo", "case_demo", "is_error", "net_demo", "same", "see_net"]

Seen = Any


@dataclass(frozen=True)
class Demo:
    """A message that sets fields, and ``look``, which does with it what a user does and gives what there is to see.

    Errors are part of what is seen: a number that is needed is read.
    """

    label: str
    message: Message
    look: Callable[[Any], Seen]

    def seen(self, message: Message | None = None) -> Seen:
        """What is seen of the message, or of another."""
        given = self.message if message is None else message
        copy = type(given)()
        copy.CopyFrom(given)
        try:
            return self.look(copy)
        except CaffepyError as error:
            return {"error": str(error)}


def is_error(seen: Seen) -> bool:
    """Whether all that was seen is an error."""
    return isinstance(seen, dict) and set(seen) == {"error"}


def same(one: Seen, other: Seen) -> bool:
    """Whether two looks saw the same, to the bit."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.shape == other.shape and one.dtype == other.dtype and np.array_equal(one, other, equal_nan=True)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


def _context(phase: str) -> LayerContext:
    return LayerContext(get_backend("cpu"), caffe_pb2.Phase.Value(phase), seed=1701)


def case_demo(case: Case) -> Demo:
    """A layer by itself, as the contract suite runs it: tops, diffs and learnable blobs of two passes."""
    names = [f'bottom: "x{i}"' for i in range(len(case.bottoms))] + [f'top: "y{i}"' for i in range(case.tops)]
    net, _ = parse_net(f'layer {{ name: "shown" {" ".join(names)} {case.prototxt} }}')
    seed = zlib.crc32(case.prototxt.encode())

    def look(param: caffe_pb2.LayerParameter) -> Seen:
        context = _context(case.phase)
        layer = get_layer_class(param.type)(param, context)
        random = np.random.default_rng(seed)
        bottom = [Blob(layer.backend, shape) for shape in case.bottoms]
        for i, blob in enumerate(bottom):
            draw = case.draw.get(i)
            blob.data[...] = random.standard_normal(blob.shape) if draw is None else draw(random, blob.shape)
        top = [Blob(layer.backend) for _ in range(case.tops)]
        layer.setup(bottom, top)
        layer.param_propagate_down = [True] * len(layer.blobs)
        return {"filled": _copies(layer), "passes": [_pass(layer, bottom, top) for _ in range(2)]}

    return Demo(f"case {case.title}", net.layer[0], look)


def _copies(layer: Layer) -> list[np.ndarray]:
    return [np.array(blob.data) for blob in layer.blobs]


def _pass(layer: Layer, bottom: list[Blob], top: list[Blob]) -> Seen:
    layer.reshape(bottom, top)
    layer.forward(bottom, top)
    random = np.random.default_rng(5)
    tops = [np.array(blob.data) for blob in top]
    for blob in top:
        blob.diff[...] = random.standard_normal(blob.shape)
    layer.backward(top, [layer.can_propagate(i) for i in range(len(bottom))], bottom)
    layer.context.counter.value += 1
    down = [np.array(blob.diff) for i, blob in enumerate(bottom) if layer.can_propagate(i)]
    return {"tops": tops, "down": down, "blobs": _copies(layer), "diffs": [np.array(b.diff) for b in layer.blobs]}


def net_demo(
    label: str,
    text: str,
    phase: str = "TRAIN",
    *,
    use: Callable[[Net], Any] | None = None,
    after: Callable[[], Any] | None = None,
    **arguments: Any,
) -> Demo:
    """A net of its own.

    ``use`` is done with it before it runs, and ``after`` when it is closed; what they give is to be seen too.
    """

    def look(param: caffe_pb2.NetParameter) -> Seen:
        with Net(param, caffe_pb2.Phase.Value(phase), seed=1701, **arguments) as net:
            seen = {"used": None if use is None else use(net), **see_net(net)}
        return {**seen, "after": None if after is None else after()}

    return Demo(label, parse_net(text, label)[0], look)


def see_net(net: Net, count: int = 2) -> dict[str, Seen]:
    """All that shows of a net and of some passes, forward and backward."""
    return {
        "layers": [(e.layer.name, e.layer.type, e.bottom_names, e.top_names) for e in net.entries],
        "needs": [(e.need_backward, e.propagate_down, e.layer.param_propagate_down) for e in net.entries],
        "weights": [e.loss_weights for e in net.entries],
        "params": [(p.name, p.owner, p.lr_mult, p.decay_mult, len(p.sharers)) for p in net.learnable_params],
        "batches ahead": [getattr(getattr(e.layer, "reader", None), "depth", 0) for e in net.entries],
        "outputs": net.outputs,
        "passes": [_net_pass(net) for _ in range(count)],
        "said": _said(net),
    }


def _said(net: Net) -> list[str]:
    """What the log gets of one more pass."""
    log, lines = logging.getLogger("caffepy"), _Lines(logging.INFO)
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(lines)
    try:
        _net_pass(net)
    finally:
        log.removeHandler(lines)
        log.setLevel(level)
    return lines.texts


class _Lines(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def _net_pass(net: Net) -> Seen:
    net.clear_param_diffs()
    net.forward()
    net.backward()
    return {
        "data": {name: np.array(blob.data) for name, blob in net.blobs.items()},
        "down": [
            np.array(blob.diff)
            for e in net.entries
            for blob, down in zip(e.bottom, e.propagate_down, strict=True)
            if down and e.need_backward
        ],
        "learnt": [(np.array(p.blob.data), np.array(p.blob.diff)) for p in net.learnable_params],
        "loss": net.loss(),
    }
