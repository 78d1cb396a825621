"""Hostile HDF5 files: weights and solver states with links, types, shapes and sizes that are not Caffe's."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.attacks.bases import STATE_NET, base
from tests.attacks.generate import Attack, Dice, damage, family

weights = family("HDF5 weights", "hdf5 weights")
states = family("HDF5 state", "hdf5 state")


def _edited(name: str, edit: Callable[[Any], None]) -> bytes:
    import h5py

    memory = io.BytesIO(base(name))
    with h5py.File(memory, "r+") as file:
        edit(file)
    return memory.getvalue()


@weights
def damaged_weights(dice: Dice) -> Attack:
    note, data = damage(dice, base("net.caffemodel.h5"))
    return Attack(note, {"net.caffemodel.h5": data}, not data)


@states
def damaged_state(dice: Dice) -> Attack:
    note, data = damage(dice, base("state.h5"))
    return Attack(note, {"state.solverstate.h5": data, f"{STATE_NET}.h5": base("net.caffemodel.h5")}, not data)


def _huge(group: Any, name: str, **options: Any) -> None:
    group.create_dataset(name, shape=(1 << 40,), dtype="f4", chunks=(1 << 20,), **options)


def _bomb(group: Any, name: str) -> None:
    # Sixteen million zeros in some thousand bytes.
    group.create_dataset(name, data=np.zeros(1 << 24, np.float32), chunks=(1 << 24,), compression="gzip")


def _piece(group: Any, name: str) -> None:
    # It is unpacked as a whole, whatever of it is read.
    options = {"maxshape": (None,) * 4, "chunks": (1 << 21, 1, 3, 3), "compression": "gzip"}
    group.create_dataset(name, data=np.zeros((3, 1, 3, 3), np.float32), **options)


def things(dice: Dice, what: str) -> tuple[str, Callable[[Any, str], None]]:
    """What to put in the place of a dataset."""
    import h5py

    values = np.zeros((3, 1, 3, 3), np.float32)
    kinds: dict[str, Callable[[Any, str], Any]] = {
        "a dataset that is said to have 2^40 values": _huge,
        "a compressed dataset of 2^40 values": lambda g, n: _huge(g, n, compression="gzip"),
        "zeros that were compressed a thousand times": _bomb,
        "text": lambda g, n: g.create_dataset(n, data="0.5"),
        "texts of any length": lambda g, n: g.create_dataset(n, (3, 1, 3, 3), h5py.string_dtype()),
        "records": lambda g, n: g.create_dataset(n, data=np.zeros((3, 1, 3, 3), [("a", "f4")])),
        "references": lambda g, n: g.create_dataset(n, (3, 1, 3, 3), h5py.ref_dtype),
        "lists": lambda g, n: g.create_dataset(n, (3, 1, 3, 3), h5py.vlen_dtype(np.float32)),
        "opaque values": lambda g, n: g.create_dataset(n, data=np.zeros((3, 1, 3, 3), "V4")),
        "complex numbers": lambda g, n: g.create_dataset(n, data=values.astype(np.complex64)),
        "an enumeration": lambda g, n: g.create_dataset(n, (3, 1, 3, 3), h5py.enum_dtype({"a": 1})),
        "nothing": lambda g, n: g.create_dataset(n, data=h5py.Empty("f4")),
        "one number": lambda g, n: g.create_dataset(n, data=np.float32(1)),
        "no elements": lambda g, n: g.create_dataset(n, (0,), "f4"),
        "one axis": lambda g, n: g.create_dataset(n, data=values.reshape(-1)),
        "thirty axes": lambda g, n: g.create_dataset(n, data=np.zeros((1,) * 30, np.float32)),
        "a group": lambda g, n: g.create_group(n),
        "a link to itself": lambda g, n: g.__setitem__(n, h5py.SoftLink(f"{g.name}/{n}")),
        "a link to the root": lambda g, n: g.__setitem__(n, g["/"]),
        "a link to its group": lambda g, n: g.__setitem__(n, g),
        "a link to nothing": lambda g, n: g.__setitem__(n, h5py.SoftLink("/nowhere")),
        "a link to another file": lambda g, n: g.__setitem__(n, h5py.ExternalLink("/etc/passwd", "/x")),
        "a link to this file": lambda g, n: g.__setitem__(n, h5py.ExternalLink("net.caffemodel.h5", "/data/conv/1")),
        "values of another file": lambda g, n: g.create_dataset(n, (3, 1, 3, 3), "f4", external=[("/bin/sh", 0, 108)]),
        "a few values in a piece of 75 million bytes": _piece,
        "a type": lambda g, n: g.__setitem__(n, np.dtype("f4")),
    }  # fmt: skip
    note = dice.pick(list(kinds))
    return f"{what} is {note}", kinds[note]


# Without these a layer lacks a blob, or the file its weights.
_NEEDED = ("data/conv/0", "data/group/ip/0", "data")


@weights
def a_blob_is_something_else(dice: Dice) -> Attack:
    place = dice.pick([*_NEEDED, "data/conv"])
    note, put = things(dice, place)

    def edit(file: Any) -> None:
        del file[place]
        group, _, name = place.rpartition("/")
        put(file[group or "/"], name)

    # What holds no weights where weights were may be passed over as a layer that the file lacks; an enumeration is of
    # integers.
    refused = "enumeration" not in note and "group" not in note and "root" not in note and place in _NEEDED
    return Attack(note, {"net.caffemodel.h5": _edited("net.caffemodel.h5", edit)}, refused)


@weights
def cycles(dice: Dice) -> Attack:
    import h5py

    depth = dice.pick([1, 3, 30])
    soft = dice.chance(0.5)

    def edit(file: Any) -> None:
        group = file["data"]
        for i in range(depth):
            group = group.create_group(f"g{i}")
        group["back"] = h5py.SoftLink("/data") if soft else file["data"]

    return Attack(
        f"a group that holds one above it ({depth} levels)", {"net.caffemodel.h5": _edited("net.caffemodel.h5", edit)}
    )


@weights
def many_groups(dice: Dice) -> Attack:
    count = dice.pick([100, 3000])

    def edit(file: Any) -> None:
        group = file["data"]
        for i in range(count):
            group = group.create_group(f"g{i}") if i < 200 else group
            group.attrs["x"] = i

    return Attack(f"{count} groups in each other", {"net.caffemodel.h5": _edited("net.caffemodel.h5", edit)})


@weights
def numbers_of_blobs(dice: Dice) -> Attack:
    extra = dice.pick(["2", "7", "x", "-1", "00", "1e3"])

    def edit(file: Any) -> None:
        if dice.chance(0.5):
            file["data/conv"].create_dataset(extra, data=np.zeros(3, np.float32))
        else:
            del file["data/conv/1"]

    return Attack("another number of blobs", {"net.caffemodel.h5": _edited("net.caffemodel.h5", edit)}, True)


@weights
def no_data(dice: Dice) -> Attack:
    def edit(file: Any) -> None:
        del file["data"]

    return Attack("no data", {"net.caffemodel.h5": _edited("net.caffemodel.h5", edit)}, True)


@states
def a_part_is_something_else(dice: Dice) -> Attack:
    place = dice.pick(["history/0", "history/3", "history", "iter", "learned_net"])
    note, put = things(dice, place)

    def edit(file: Any) -> None:
        del file[place]
        group, _, name = place.rpartition("/")
        put(file[group or "/"], name)

    files = {"state.solverstate.h5": _edited("state.h5", edit), f"{STATE_NET}.h5": base("net.caffemodel.h5")}
    # One number is an iteration, and text or nothing may name no weights.
    return Attack(note, files, place == "history")


@states
def histories(dice: Dice) -> Attack:
    remove = dice.chance(0.5)

    def edit(file: Any) -> None:
        if remove:
            del file["history/0"]
        else:
            file["history/99"] = np.zeros(4, np.float32)

    return Attack("a history with a gap", {"state.solverstate.h5": _edited("state.h5", edit)}, True)


@states
def other_files(dice: Dice) -> Attack:
    name = dice.pick(["net.caffemodel.h5", "net.caffemodel", "lmdb", "jpeg"])
    return Attack(f"a file of another kind: {name}", {"state.solverstate.h5": base(name)}, True)
