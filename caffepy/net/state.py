"""Which layers a net has in a given state: the include and exclude rules of phase, level and stage."""

from __future__ import annotations

from collections.abc import Iterable

from caffepy.errors import NetError, prefix
from caffepy.proto import caffe_pb2

__all__ = ["included", "meets_rule", "net_state"]


def net_state(phase: int, level: int = 0, stages: Iterable[str] = ()) -> caffe_pb2.NetState:
    """A NetState of these three."""
    return caffe_pb2.NetState(phase=caffe_pb2.Phase.Name(phase), level=level, stage=list(stages))


def meets_rule(state: caffe_pb2.NetState, rule: caffe_pb2.NetStateRule) -> bool:
    """Whether ``state`` has what ``rule`` asks for: all its stages, none of its not_stages, phase and level."""
    if rule.HasField("phase") and rule.phase != state.phase:
        return False
    if rule.HasField("min_level") and state.level < rule.min_level:
        return False
    if rule.HasField("max_level") and state.level > rule.max_level:
        return False
    stages = set(state.stage)
    return stages.issuperset(rule.stage) and stages.isdisjoint(rule.not_stage)


def included(layer: caffe_pb2.LayerParameter, state: caffe_pb2.NetState, where: str = "") -> bool:
    """Whether ``layer`` is in the net of ``state``: any include rule met, or no exclude rule met.

    Raises:
        NetError: the layer has rules of both kinds.
    """
    if layer.include and layer.exclude:
        raise NetError(f"{prefix(where)}layer '{layer.name}': Specify either include rules or exclude rules; not both.")
    if layer.include:
        return any(meets_rule(state, rule) for rule in layer.include)
    return not any(meets_rule(state, rule) for rule in layer.exclude)
