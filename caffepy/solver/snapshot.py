"""Solver states from and to files: what Caffe writes at ``snapshot``, in its two formats.

``PREFIX_iter_N.caffemodel`` and ``PREFIX_iter_N.solverstate`` (binaryproto), or the same names with ``.h5``. The
weights are on disk before the state that names them, and each file appears whole or not at all.
"""

from __future__ import annotations

import filecmp
import logging
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from caffepy.errors import CaffepyError, SolverError, WeightsError, reason
from caffepy.net.hdf5 import READ_ERRORS, numbers
from caffepy.net.weights import check_binary_size, not_written
from caffepy.proto import caffe_pb2
from caffepy.proto.arrays import encode_blob, write_message_with_blobs
from caffepy.proto.file_kind import is_hdf5
from caffepy.proto.files import atomic_path, atomic_write, remove_abandoned
from caffepy.proto.read import check_binary, read_binary
from caffepy.proto.stored_blobs import open_binary
from caffepy.solver.lr_policy import current_step

if TYPE_CHECKING:
    from caffepy.solver.solver import Solver

_log = logging.getLogger("caffepy")

__all__ = ["check_destination", "check_state", "latest_state", "restore", "snapshot"]

# Of any system that caffepy runs on.
_LONGEST_PATH = 4096
# What a state can count.
_MOST_ITERATIONS = (1 << 31) - 1
# Of a name, in messages.
_SHOWN = 300
# Of the fields of a SolverState, one of which a file of one begins with.
_FIRST_BYTES = b"\x08\x12\x1a\x20"
_HISTORY = caffe_pb2.SolverState.DESCRIPTOR.fields_by_name["history"].number


def snapshot(solver: Solver) -> tuple[str, str]:
    """Write weights, then state; gives both paths."""
    hdf5 = solver.param.snapshot_format == caffe_pb2.SolverParameter.HDF5
    stem = f"{solver.param.snapshot_prefix}_iter_{solver.iter}"
    # Caffe counts steps when it takes a rate, and the last one taken was the iteration's before.
    step = current_step(solver.param, max(solver.iter - 1, 0)) if solver.iter else 0
    model = f"{stem}.caffemodel" + (".h5" if hdf5 else "")
    state = f"{stem}.solverstate" + (".h5" if hdf5 else "")
    solver.net.save(model, diff=solver.param.snapshot_diff)
    if not hdf5:
        learned = sum(param.blob.count for param in solver.net.learnable_params)
        check_binary_size(learned, solver.net, len(solver.history), state)
    try:
        if hdf5:
            _write_hdf5(solver, state, model, step)
        else:
            message = caffe_pb2.SolverState(iter=solver.iter, learned_net=model, current_step=step)
            with atomic_write(state) as file:
                blobs = (encode_blob(blob) for blob in solver.history_blobs())
                write_message_with_blobs(file, message, _HISTORY, blobs)
    except CaffepyError:
        raise
    except (OSError, RuntimeError) as error:
        raise not_written(state, error) from error
    return model, state


def _write_hdf5(solver: Solver, path: str, model: str, step: int) -> None:
    import h5py

    with atomic_path(path) as temporary, h5py.File(temporary, "w", locking=False) as file:
        file.create_dataset("iter", data=np.array([solver.iter], np.int32))
        # One byte longer than the name: Caffe reads to the zero at the end.
        name = model.encode()
        file.create_dataset("learned_net", data=np.array(name, f"S{len(name) + 1}"))
        file.create_dataset("current_step", data=np.array([step], np.int32))
        history = file.create_group("history")
        for i, blob in enumerate(solver.history_blobs()):
            history.create_dataset(str(i), data=blob)


def check_state(path: str | os.PathLike[str]) -> None:
    """Refuse what is surely no solver state, without reading all of it: now, not when the nets are built.

    Raises:
        WeightsError: no such file, or weights, or a file of another kind.
    """
    source = os.fspath(path)
    if source.endswith((".caffemodel", ".caffemodel.h5")):
        partner = _renamed(Path(source), ".caffemodel", ".solverstate")
        hint = f" {partner} lies beside it." if partner.exists() else ""
        raise WeightsError(
            f"{source} holds weights, not a solver state. Resume from its .solverstate file, or fine-tune from it with "
            f"--weights.{hint}"
        )
    if not is_hdf5(source) and check_binary(source, caffe_pb2.SolverState())[0] not in _FIRST_BYTES:
        read_binary(source, caffe_pb2.SolverState())


def _renamed(path: Path, old: str, new: str) -> Path:
    """``path`` with ``new`` for the last ``old`` of its name."""
    before, _, after = path.name.rpartition(old)
    return path.with_name(f"{before}{new}{after}")


def restore(solver: Solver, path: str | os.PathLike[str]) -> None:
    """Put ``solver`` where the state in ``path`` was taken: weights, history, iteration.

    Raises:
        WeightsError: the file or the weights that it names cannot be read, or do not fit.
    """
    source = os.fspath(path)
    check_state(source)
    if is_hdf5(source):
        iteration, learned_net, history = _read_hdf5(solver, source)
    else:
        state = caffe_pb2.SolverState()
        with open_binary(source, state) as stored:
            iteration, learned_net = state.iter, state.learned_net
            values = [stored.numbers(blob)[0] for blob in state.history]
            _check_history(solver, [blob.count for blob in values], source)
            history = [blob.array() for blob in values]
    if not 0 <= iteration <= _MOST_ITERATIONS:
        what = "is negative" if iteration < 0 else f"is more than {_MOST_ITERATIONS:,}"
        raise WeightsError(f"{source}: iteration {iteration} {what}. The file is damaged.")
    if learned_net:
        solver.net.copy_from(_find_model(learned_net, source))
    solver.set_history(history)
    solver.iter = iteration


def _check_history(solver: Solver, sizes: list[int], source: str) -> None:
    ours = [param.blob.count for _ in solver.history for param in solver.net.learnable_params]
    if len(sizes) != len(ours):
        raise WeightsError(
            f"{source}: Incorrect length of history blobs: {len(sizes)} in the file, this solver "
            f"({solver.type}) of this net has {len(ours)}. Resume with the solver type and the net that wrote it."
        )
    for i, (mine, stored) in enumerate(zip(ours, sizes, strict=True)):
        if mine != stored:
            raise WeightsError(
                f"{source}: history blob {i} has {stored} values, this net's has {mine}. "
                "Resume with the net that wrote it."
            )


def _read_hdf5(solver: Solver, source: str) -> tuple[int, str, list[NDArray[Any]]]:
    import h5py

    try:
        with h5py.File(source, "r") as file:
            group = file["history"]
            # Sizes first: a file may claim any, and be small.
            _check_history(solver, [group[str(i)].size for i in range(len(group))], source)
            history = [
                numbers(file, group[str(i)], group[str(i)].size, f"{source}: history blob {i}")
                for i in range(len(group))
            ]
            learned_net = _text(file["learned_net"]) if "learned_net" in file else ""
            if file["iter"].size != 1:
                raise ValueError("iter is not one number")
            return int(numbers(file, file["iter"], 1, f"{source}: iter")[0]), learned_net, history
    except CaffepyError:
        raise
    except READ_ERRORS as error:
        raise WeightsError(f"{source}: not a solver state as Caffe writes it in HDF5: {error}") from error


def _text(dataset: Any) -> str:
    """The one string that a dataset holds."""
    if dataset.size != 1 or dataset.dtype.kind not in "SO" or dataset.dtype.itemsize > _LONGEST_PATH:
        raise ValueError("learned_net is not the name of a file")
    value = dataset[()]
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _find_model(learned_net: str, state: str) -> str:
    """The weights' path as the state has it (from the folder of that run), or beside the state itself."""
    beside = Path(state).parent / Path(learned_net).name
    there = [path for path in (Path(learned_net), beside) if _is_file(path)]
    if there:
        _log.info("Weights of %s: %s", state, there[0])
        if len(there) == 2 and not there[0].samefile(beside) and not filecmp.cmp(there[0], beside, shallow=False):
            _log.warning(
                "%s names the weights %s, which are taken, as Caffe takes them; other weights of that name lie beside "
                "the state: %s. Is the state that of another run? To take those, move the first away.",
                state, there[0].absolute(), beside.absolute(),
            )  # fmt: skip
        return str(there[0])
    raise WeightsError(
        f"{state}: it names the weights '{learned_net[:_SHOWN]}', and there is no such file in {os.getcwd()} nor "
        f"beside the state ({str(beside)[:_SHOWN]}). Keep the .caffemodel with its .solverstate."
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    # A name that no file can have.
    except (OSError, ValueError):
        return False


def latest_state(prefix: str) -> str | None:
    """The state of ``prefix`` with the most iterations whose weights are there, or None.

    Raises:
        SolverError: the folder cannot be read.
    """
    folder = Path(prefix).parent
    pattern = re.compile(re.escape(Path(prefix).name) + r"_iter_(\d+)\.solverstate(\.h5)?")
    found = []
    try:
        entries = list(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise SolverError(f"Cannot look for the latest state in {folder.absolute()}: {reason(error)}.") from error
    for entry in entries:
        match = pattern.fullmatch(entry.name)
        if match and _renamed(entry, ".solverstate", ".caffemodel").exists():
            found.append((int(match[1]), str(entry)))
    return max(found)[1] if found else None


def check_destination(solver: Solver) -> None:
    """Find out now, not at the first snapshot, whether snapshots can be written: folder, permission, room.

    Raises:
        SolverError: they cannot.
    """
    prefix = solver.param.snapshot_prefix
    if solver.param.snapshot and not prefix:
        raise SolverError(
            "In solver params, snapshot is specified but snapshot_prefix is not. "
            'Add snapshot_prefix: "snapshots/name", or take snapshot out.'
        )
    folder = Path(prefix).parent
    problem = (
        f"Cannot write to snapshot prefix '{prefix}'. Make sure that the directory exists and is writeable: "
        f"{folder.absolute()}"
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(f"{prefix}_write_test") as temporary:
            Path(temporary).write_bytes(b"")
        os.unlink(f"{prefix}_write_test")
        # Each is as large as a snapshot.
        remove_abandoned(folder, f"{Path(prefix).name}_iter_")
    # A name that no folder can have is a ValueError.
    except (OSError, ValueError) as error:
        raise SolverError(f"{problem}: {reason(error)}.") from error
    size = sum(param.blob.count for param in solver.net.learnable_params) * solver.backend.dtype.itemsize
    needed = size * (1 + len(solver.history) + bool(solver.param.snapshot_diff))
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SolverError(
            f"{problem} has {free / 2**20:,.0f} MiB free, and one snapshot takes {needed / 2**20:,.0f} MiB. "
            "Free some room or choose another snapshot_prefix."
        )
