"""The train net and the test nets that a SolverParameter asks for (Caffe's Solver::InitTrainNet, InitTestNets)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from caffepy.errors import ParseError, SolverError, prefix
from caffepy.proto import caffe_pb2
from caffepy.proto.read import read_net
from caffepy.proto.text import Lines
from caffepy.proto.upgrade import upgrade_net

__all__ = ["NetSpec", "test_specs", "train_spec"]


# Each is a net of its own.
_MOST_TEST_NETS = 100


@dataclass(frozen=True)
class NetSpec:
    """A net to build: its message with lines, and its state."""

    param: caffe_pb2.NetParameter
    lines: Lines
    state: caffe_pb2.NetState


_Load = Callable[[], tuple[caffe_pb2.NetParameter, Lines]]


def _inline(message: caffe_pb2.NetParameter, lines: Lines) -> _Load:
    def load() -> tuple[caffe_pb2.NetParameter, Lines]:
        copy = caffe_pb2.NetParameter()
        copy.CopyFrom(message)
        return copy, upgrade_net(copy, lines)

    return load


def _from_file(path: str, lines: Lines) -> _Load:
    def load() -> tuple[caffe_pb2.NetParameter, Lines]:
        try:
            return read_net(path)
        except ParseError as error:
            if os.path.exists(path):
                raise
            # What has to change is the line of the solver that names it.
            raise ParseError(f"{prefix(lines.where())}{error}") from None

    return load


def _spec(load: _Load, phase: int, extra: caffe_pb2.NetState | None) -> NetSpec:
    param, lines = load()
    state = caffe_pb2.NetState(phase=caffe_pb2.Phase.Name(phase))
    state.MergeFrom(param.state)
    if extra is not None:
        state.MergeFrom(extra)
    return NetSpec(param, lines, state)


def train_spec(solver: caffe_pb2.SolverParameter, lines: Lines) -> NetSpec:
    """The train net.

    Raises:
        SolverError: none, or more than one, of the fields that can name it is given.
    """
    sources: dict[str, _Load] = {}
    for name in ("train_net_param", "net_param"):
        if solver.HasField(name):
            sources[name] = _inline(getattr(solver, name), lines.at(name))
    for name in ("train_net", "net"):
        if solver.HasField(name):
            sources[name] = _from_file(getattr(solver, name), lines.at(name))
    fields = "net, net_param, train_net, train_net_param"
    if not sources:
        raise SolverError(
            f"{prefix(lines.where())}SolverParameter must specify a train net using one of these fields: {fields}."
        )
    if len(sources) > 1:
        raise SolverError(
            f"{prefix(lines.where())}SolverParameter must not contain more than one of these fields specifying a "
            f"train_net: {fields}; got {' and '.join(sources)}."
        )
    return _spec(next(iter(sources.values())), caffe_pb2.TRAIN, solver.train_state)


def test_specs(solver: caffe_pb2.SolverParameter, lines: Lines) -> list[NetSpec]:
    """The test nets: all of test_net_param, then of test_net, then ``net`` as often as test_iter has entries left.

    Raises:
        SolverError: test_iter, test_state or test_interval do not fit their number.
    """
    loads = [_inline(param, lines.at("test_net_param", i)) for i, param in enumerate(solver.test_net_param)]
    loads += [_from_file(path, lines.at("test_net", i)) for i, path in enumerate(solver.test_net)]
    at = prefix(lines.where())
    general: _Load | None = None
    if solver.HasField("net_param"):
        general = _inline(solver.net_param, lines.at("net_param"))
    elif solver.HasField("net"):
        general = _from_file(solver.net, lines.at("net"))
    given = len(solver.test_iter)
    if max(given, len(loads)) > _MOST_TEST_NETS:
        raise SolverError(
            f"{at}{len(loads)} test nets and {given} test_iter: there are at most {_MOST_TEST_NETS} test nets. "
            "test_iter is written once for each of them."
        )
    if general is not None:
        if given < len(loads):
            raise SolverError(
                f"{at}test_iter must be specified for each test network: {len(loads)} test nets, {given} test_iter."
            )
        loads += [general] * (given - len(loads))
    elif given != len(loads):
        advice = "" if loads else ' Name the test net, test_net: "...", or take test_iter out.'
        raise SolverError(
            f"{at}test_iter must be specified for each test network: {len(loads)} test nets, {given} test_iter.{advice}"
        )
    if solver.test_state and len(solver.test_state) != len(loads):
        raise SolverError(
            f"{at}test_state must be unspecified or specified once per test net: "
            f"{len(loads)} test nets, {len(solver.test_state)} test_state."
        )
    if loads and solver.test_interval <= 0:
        raise SolverError(
            f"{at}test_interval must be positive where there are test nets (Check failed: test_interval > 0); "
            f"got {solver.test_interval}. Add test_interval: 1000, or take test_iter out."
        )
    return [
        _spec(load, caffe_pb2.TEST, solver.test_state[i] if solver.test_state else None) for i, load in enumerate(loads)
    ]
