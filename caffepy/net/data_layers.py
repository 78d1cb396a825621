"""A net's data layers alone: what they bring can be looked at without the rest of the net, and its memory."""

from __future__ import annotations

from collections.abc import Iterable

from caffepy.net.state import included, net_state
from caffepy.proto import caffe_pb2
from caffepy.proto.text import Lines

__all__ = ["only_data_layers"]


def only_data_layers(
    param: caffe_pb2.NetParameter, lines: Lines, phase: int, level: int = 0, stages: Iterable[str] = ()
) -> caffe_pb2.NetParameter:
    """A copy of ``param`` of which, in this state, only the layers without bottoms are built; ``lines`` still holds.

    Raises:
        NetError: a layer with include and exclude rules.
    """
    copy = caffe_pb2.NetParameter()
    copy.CopyFrom(param)
    state = net_state(phase, level, [*param.state.stage, *stages])
    for i, layer in enumerate(copy.layer):
        if layer.bottom or not included(layer, state, lines.at("layer", i).where()):
            # Not deleted: lines are found by place.
            del layer.include[:]
            layer.exclude.add(phase=state.phase)
    return copy
