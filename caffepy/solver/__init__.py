"""Solvers: the training loop (solver), update rules (sgd), rates (lr_policy), snapshots."""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Iterable

from caffepy.backend import Backend
from caffepy.data.options import DataOptions
from caffepy.errors import SolverError
from caffepy.net import CopyRules
from caffepy.proto import caffe_pb2
from caffepy.proto.read import read_solver
from caffepy.proto.text import Lines
from caffepy.proto.upgrade import upgrade_solver
from caffepy.solver.observer import Display, End, Iteration, Observer, Output, Snapshot, TestResult
from caffepy.solver.settings import refused
from caffepy.solver.solver import Solver, register_solver, solver_class

__all__ = [
    "Display",
    "End",
    "Iteration",
    "Observer",
    "Output",
    "Snapshot",
    "Solver",
    "TestResult",
    "get_solver",
    "register_solver",
]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def get_solver(
    source: str | os.PathLike[str] | caffe_pb2.SolverParameter | tuple[caffe_pb2.SolverParameter, Lines],
    backend: Backend | None = None,
    *,
    data: DataOptions | None = None,
    allow_python_layers: bool = False,
    share_memory: bool = False,
    copy_rules: CopyRules | None = None,
    record: bool = True,
    observers: Iterable[Observer] = (),
) -> Solver:
    """The solver that a solver.prototxt (its path or its message) describes, of the class that its ``type`` names.

    A message is copied, and upgraded as a file is; one with its lines comes from `read_solver`, which has done so. The
    other arguments are those of `Solver`.

    Raises:
        CaffepyError: the file cannot be read, or the solver or its nets cannot be built.
    """
    if isinstance(source, tuple):
        param, lines = source
    elif isinstance(source, caffe_pb2.SolverParameter):
        param = caffe_pb2.SolverParameter()
        param.CopyFrom(source)
        lines = upgrade_solver(param, Lines.unknown())
    else:
        param, lines = read_solver(source)
    try:
        chosen = solver_class(param.type)
    except SolverError as error:
        raise refused(lines, "type", str(error)) from None
    return chosen(
        param,
        lines,
        backend,
        data=data,
        allow_python_layers=allow_python_layers,
        share_memory=share_memory,
        copy_rules=copy_rules,
        record=record,
        observers=observers,
    )
