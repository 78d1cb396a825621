"""Nets from the text of a prototxt, in one call."""

from __future__ import annotations

from caffepy import TEST, TRAIN
from caffepy.net import Net
from caffepy.proto.read import parse_net

__all__ = ["needs", "net_of"]


def net_of(text: str, phase: str = "TRAIN", file: str = "net.prototxt", **arguments) -> Net:
    """The net that ``text`` describes; errors name ``file`` and the line."""
    return Net(parse_net(text, file), {"TRAIN": TRAIN, "TEST": TEST}[phase], **arguments)


def needs(net: Net) -> dict[str, tuple[bool, list[bool]]]:
    """By layer: whether it runs backward, and for which bottoms."""
    return {entry.layer.name: (entry.need_backward, entry.propagate_down) for entry in net.entries}
