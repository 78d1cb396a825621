"""Hostile files that nets are evaluated by: ILSVRC's annotations and predictions, names of classes, windows."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from tests.attacks.generate import Attack, Dice, damage, family

annotations = family("annotation", "annotation")
predictions = family("predictions", "predictions")
windows = family("windows", "windows")

ANNOTATION = b"""<annotation>
  <folder>val</folder><size><width>500</width><height>375</height><depth>3</depth></size>
  <object><name>n01440764</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object>
  <object><name>n01443537</name><bndbox><xmin>5</xmin><ymin>6</ymin><xmax>70</xmax><ymax>80</ymax></bndbox></object>
</annotation>
"""


@annotations
def damaged_annotation(dice: Dice) -> Attack:
    note, data = damage(dice, ANNOTATION)
    return Attack(note, {"a.xml": data}, not data)


@annotations
def entities(dice: Dice) -> Attack:
    depth, width = dice.pick([1, 3, 9, 30]), dice.pick([1, 10, 100])
    lines = [b'<!ENTITY e0 "x">', *(b'<!ENTITY e%d "%s">' % (i, b"&e%d;" % (i - 1) * width) for i in range(1, depth))]
    head = b"<!DOCTYPE annotation [" + b"".join(lines) + b"]>"
    data = head + ANNOTATION.replace(b"n01440764", b"&e%d;" % (depth - 1))
    return Attack(f"{depth} entities of {width} each", {"a.xml": data}, True)


@annotations
def outside(dice: Dice) -> Attack:
    what = dice.pick([b"/etc/passwd", b"file:///dev/zero", b"http://localhost/x", b"a.xml"])
    head = dice.pick(
        [
            b'<!DOCTYPE annotation SYSTEM "%s">',
            b'<!DOCTYPE annotation [<!ENTITY x SYSTEM "%s">]>',
            b'<!DOCTYPE annotation [<!ENTITY %% x SYSTEM "%s"> %%x;]>',
        ]
    )
    return Attack(f"reads {what!r}", {"a.xml": head % what + ANNOTATION.replace(b"n01440764", b"&x;")}, True)


@annotations
def shapes(dice: Dice) -> Attack:
    count = dice.pick([100, 10_000, 200_000])
    data = dice.pick(
        [
            b"<annotation>" + b"<a>" * count,
            b"<annotation>" + b"x" * count,
            b"<annotation><object><name>" + b"n" * count + b"</name></object></annotation>",
            b"<annotation>" + b"<object/>" * count + b"</annotation>",
            b"<annotation " + b"a='b' " * count + b"/>",
            b"<annotation " + b" ".join(b"a%d='b'" % i for i in range(count)) + b"><x></annotation>",
            b"<annotation><" + b"a" * count + b"></annotation>",
            b"\xff\xfe" + b"<\0" * count,
            b"<?xml version='1.0' encoding='%s'?><annotation><" % dice.pick([b"utf-7", b"idna", b"hex", b"x" * 5000]),
        ]
    )
    return Attack(f"{count} of something: {data[:30]!r}", {"a.xml": data}, True)


@annotations
def numbers(dice: Dice) -> Attack:
    word = dice.pick([b"nan", b"inf", b"-1e400", b"1_0", b"", b"0x10", b"9" * 900, b"\xd9\xa1", b"1 2", b"-5"])
    corner = dice.pick([b"xmin", b"ymin", b"xmax", b"ymax"])
    place = ANNOTATION.index(b"<%s>" % corner) + len(corner) + 2
    data = ANNOTATION[:place] + word + ANNOTATION[ANNOTATION.index(b"<", place) :]
    return Attack(f"{corner!r} is {word[:12]!r}", {"a.xml": data})


WORDS = [
    b"1", b"999", b"n01440764", b"-1", b"1.5", b"nan", b"inf", b"1e400", b"9" * 5000, b"\xd9\xa1", b"\xff", b"\0",
    b"a" * 99, b"0 0 9 9", b"5 5 1 1", b"1,2,3,4,5", b"n0144076\xd9\xa4",
]  # fmt: skip


@predictions
def words(dice: Dice) -> Attack:
    lines = [
        dice.pick([b" ", b",", b"\t"]).join(dice.pick(WORDS) for _ in range(dice.pick([0, 1, 1, 5, 6, 25, 3000])))
        for _ in range(dice.pick([0, 1, 2, 20]))
    ]
    data = dice.pick([b"\n", b"\r\n", b"\n\n"]).join(lines)
    return Attack(f"lines {[line[:12] for line in lines[:5]]}", {"said.txt": data, "truth.txt": b"1\n2\n"})


@predictions
def damaged_lines(dice: Dice) -> Attack:
    name, good = dice.pick(
        [
            ("said.txt", b"1 2 3 4 5\n6 7 8\n"),
            ("truth.txt", b"a.jpg 1\nb.jpg 6\n"),
            ("synsets.txt", b"n01440764 1 tench\nn01443537 2 goldfish\n"),
            ("names.txt", b"n01440764 tench, Tinca tinca\nn01443537 goldfish\n"),
            ("blacklist.txt", b"1\n3\n"),
        ]
    )
    files = {"said.txt": b"1 2 3\n6 7 8\n", "truth.txt": b"1\n6\n"}
    note, data = damage(dice, good)
    return Attack(f"{name}: {note}", files | {name: data})


@windows
def rows(dice: Dice) -> Attack:
    head = dice.pick(
        [b"filename,ymin,xmin,ymax,xmax\n", b"", b"filename\n", b'"filename","ymin","xmin","ymax","xmax', b"\xff,\0\n"]
    )
    cells = [b"a.jpg", b"1", b"-1", b"nan", b"1e400", b"", b'"', b'"a\nb"', b"\xff", b"\0", b"9" * 5000, b"a" * 200_000]
    lines = [
        b",".join(dice.pick(cells) for _ in range(dice.pick([1, 5, 5, 5, 6, 900]))) for _ in range(dice.pick([0, 1, 9]))
    ]
    return Attack(f"{head[:9]!r}, {[line[:12] for line in lines[:5]]}", {"w.csv": head + b"\n".join(lines)})


@windows
def damaged_rows(dice: Dice) -> Attack:
    name, good = dice.pick(
        [
            ("w.csv", b"filename,ymin,xmin,ymax,xmax\na.jpg,1,2,30,40\n" * 3),
            ("w.txt", b"a.jpg 1 2 30 40\nb c.png 1 2 3 4\n"),
        ]
    )
    note, data = damage(dice, good)
    return Attack(f"{name}: {note}", {name: data}, not data)


def _hdf5(make: Any) -> bytes:
    import h5py

    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        make(file)
    return memory.getvalue()


def _good(file: Any) -> None:
    file["filename"] = ["a.jpg", "b.jpg"]
    file["window"] = np.array([[1, 2, 30, 40], [5, 6, 70, 80]], np.float32)


@windows
def damaged_hdf5(dice: Dice) -> Attack:
    note, data = damage(dice, _hdf5(_good))
    return Attack(f"HDF5: {note}", {"w.h5": data}, not data)


@windows
def hostile_hdf5(dice: Dice) -> Attack:
    import h5py

    text = h5py.string_dtype()
    count = dice.pick([1 << 20, 1 << 22, 1 << 40, 1 << 62])

    def long(file: Any) -> None:
        file["filename"] = ["x" * (1 << 22)] * 2
        file["window"] = np.zeros((2, 4))

    def empty(file: Any) -> None:
        file.create_dataset("filename", (count,), text, chunks=(1 << 16,))
        file.create_dataset("window", (count, 4), "f4", chunks=(1 << 16, 4))

    def groups(file: Any) -> None:
        file.create_group("filename")
        file.create_group("window")

    def links(file: Any) -> None:
        file["filename"] = h5py.SoftLink("/window")
        file["window"] = h5py.ExternalLink(dice.pick(["w.h5", "/dev/zero", "/etc/passwd"]), "/filename")

    def kinds(file: Any) -> None:
        file["filename"] = np.array([b"a", b"b"], dice.pick(["S1", "S300"]))
        values = np.zeros((2, 4), dice.pick(["c8", "S1", "i8", "f2", np.dtype([("a", "f4")])]))
        file["window"] = values

    make = dice.pick([long, empty, groups, links, kinds])
    return Attack(f"HDF5: {make.__name__} {count}", {"w.h5": _hdf5(make)}, make in (long, groups, links))
