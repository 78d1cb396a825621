"""What the package is asked to do with hostile files, in the folder where they lie; all return or raise an error."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.attacks.bases import NET, SOLVER

__all__ = ["VICTIMS"]

DIGITS = Path(__file__).parents[2] / "models" / "lenet" / "digits_test_lmdb"
# Nets of more values than these are built and not run.
_RUN = 1_000_000
_STEPS = 2
# Prototxts of at most so many bytes may read the digits.
_EDITED = 1 << 20


@functools.cache
def _net() -> Any:
    from caffepy import Net
    from caffepy.proto.read import parse_net

    return Net(parse_net(NET))


@functools.cache
def _solver() -> Any:
    from caffepy.proto.read import parse_net, parse_solver
    from caffepy.solver import get_solver

    solver, lines = parse_solver(SOLVER)
    solver.ClearField("net")
    solver.net_param.CopyFrom(parse_net(NET)[0])
    return get_solver((solver, lines))


def caffemodel(folder: Path) -> None:
    _net().copy_from(folder / "net.caffemodel")


def hdf5_weights(folder: Path) -> None:
    _net().copy_from(folder / "net.caffemodel.h5")


def _restore(path: Path) -> None:
    os.chdir(path.parent)
    _solver().restore(path)


def solverstate(folder: Path) -> None:
    _restore(folder / "state.solverstate")


def hdf5_state(folder: Path) -> None:
    _restore(folder / "state.solverstate.h5")


def mean(folder: Path) -> None:
    from caffepy.data.mean import read_mean

    for path in folder.iterdir():
        read_mean(path)
    if (folder / "pickled").exists() or Path("pickled").exists():
        raise AssertionError("a pickle was run")


def net(folder: Path) -> None:
    """Build it in both phases; run it forward and, in TRAIN, backward if it is small."""
    from caffepy import Net
    from caffepy.proto import caffe_pb2

    os.chdir(folder)
    if Path("net.prototxt").stat().st_size < _EDITED:
        text = Path("net.prototxt").read_bytes()
        Path("net.prototxt").write_bytes(text.replace(b'"digits"', f'"{DIGITS}"'.encode()))
    for phase in (caffe_pb2.TEST, caffe_pb2.TRAIN):
        with Net(folder / "net.prototxt", phase) as built:
            if sum(blob.count for blob in built.blobs.values()) <= _RUN:
                built.forward()
                if phase == caffe_pb2.TRAIN:
                    built.backward()


def solver(folder: Path) -> None:
    """Build it and make two steps, where each is one batch or so."""
    from caffepy.proto.read import read_solver
    from caffepy.solver import get_solver

    os.chdir(folder)
    param, lines = read_solver(folder / "solver.prototxt")
    made = get_solver((param, lines))
    try:
        if param.iter_size <= 10 and all(count <= 10 for count in param.test_iter):
            made.step(_STEPS)
    finally:
        made.close()


def datum(folder: Path) -> None:
    from caffepy.data.datum import decode

    value = (folder / "datum").read_bytes()
    for color in (None, "color", "gray"):
        decode(value, b"key", color=color)  # type: ignore[arg-type]


def image(folder: Path) -> None:
    from caffepy.data.datum import decode_image

    value = (folder / "image").read_bytes()
    for color in (None, "color", "gray"):
        decode_image(value, "the image", color=color)  # type: ignore[arg-type]


def lmdb(folder: Path) -> None:
    """Read every record and decode it; a record that cannot be decoded does not end the reading of others."""
    from caffepy.data.datum import decode
    from caffepy.data.source import open_source
    from caffepy.errors import DataError

    source = open_source(folder / "db")
    failure = None
    try:
        for ordinal in range(len(source)):
            try:
                key, value = source.read(ordinal)
                decode(value, key)
            except DataError as error:
                failure = error
    finally:
        source.close()
    if failure is not None:
        raise failure


def leveldb(folder: Path) -> None:
    """Read every record; those that LevelDB wrote are no Datums."""
    from caffepy.data.source import open_source

    source = open_source(folder / "db", "LEVELDB")
    try:
        for ordinal in range(len(source)):
            source.read(ordinal)
    finally:
        source.close()


def idx(folder: Path) -> None:
    from caffepy.data.mnist import convert_mnist

    convert_mnist(folder / "images", folder / "labels", folder / "made")


def image_list(folder: Path) -> None:
    from caffepy.data.image_list import missing_files, read_list

    missing_files(read_list(folder / "list.txt"), folder)


def noise(folder: Path) -> None:
    from caffepy.data.colour_noise import read_colour_noise

    read_colour_noise(folder / "noise.npz")


def upgrade(folder: Path) -> None:
    """Write it anew, and what was written once more: that must be as it is."""
    from caffepy.proto.upgrade_file import upgrade_net_file, upgrade_solver_file

    name, write = ("net", upgrade_net_file) if (folder / "net").exists() else ("solver", upgrade_solver_file)
    write(folder / name, folder / "new")
    if write(folder / "new", folder / "again") or (folder / "new").read_bytes() != (folder / "again").read_bytes():
        raise AssertionError("what was written is of an old form")


def annotation(folder: Path) -> None:
    from caffepy.evaluation.annotations import read_annotation

    os.chdir(folder)
    read_annotation("a.xml")


def predictions(folder: Path) -> None:
    """Both tasks, with and without synsets; the other files where they are there."""
    from caffepy.errors import DataError
    from caffepy.evaluation.ilsvrc import evaluate
    from caffepy.evaluation.ilsvrc_files import read_blacklist, read_predictions, read_synsets, read_truth
    from caffepy.evaluation.labels import read_labels

    if (folder / "names.txt").exists():
        read_labels(folder / "names.txt")
        read_synsets(folder / "names.txt")
        return
    with contextlib.suppress(DataError):
        read_predictions(folder / "said.txt", 2)
    synsets = read_synsets(folder / "synsets.txt") if (folder / "synsets.txt").exists() else None
    said = read_predictions(folder / "said.txt", 1, synsets)
    truth, _ = read_truth(folder / "truth.txt", 1)
    black = read_blacklist(folder / "blacklist.txt", 3) if (folder / "blacklist.txt").exists() else set()
    evaluate(said, truth, 1, black)


def windows(folder: Path) -> None:
    from caffepy.evaluation.windows import read_windows

    os.chdir(folder)
    for path in folder.iterdir():
        read_windows(path)


VICTIMS: dict[str, Callable[[Path], None]] = {
    "caffemodel": caffemodel,
    "hdf5 weights": hdf5_weights,
    "solverstate": solverstate,
    "hdf5 state": hdf5_state,
    "mean": mean,
    "net": net,
    "solver": solver,
    "datum": datum,
    "image": image,
    "lmdb": lmdb,
    "leveldb": leveldb,
    "idx": idx,
    "list": image_list,
    "noise": noise,
    "upgrade": upgrade,
    "annotation": annotation,
    "predictions": predictions,
    "windows": windows,
}
