"""Hostile databases: records, and whole LMDB files."""

from __future__ import annotations

import struct
import zlib

from tests.attacks.bases import base, databases_file, datum, picture
from tests.attacks.binary_files import block, number, varint
from tests.attacks.generate import Attack, Dice, damage, family

records = family("Datum", "datum")
pictures = family("image", "image")
files = family("LMDB", "lmdb")


@records
def damaged_record(dice: Dice) -> Attack:
    note, data = damage(dice, datum(dice.pick(["", "JPEG", "PNG", "BMP"])))
    return Attack(note, {"datum": data}, not data)


@records
def sizes(dice: Dice) -> Attack:
    shape = [dice.pick([2**31 - 1, 65536, 0, -1, 3, 4, 5]) for _ in range(3)]
    data = b"".join(number(i + 1, size) for i, size in enumerate(shape))
    data += dice.pick([block(4, bytes(60)), block(6, bytes(240)), b"", block(4, b"", 2**32)])
    return Attack(f"channels, height, width {shape}", {"datum": data}, sorted(shape) != [3, 4, 5])


@records
def encoded(dice: Dice) -> Attack:
    data = dice.pick([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a" + bytes(100), dice.bytes(3000)])
    return Attack(f"encoded, but {data[:8]!r}", {"datum": block(4, data) + number(7, 1)}, True)


@records
def floats(dice: Dice) -> Attack:
    length = dice.pick([1, 239, 241, 4, 0])
    data = number(1, 3) + number(2, 4) + number(3, 5) + block(6, bytes(length))
    return Attack(f"{length} bytes of float_data", {"datum": data}, True)


@records
def groups(dice: Dice) -> Attack:
    depth = dice.pick([50, 101, 10_000])
    return Attack(f"{depth} groups in each other", {"datum": varint(9 << 3 | 3) * depth}, True)


@pictures
def damaged_picture(dice: Dice) -> Attack:
    kind = dice.pick(["JPEG", "PNG", "BMP"])
    note, data = damage(dice, picture(kind))
    return Attack(f"{kind}, {note}", {"image": data}, not data)


def _png(width: int, height: int, depth: int, colour: int, interlaced: int, rows: bytes) -> bytes:
    """A PNG file of these sizes, sound where ``rows`` are."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pictures
def sizes_of_a_png(dice: Dice) -> Attack:
    width, height = (dice.pick([2**31 - 1, 65535, 0, 2**32 - 1, 10**6]) for _ in range(2))
    data = _png(width, height, dice.pick([8, 16, 1]), dice.pick([0, 2, 3, 6]), dice.pick([0, 1]), bytes(10**6))
    return Attack(f"a PNG of {width} x {height}", {"image": data}, True)


@pictures
def more_pixels_than_are_decoded(dice: Dice) -> Attack:
    """All of them are there: a hundred million bits, in some ten thousand bytes."""
    width, height = dice.pick([(10_000, 10_000), (8192, 8193), (100_000, 1000)])
    data = _png(width, height, 1, 0, 0, bytes(height * (1 + (width + 7) // 8)))
    return Attack(f"a whole PNG of {width} x {height}", {"image": data}, True)


@pictures
def sizes_of_a_jpeg(dice: Dice) -> Attack:
    data = bytearray(picture("JPEG"))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", dice.pick([65535, 0, 60000]), dice.pick([65535, 0, 60000]))
    return Attack("a JPEG of another size", {"image": bytes(data)}, True)


@pictures
def sizes_of_a_bmp(dice: Dice) -> Attack:
    data = bytearray(picture("BMP"))
    data[18:26] = struct.pack("<ii", dice.pick([2**31 - 1, -1, 0, 10**6]), dice.pick([2**31 - 1, -(2**31), 0, 10**6]))
    return Attack("a BMP of another size", {"image": bytes(data)}, True)


@pictures
def other_formats(dice: Dice) -> Attack:
    data = dice.pick(
        [b"%!PS-Adobe-3.0 EPSF-3.0\n", b"GIF89a", b"II*\0", b"RIFF\0\0\0\0WEBP", b"8BPS", b"<svg/>", b"\0\0\1\0"]
    )
    return Attack(f"another format, {data[:8]!r}", {"image": data + dice.bytes(200)}, True)


@files
def damaged_file(dice: Dice) -> Attack:
    note, data = damage(dice, base(dice.pick(["lmdb", "deep lmdb"])))
    return Attack(note, {"db/data.mdb": data}, not data)


@files
def damaged_pages(dice: Dice) -> Attack:
    """Damage to the heads and entries of pages, where what is outside the file is pointed at."""
    data = bytearray(base("deep lmdb"))
    notes = []
    for _ in range(dice.pick([1, 1, 2, 5])):
        page = dice.below(len(data) // 4096) * 4096
        # Half of them by the page's own table of entries, which begin at its end.
        place = page + (dice.below(40) if dice.chance(0.5) else 4096 - 1 - dice.below(1600))
        size = dice.pick([1, 2, 4, 8])
        value = dice.pick([0, 1, 2**63, 2**64 - 1, 4095, 4096, dice.below(2**32), dice.below(600)]) % 2 ** (8 * size)
        data[place : place + size] = value.to_bytes(size, "little")
        notes.append(f"{value:#x} in {size} bytes at {place - page} of page {page // 4096}")
    return Attack("; ".join(notes), {"db/data.mdb": bytes(data)})


def _big_values(data: bytes) -> list[tuple[int, int]]:
    """Where a page says of a value that it has pages of its own: the places of its length and of its first page."""
    found = []
    for page in range(0, len(data), 4096):
        flags, lower = struct.unpack_from("<HH", data, page + 10)
        if flags == 2:
            for offset in struct.unpack_from(f"<{(lower - 16) // 2}H", data, page + 16):
                kind, key = struct.unpack_from("<HH", data, page + offset + 4)
                if kind & 1:
                    found.append((page + offset, page + offset + 8 + key))
    return found


@files
def values_of_pages_elsewhere(dice: Dice) -> Attack:
    """Values that begin or end behind the file, or before its first page of records."""
    data = bytearray(base("deep lmdb"))
    pages = len(data) // 4096
    length, first = dice.pick(_big_values(data))
    if dice.chance(0.5):
        value = dice.pick([0, 1, pages, pages + 1, 2**31, 2**52, 2**63, 2**64 - 1])
        data[first : first + 8] = value.to_bytes(8, "little")
        return Attack(f"a value on page {value} of {pages}", {"db/data.mdb": bytes(data)}, True)
    value = dice.pick([pages * 4096, 2**31 - 1, 2**31, 2**32 - 1])
    data[length : length + 4] = value.to_bytes(4, "little")
    return Attack(f"a value of {value} bytes", {"db/data.mdb": bytes(data)}, True)


@files
def exchanged_pages(dice: Dice) -> Attack:
    data = base("deep lmdb")
    pages = [data[i : i + 4096] for i in range(0, len(data), 4096)]
    one, other = dice.below(len(pages)), dice.below(len(pages))
    pages[one], pages[other] = pages[other], pages[one]
    if dice.chance(0.5):
        pages[one] = other.to_bytes(8, "little") + pages[one][8:]
    return Attack(f"pages {one} and {other} exchanged", {"db/data.mdb": b"".join(pages)})


@files
def cut_at_pages(dice: Dice) -> Attack:
    data = base(dice.pick(["lmdb", "deep lmdb"]))
    keep = dice.below(len(data) // 4096) * 4096
    return Attack(f"cut to {keep} of {len(data)} bytes", {"db/data.mdb": data[:keep]}, True)


@files
def records_of_no_datum(dice: Dice) -> Attack:
    values = [dice.bytes(dice.pick([0, 1, 48, 5000])) for _ in range(3)]
    return Attack("random records", {"db/data.mdb": databases_file(values)})


@files
def no_lmdb(dice: Dice) -> Attack:
    name = dice.pick(["net.caffemodel", "net.caffemodel.h5", "jpeg", "images"])
    return Attack(f"a file of another kind: {name}", {"db/data.mdb": base(name)}, True)
