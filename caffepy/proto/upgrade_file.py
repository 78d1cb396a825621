"""Files of older Caffes written anew in today's form, as Caffe's tools upgrade_net_proto_* and upgrade_solver_* do."""

from __future__ import annotations

import logging
import os

from google.protobuf.unknown_fields import UnknownFieldSet

from caffepy.proto.caffe_pb2 import NetParameter, SolverParameter
from caffepy.proto.file_kind import HEAD, looks_like_text
from caffepy.proto.lines import Lines
from caffepy.proto.read import read_binary, read_text, write_binary, write_text
from caffepy.proto.text import parse_text
from caffepy.proto.upgrade import net_is_old, solver_is_old, upgrade_net, upgrade_solver

__all__ = ["upgrade_net_file", "upgrade_solver_file"]

StrPath = str | os.PathLike[str]

_log = logging.getLogger("caffepy")


def upgrade_net_file(source: StrPath, target: StrPath) -> bool:
    """Write the net or the weights in ``source`` to ``target`` in today's form; false if that is what they were in.

    Text becomes text, without its comments, and binary becomes binary. The two may be one file.

    Raises:
        ParseError, WeightsError: it cannot be read, is no net, cannot be upgraded, or cannot be written.
    """
    net = NetParameter()
    text = _is_text(source)
    if text:
        lines = parse_text(read_text(source, "net"), net, os.fspath(source))
    else:
        read_binary(source, net)
        lines = Lines.unknown(os.fspath(source))
        _tell_unknown(net, os.fspath(source))
    old = net_is_old(net)
    upgrade_net(net, lines)
    (write_text if text else write_binary)(target, net)
    _log.info("Wrote upgraded NetParameter %s proto to %s", "text" if text else "binary", os.fspath(target))
    return old


def upgrade_solver_file(source: StrPath, target: StrPath) -> bool:
    """Write the solver.prototxt ``source`` to ``target`` in today's form; false if that is what it was in.

    Nets written inside it are upgraded too; its comments are lost.

    Raises:
        ParseError: it cannot be read, is no solver, cannot be upgraded, or cannot be written.
    """
    solver = SolverParameter()
    lines = parse_text(read_text(source, "solver"), solver, os.fspath(source))
    old = solver_is_old(solver)
    upgrade_solver(solver, lines)
    write_text(target, solver)
    _log.info("Wrote upgraded SolverParameter text proto to %s", os.fspath(target))
    return old


def _is_text(path: StrPath) -> bool:
    """True for a file that cannot be read too: that error is told for text best."""
    try:
        with open(path, "rb") as file:
            return looks_like_text(file.read(HEAD))
    except (OSError, ValueError):
        return True


def _tell_unknown(net: NetParameter, source: str) -> None:
    """Settings that only a fork of Caffe knows do not survive a change of the layer's form."""
    strange = [
        layer.name or layer.layer.name
        for layer in net.layers
        if len(UnknownFieldSet(layer)) or len(UnknownFieldSet(layer.layer))
    ]
    if strange:
        _log.warning(
            "%s: %d layers, the first of them '%s', have fields that Caffe 1.0 does not know; they are dropped",
            source, len(strange), strange[0],
        )  # fmt: skip
