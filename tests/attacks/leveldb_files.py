"""Hostile LevelDBs: damaged files of sound ones, and manifests, logs, tables and blocks written field by field."""

from __future__ import annotations

import functools
import struct
import tempfile
import zipfile
from pathlib import Path

from tests.attacks.bases import base, datum
from tests.attacks.binary_files import varint
from tests.attacks.generate import Attack, Dice, damage, family

__all__ = ["sound"]

databases = family("LevelDB", "leveldb")

_REAL = Path(__file__).parents[1] / "data" / "leveldb.zip"
_COMPARATOR = b"leveldb.BytewiseComparator"
_MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
_NUMBERS = [0, 1, 2, 2**31 - 1, 2**32 - 1, 2**32, 2**63, 2**64 - 1]


@functools.cache
def sound(name: str) -> dict[str, bytes]:
    """The files of a database: one that caffepy wrote, or one of those that LevelDB wrote."""
    if name == "written":
        from caffepy.data.leveldb_writer import LeveldbWriter

        with tempfile.TemporaryDirectory() as folder:
            with LeveldbWriter(Path(folder) / "db") as writer:
                for number, kind in enumerate(["JPEG", "", "PNG"] * 20):
                    writer.put(b"%08d" % number, datum(kind))
            return {f"db/{file.name}": file.read_bytes() for file in sorted((Path(folder) / "db").iterdir())}
    with zipfile.ZipFile(_REAL) as archive:
        names = sorted(each for each in archive.namelist() if each.startswith(f"{name}/"))
        return {f"db/{each.partition('/')[2]}": archive.read(each) for each in names}


def _log(*records: bytes) -> bytes:
    """A log file; a record is one fragment, so short."""
    return b"".join(bytes(4) + struct.pack("<HB", len(record), 1) + record for record in records)


def _text(data: bytes, length: int | None = None) -> bytes:
    return varint(len(data) if length is None else length) + data


def _manifest(*edits: bytes) -> dict[str, bytes]:
    whole = b"\x01" + _text(_COMPARATOR) + b"\x02" + varint(3) + b"\x03" + varint(4) + b"\x04" + varint(9)
    return {"db/CURRENT": b"MANIFEST-000002\n", "db/MANIFEST-000002": _log(whole, *edits)}


def _table(number: int) -> bytes:
    return b"\x07" + varint(0) + varint(number) + varint(1000) + _text(b"a") + _text(b"z")


def _put(key: bytes, value: bytes) -> bytes:
    return b"\1" + _text(key) + _text(value)


def _batch(entries: bytes, count: int, sequence: int = 1) -> bytes:
    return struct.pack("<QI", sequence, count) + entries


def _entry(shared: int, key: bytes, value: bytes, rest: int | None = None, length: int | None = None) -> bytes:
    return varint(shared) + varint(len(key) if rest is None else rest) + _text(b"", length or len(value)) + key + value


def _block(entries: bytes, restarts: int = 1, kind: int = 0) -> bytes:
    return entries + bytes(4) + struct.pack("<I", restarts) + bytes([kind]) + bytes(4)


def _handle(offset: int, size: int) -> bytes:
    return varint(offset) + varint(size)


def _of_blocks(blocks: list[bytes], handles: list[bytes] | None = None) -> bytes:
    """A table of these blocks; ``handles`` says that they lie elsewhere."""
    data, index = b"", b""
    for i, block in enumerate(blocks):
        place = handles[i] if handles else _handle(len(data), len(block) - 5)
        index += _entry(0, b"k%06d" % i + bytes(8), place)
        data += block
    whole = _block(index)
    footer = _handle(0, 0) + _handle(len(data), len(whole) - 5)
    return data + whole + footer.ljust(40, b"\0") + _MAGIC


def _key(number: int) -> bytes:
    return b"%08d" % number + struct.pack("<Q", number << 8 | 1)


def _database(table: bytes) -> dict[str, bytes]:
    return {**_manifest(_table(5)), "db/000005.ldb": table}


@databases
def damaged_file(dice: Dice) -> Attack:
    files = dict(sound(dice.pick(["written", "written", "log", "snappy", "plain", "again"])))
    name = dice.pick([name for name, data in files.items() if data])
    note, files[name] = damage(dice, files[name])
    return Attack(f"{name}, {note}", files)


@databases
def damaged_structure(dice: Dice) -> Attack:
    """Damage where a table or log says how it goes on: its last bytes, or its first."""
    files = dict(sound(dice.pick(["written", "log", "snappy"])))
    name = dice.pick([name for name in files if name.endswith((".ldb", ".log")) and files[name]])
    data = bytearray(files[name])
    size = dice.pick([1, 2, 4, 8])
    place = dice.below(64) if name.endswith(".log") else len(data) - 8 - dice.below(300)
    value = dice.pick(_NUMBERS) % 2 ** (8 * size)
    data[place : place + size] = value.to_bytes(size, "little")
    files[name] = bytes(data)
    return Attack(f"{value:#x} in {size} bytes at {place} of {name}", files)


@databases
def missing_file(dice: Dice) -> Attack:
    files = dict(sound(dice.pick(["written", "log"])))
    name = dice.pick([name for name in files if not name.endswith("LOCK")])
    del files[name]
    return Attack(f"{name} is not there", files, True)


@databases
def exchanged_files(dice: Dice) -> Attack:
    files = dict(sound(dice.pick(["written", "log"])))
    one = dice.pick([name for name in files if not name.endswith("LOCK")])
    other = dice.pick([base("net.caffemodel"), base("lmdb"), base("jpeg"), bytes(40_000), b"\xff" * 40_000, b""])
    files[one] = other
    # Zeros are space that was set aside, and the end of a log may be missing.
    return Attack(f"{one} is {other[:8]!r}", files, not one.endswith(".log"))


@databases
def current(dice: Dice) -> Attack:
    files = dict(sound("written"))
    name = dice.pick(
        [
            b"", b"\n", b"MANIFEST-", b"MANIFEST-000009\n", b"../db/MANIFEST-000001\n", b"/dev/zero\n", b"000002.ldb\n",
            b"MANIFEST-/../CURRENT", b"MANIFEST-\0", b"\xff\xfe", b"MANIFEST-" + b"9" * 5000, b"CURRENT\n", b"LOCK",
        ]
    )  # fmt: skip
    files["db/CURRENT"] = name
    return Attack(f"CURRENT names {name[:20]!r}", files, True)


@databases
def manifests(dice: Dice) -> Attack:
    number = dice.pick(_NUMBERS)
    note, edit = dice.pick(
        [
            (f"a table {number}", _table(number)),
            ("two thousand tables", b"".join(map(_table, range(2000)))),
            (f"a field {number}", varint(number) + b"\1\2\3"),
            ("another comparator", b"\x01" + _text(b"reverse")),
            ("no comparator", b"\x01" + _text(b"")),
            ("a text that is not there", b"\x01" + varint(dice.pick([1000, 2**31, 2**63, 2**64 - 1])) + b"x"),
            ("half a table", _table(5)[: dice.below(len(_table(5)) - 1) + 1]),
            ("a number without end", b"\x02" + b"\xff" * 20),
            ("a number of zeros", b"\x02" + b"\x80" * 30),
            (f"a log {number}", b"\x02" + varint(number)),
        ]
    )
    files = {**_manifest(edit), "db/000003.log": _log(_batch(_put(b"k", datum()), 1))}
    # Field 2 is the log that counts, and the third counts from its own number or a lower one.
    return Attack(note, files, note not in ("a field 2", "a log 0", "a log 1", "a log 2"))


@databases
def logs(dice: Dice) -> Attack:
    number = dice.pick([2**31, 2**32 - 1, 2**63, 2**64 - 1, 1000])
    good = _put(b"00000001", datum())
    note, records = dice.pick(
        [
            ("more entries than there are", [_batch(good, dice.pick([2, 2**31, 2**32 - 1]))]),
            (f"a value of {number} bytes", [_batch(b"\1" + _text(b"k") + varint(number) + b"v", 1)]),
            (f"a key of {number} bytes", [_batch(b"\1" + varint(number) + b"k", 1)]),
            ("an entry of another kind", [_batch(bytes([dice.pick([2, 3, 127, 255])]) + _text(b"k") + _text(b"v"), 1)]),
            ("less than a head", [b"x" * dice.below(12)]),
            ("only what was deleted", [_batch(b"\0" + _text(b"00000001"), 1)]),
            ("a put and its deletion", [_batch(good, 1), _batch(b"\0" + _text(b"00000001"), 1, 2)]),
            ("no entries", [_batch(b"", 0)] * 3),
            ("nothing", []),
        ]
    )
    return Attack(note, {**_manifest(), "db/000003.log": _log(*records)}, True)


@databases
def fragments(dice: Dice) -> Attack:
    record = _batch(_put(b"00000001", datum()), 1)
    kinds = [dice.pick([0, 1, 2, 3, 4, 5, 255]) for _ in range(dice.pick([1, 2, 5]))]
    lengths = [dice.pick([len(record), len(record) - 1, 0, 65535, 32761, 32768]) for _ in kinds]
    data = b"".join(
        bytes(4) + struct.pack("<HB", n, kind) + record for kind, n in zip(kinds, lengths, strict=True)
    ) + bytes(dice.pick([0, 100, 70_000]))
    unended = not {1, 4} & set(kinds)
    return Attack(f"fragments of kinds {kinds}, lengths {lengths}", {**_manifest(), "db/000003.log": data}, unended)


@databases
def many_fragments(dice: Dice) -> Attack:
    """A record in fragments of no bytes: it must not take time with the square of their number."""
    first, middle, last = (bytes(6) + bytes([kind]) for kind in (2, 3, 4))
    # A block of 32 KiB has room for 4681 heads and a byte.
    data = first + middle * 4680 + b"\0" + (middle * 4681 + b"\0") * dice.pick([1, 20]) + last
    return Attack("thousands of empty fragments", {**_manifest(), "db/000003.log": data}, True)


@databases
def tables(dice: Dice) -> Attack:
    block = _block(_entry(0, _key(1), datum()))
    offset, size = dice.pick(_NUMBERS), dice.pick(_NUMBERS)
    note, table = dice.pick(
        [
            (f"a block of {size} at {offset}", _of_blocks([block], [_handle(offset, size)])),
            ("blocks in each other", _of_blocks([block] * 3, [_handle(0, len(block) - 5)] * 3)),
            ("a block a thousand times", _of_blocks([block] * 1000, [_handle(0, len(block) - 5)] * 1000)),
            ("an index that is its own block", _handle(0, 0)),
            ("no footer", _of_blocks([block])[:-8]),
            ("a handle without end", _of_blocks([block], [b"\xff" * 20])),
            ("half a handle", _of_blocks([block], [b"\x05"])),
            ("nothing but a footer", _handle(0, 0).ljust(40, b"\0") + _MAGIC),
            (f"an index of {size} at {offset}", (_handle(0, 0) + _handle(offset, size)).ljust(40, b"\0") + _MAGIC),
        ]
    )
    return Attack(note, _database(table), True)


@databases
def blocks(dice: Dice) -> Attack:
    number = dice.pick([2**31, 2**32 - 1, 2**63, 2**64 - 1, 1000])
    good = _entry(0, _key(1), datum())
    note, block = dice.pick(
        [
            (f"{number} restarts", _block(good, number % 2**32)),
            (f"a beginning of {number} that is shared with nothing", _block(_entry(number, _key(1), b"v"))),
            (f"a key of {number} bytes", _block(_entry(0, _key(1), b"v", rest=number))),
            (f"a value of {number} bytes", _block(_entry(0, _key(1), b"v", length=number))),
            ("a key of no sequence", _block(_entry(0, b"short", b"v"))),
            ("an entry cut short", _block(good[: dice.below(len(good) - 1) + 1])),
            ("an entry of another kind", _block(_entry(0, b"k" + struct.pack("<Q", 1 << 8 | 77), b"v"))),
            ("no entries", _block(b"")),
            ("three bytes", b"abc" + bytes(5)),
            ("compressed in an unknown way", _block(good, kind=dice.pick([2, 4, 255]))),
        ]
    )
    return Attack(note, _database(_of_blocks([block])), True)


@databases
def keys_that_share(dice: Dice) -> Attack:
    """Each key is all of the one before and a byte more: together they are longer than any memory."""
    entries = _entry(0, b"k" * 8000, b"") + _entry(8000, b"\1" * 8, b"") * dice.pick([1000, 100_000])
    return Attack("keys that share thousands of bytes", _database(_of_blocks([_block(entries)])), True)


@databases
def compressed(dice: Dice) -> Attack:
    import cramjam

    packed = bytes(cramjam.snappy.compress_raw(_block(_entry(0, _key(1), datum()))[:-5]))
    note, content = dice.pick(
        [
            ("a length that is not so", varint(dice.pick([0, 1, 10**6, 2**31, 2**32 - 1, 2**63])) + packed[1:]),
            ("damage", damage(dice, packed)[1]),
            ("copies from before the beginning", varint(1000) + bytes([0xFE, 0xFF, 0xFF]) * 16),
            ("many copies of a byte", varint(64 * 30_000 + 1) + b"\0x" + bytes([0xFE, 1, 0]) * 30_000),
            ("nothing", b""),
            ("random bytes", dice.bytes(500)),
        ]
    )
    table = _of_blocks([content + b"\1" + bytes(4)])
    return Attack(f"Snappy: {note}", _database(table), note != "damage")
