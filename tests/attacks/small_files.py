"""Hostile files of other kinds: MNIST's images and labels, lists of images, colour noise."""

from __future__ import annotations

import gzip
import io
import zipfile

from tests.attacks.bases import base
from tests.attacks.generate import Attack, Dice, damage, family

digits = family("IDX", "idx")
lists = family("list", "list")
noise = family("colour noise", "noise")


def _packed(data: bytes) -> bytes:
    """``data`` in gzip, the same at any time."""
    return gzip.compress(data, mtime=0)


@digits
def damaged_images(dice: Dice) -> Attack:
    note, data = damage(dice, base("images"))
    return Attack(f"images, {note}", {"images": data, "labels": base("labels")}, len(data) != len(base("images")))


@digits
def damaged_labels(dice: Dice) -> Attack:
    note, data = damage(dice, base("labels"))
    return Attack(f"labels, {note}", {"images": base("images"), "labels": data}, len(data) != len(base("labels")))


@digits
def damaged_archive(dice: Dice) -> Attack:
    note, data = damage(dice, _packed(base("images")))
    return Attack(f"gzip, {note}", {"images": data, "labels": base("labels")}, not data)


@digits
def sizes(dice: Dice) -> Attack:
    shape = [dice.pick([2**32 - 1, 2**31, 65536, 0, 5, 4]) for _ in range(3)]
    head = bytes([0, 0, 8, 3]) + b"".join(size.to_bytes(4, "big") for size in shape)
    data = head + bytes(60)
    packed = dice.chance(0.5)
    return Attack(f"sizes {shape}", {"images": _packed(data) if packed else data, "labels": base("labels")}, True)


@digits
def bomb(dice: Dice) -> Attack:
    if dice.chance(0.05):
        # These are all there once unpacked, and more than may be taken; that takes its seconds.
        head = bytes([0, 0, 8, 3]) + b"".join(size.to_bytes(4, "big") for size in (1, 40 << 10, 1 << 15))
        data = _packed(head) + _packed(bytes(1 << 25)) * 40
        return Attack("a gibibyte and more of zeros in gzip", {"images": data, "labels": base("labels")}, True)
    head = bytes([0, 0, 8, 3]) + b"".join(size.to_bytes(4, "big") for size in (5, 4, 3))
    data = _packed(head + bytes(1 << 25))
    return Attack("32 MiB of zeros in gzip after a small header", {"images": data, "labels": base("labels")}, True)


LINES = [
    b"a.jpg 1", b"b c.png 2", b"x", b"", b" ", b"a.jpg 1.5", b"a.jpg 99999999999999999999", b"a.jpg 1 2 3",
    b"a.jpg nan", b"a.jpg -1", b"a.jpg +1", b"a.jpg 0x10", b"\xff\xfe 1", b"a\0b.jpg 1", b"/etc/passwd 1", b"../x 1",
    b"\xd9\xa1.jpg \xd9\xa1", b"a" * 100_000, b"9" * 5000, b"x " + b"9" * 5000, b"\xef\xbb\xbfa.jpg 1", b"a.jpg\t1",
    b"a.jpg  1  ", b"\x85\xe2\x80\xa8 1",
]  # fmt: skip


@lists
def lines(dice: Dice) -> Attack:
    chosen = [dice.pick(LINES) for _ in range(dice.pick([0, 1, 2, 5, 300]))]
    data = dice.pick([b"\n", b"\r\n", b"\r"]).join(chosen)
    return Attack(f"lines {[line[:12] for line in chosen[:5]]}", {"list.txt": data})


@lists
def any_bytes(dice: Dice) -> Attack:
    note, data = damage(dice, b"a.jpg 0\nb.jpg 1\nc/d e.png 2\n" * 20)
    return Attack(note, {"list.txt": data}, not data)


@noise
def damaged_noise(dice: Dice) -> Attack:
    note, data = damage(dice, base("noise.npz"))
    return Attack(note, {"noise.npz": data}, not data)


@noise
def members(dice: Dice) -> Attack:
    header = dice.pick(
        [
            b"{'descr': '<f8', 'fortran_order': False, 'shape': (2147483648, 2147483648), }",
            b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000,), }",
            b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
            b"{'descr': '<U1000000000', 'fortran_order': False, 'shape': (3,), }",
            b"{'descr': '<f8', 'fortran_order': False, 'shape': (-3,), }",
            b"(" * 9000,
            b"",
        ]
    )
    array = b"\x93NUMPY\1\0" + (len(header) + 1).to_bytes(2, "little") + header + b"\n" + bytes(1000)
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr(zipfile.ZipInfo("vectors.npy"), array)
        archive.writestr(zipfile.ZipInfo("deviations.npy"), array)
    return Attack(f"an array of header {header[:50]!r}", {"noise.npz": memory.getvalue()}, True)


@noise
def bomb_of_zeros(dice: Dice) -> Attack:
    memory = io.BytesIO()
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (4194304,), }\n"
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        head = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header
        archive.writestr(zipfile.ZipInfo("vectors.npy"), head + bytes(1 << 25), zipfile.ZIP_DEFLATED)
    return Attack("32 MiB of zeros in a small archive", {"noise.npz": memory.getvalue()}, True)
