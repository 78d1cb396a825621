"""``run.json``: what a run was started with, so that it can be told, repeated and resumed."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caffepy.data.options import DataOptions
from caffepy.proto.files import atomic_write
from caffepy.solver.observer import Observer

if TYPE_CHECKING:
    from caffepy.solver.solver import Solver

__all__ = ["RunJson", "read_run"]


class RunJson(Observer):
    """Writes ``path`` when the run starts; a resumed run keeps what is there and adds itself to ``resumed``.

    Args:
        path: the file.
        solver_file: the solver's prototxt.
        arguments: the command line.
        data: how data layers read.
        resumed_from: the state that the run goes on from, if any.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        solver_file: str,
        arguments: Sequence[str],
        data: DataOptions,
        resumed_from: str | None = None,
    ) -> None:
        self.path = Path(path)
        self.solver_file = solver_file
        self.arguments = list(arguments)
        self.data = data
        self.resumed_from = resumed_from

    def on_begin(self, solver: Solver) -> None:
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        earlier = read_run(self.path) if self.resumed_from else {}
        if earlier.get("snapshot_prefix") == solver.param.snapshot_prefix:
            again = {"at": now, "iter": solver.iter, "state": self.resumed_from, "arguments": self.arguments}
            record = {**earlier, "resumed": [*earlier.get("resumed", []), again]}
        else:
            record = {
                "started": now,
                "arguments": self.arguments,
                "solver": os.path.abspath(self.solver_file),
                "net": solver.param.net or solver.param.train_net or None,
                "name": solver.net.name,
                "type": solver.type,
                "max_iter": solver.param.max_iter,
                "snapshot_prefix": solver.param.snapshot_prefix,
                "seed": solver.seed,
                "device": solver.backend.device,
                "threads": solver.backend.threads,
                "data": asdict(self.data),
                "folder": os.getcwd(),
                "host": platform.node(),
                "platform": platform.platform(),
                "versions": _versions(),
                "resumed": [],
            }
        with atomic_write(self.path) as file:
            file.write((json.dumps(record, indent=2) + "\n").encode())


def read_run(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The content of a ``run.json``; empty if there is none that can be read."""
    try:
        record = json.loads(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _versions() -> dict[str, str]:
    from caffepy import __version__

    versions = {"caffepy": __version__, "python": sys.version.split()[0]}
    for name in ("numpy", "numba", "pillow", "protobuf", "lmdb"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
