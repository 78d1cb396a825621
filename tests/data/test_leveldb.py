"""LevelDBs: those that LevelDB itself wrote, those that caffepy writes, and damaged ones.

leveldb.zip holds databases of LevelDB 1.23 (plyvel 1.5.1), all with the records of `expected`: ``snappy`` and ``plain``
in several tables and logs (write_buffer_size 64 KiB), ``log`` in a log alone (256 MiB, Caffe's), ``again`` as
``snappy`` and opened once more, which moves all into tables.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import stat
import struct
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from caffepy.data import leveldb_source
from caffepy.data.leveldb_log import log_record
from caffepy.data.leveldb_source import LeveldbSource
from caffepy.data.leveldb_table import block_content, table_blocks
from caffepy.data.leveldb_writer import LeveldbWriter
from caffepy.data.source import open_source
from caffepy.data.writer import new_database
from caffepy.errors import DataError
from caffepy.proto.varint import write_varint

NAMES = ["snappy", "plain", "log", "again"]
needs_snappy = pytest.mark.skipif(
    importlib.util.find_spec("cramjam") is None, reason="cramjam, which unpacks Snappy, is not installed: extra leveldb"
)


def value(i, turn=0):
    return (f"value {i} turn {turn} " * (i % 60 + 1)).encode()


def expected():
    """All keys; every seventh written again, every eleventh deleted, but 11 written after that; a large one."""
    records = {b"%08d" % i: value(i, int(i % 7 == 0)) for i in range(400) if i % 11}
    records[b"00000011"] = value(11, 2)
    records[b"big"] = bytes(100_000)
    return sorted(records.items())


@pytest.fixture
def unpacked(tmp_path):
    with zipfile.ZipFile(Path(__file__).with_name("leveldb.zip")) as archive:
        archive.extractall(tmp_path)
    return tmp_path


def read_all(path):
    source = open_source(path, "LEVELDB")
    try:
        return [source.read(i) for i in range(len(source))]
    finally:
        source.close()


@needs_snappy
@pytest.mark.parametrize("name", NAMES)
def test_leveldb_s_own(unpacked, name):
    assert read_all(unpacked / name) == expected()


@needs_snappy
def test_nothing_is_written_and_several_may_read(unpacked):
    folder = unpacked / "snappy"
    before = {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir()}
    for file in [*folder.iterdir(), folder]:
        file.chmod(stat.S_IRUSR | stat.S_IXUSR)
    sources = [open_source(folder, "LEVELDB") for _ in range(3)]
    results = []

    def look(source):
        results.append([source.read(i) for i in range(len(source))])

    threads = [threading.Thread(target=look, args=[sources[i % 3]]) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected()] * 6
    for source in sources:
        source.close()
    folder.chmod(stat.S_IRWXU)
    assert {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir()} == before


def test_the_folder_may_be_named_by_its_current(unpacked):
    assert read_all(unpacked / "log" / "CURRENT") == expected()


def test_tables_of_the_old_name(unpacked):
    for file in (unpacked / "plain").glob("*.ldb"):
        file.rename(file.with_suffix(".sst"))
    assert read_all(unpacked / "plain") == expected()


def test_keys_and_closing(unpacked):
    source = LeveldbSource("shown", unpacked / "plain")
    assert source.key(0) == b"00000001"
    assert source.key(len(source) - 1) == b"big"
    for ordinal in (-1, len(source)):
        with pytest.raises(IndexError, match=f"record {ordinal} of 'shown', which has {len(source)}"):
            source.read(ordinal)
    source.close()
    source.close()
    with pytest.raises(DataError, match="the LevelDB 'shown' was closed; record 0 cannot be read"):
        source.read(0)


def test_without_the_extra(unpacked, monkeypatch):
    said = r"the LevelDB '.*': its blocks are compressed with Snappy.* pip install 'caffepy\[leveldb\]'"
    monkeypatch.setitem(sys.modules, "cramjam", None)
    with pytest.raises(DataError, match=said):
        open_source(unpacked / "again", "LEVELDB")
    # What is not compressed needs nothing.
    assert read_all(unpacked / "plain") == expected()
    assert read_all(unpacked / "log") == expected()


@needs_snappy
def test_the_extra_goes_while_reading(unpacked, monkeypatch):
    source = open_source(unpacked / "again", "LEVELDB")
    monkeypatch.setitem(sys.modules, "cramjam", None)
    with pytest.raises(DataError, match=r"pip install 'caffepy\[leveldb\]'"):
        source.read(0)
    source.close()


RECORDS = [
    (b"%08d_%d" % (i, i * i), np.random.default_rng(i).bytes(20_000 if i % 17 == 0 else i % 900)) for i in range(500)
]


def write(path, records=RECORDS):
    with LeveldbWriter(path) as writer:
        for key, stored in records:
            writer.put(key, stored)
        assert writer.count == len(records)
    return path


@pytest.mark.parametrize("table", [1 << 26, 50_000])
def test_what_is_written_is_read(tmp_path, monkeypatch, table):
    monkeypatch.setattr("caffepy.data.leveldb_writer._TABLE", table)
    write(tmp_path / "db")
    assert len(list((tmp_path / "db").glob("*.ldb"))) == (1 if table > 1 << 20 else 13)
    assert read_all(tmp_path / "db") == RECORDS


def test_long_values_are_passed_over_where_keys_are_collected(tmp_path, monkeypatch):
    records = [(b"%d" % i, bytes([i]) * 20_000) for i in range(5)]
    write(tmp_path / "db", records)
    sizes = []
    whole = leveldb_source.block_content
    monkeypatch.setattr(leveldb_source, "block_content", lambda stored: sizes.append(len(stored)) or whole(stored))
    source = open_source(tmp_path / "db", "LEVELDB")
    assert sizes == []
    assert [source.read(i) for i in range(5)] == records
    source.close()


@pytest.mark.parametrize("table", [1 << 26, 50_000])
def test_leveldb_reads_what_is_written(tmp_path, monkeypatch, table):
    plyvel = pytest.importorskip("plyvel", reason="plyvel, LevelDB itself for Python, is not installed")
    monkeypatch.setattr("caffepy.data.leveldb_writer._TABLE", table)
    write(tmp_path / "db")
    with plyvel.DB(str(tmp_path / "db"), paranoid_checks=True) as database:
        assert list(database.iterator(verify_checksums=True)) == RECORDS
        assert database.get(RECORDS[99][0]) == RECORDS[99][1]
        database.put(b"new", b"record")
        database.delete(RECORDS[0][0])
    assert read_all(tmp_path / "db") == [*RECORDS[1:], (b"new", b"record")]


def test_a_writer_leaves_all_or_nothing(tmp_path, caplog):
    with pytest.raises(ZeroDivisionError), LeveldbWriter(tmp_path / "db") as writer:
        writer.put(b"1", bytes(1 // 0))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match=r"cannot make the database '.*db': there is no folder '.*none'"):
        LeveldbWriter(tmp_path / "none" / "db").__enter__()
    (tmp_path / ".db.12345678.partial").mkdir()
    with caplog.at_level(logging.WARNING, "caffepy"):
        write(tmp_path / "db")
    assert ".db.12345678.partial' is left from an interrupted conversion" in caplog.text
    with pytest.raises(DataError, match=r"cannot make the database '.*db': mkdir .*db failed, it exists"):
        write(tmp_path / "db")
    assert sorted(os.listdir(tmp_path)) == [".db.12345678.partial", "db"]


def test_keys_must_rise(tmp_path):
    for keys, match in (
        ([b"2", b"1"], "needs its keys in rising order; got '1'"),
        ([b"1", b"1"], "would have two records '1'"),
        ([b""], "needs its keys in rising order; got ''"),
    ):
        with pytest.raises(DataError, match=match):
            write(tmp_path / "db", [(key, b"") for key in keys])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("when", "match"), [("put", "cannot write the database"), ("sync", "cannot finish the database")]
)
def test_a_full_disk(tmp_path, monkeypatch, when, match):
    def full(*args):
        raise OSError(28, "No space left on device")

    name = {"put": "_Table.add", "sync": "_sync"}[when]
    monkeypatch.setattr(f"caffepy.data.leveldb_writer.{name}", full)
    with pytest.raises(DataError, match=rf"{match} '.*db': .*No space left"):
        write(tmp_path / "db")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch):
    def refused(*args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refused)
    for backend in ("LEVELDB", "LMDB"):
        with pytest.raises(DataError, match=r"cannot make the database '.*db': .*Permission denied"):
            new_database(tmp_path / "db", backend).__enter__()


def test_kinds_of_databases(tmp_path):
    with pytest.raises(
        DataError, match=r"database backend 'LEVELBD' is unknown; expected LMDB or LEVELDB. Did you mean"
    ):
        new_database(tmp_path / "db", "LEVELBD")
    for backend in ("LEVELDB", "LMDB"):
        with new_database(tmp_path / backend, backend) as writer:
            writer.put(b"key", b"value")
        source = open_source(tmp_path / backend, backend)
        assert source.read(0) == (b"key", b"value")
        source.close()


def test_an_empty_database(tmp_path):
    write(tmp_path / "db", [])
    with pytest.raises(DataError, match=r"the LevelDB '.*db' has 0 records: convert_imageset made an empty database"):
        open_source(tmp_path / "db", "LEVELDB")


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("CURRENT", None, "CURRENT: No such file"),
        ("CURRENT", b"\xff\xfe", "CURRENT: it names no manifest"),
        ("CURRENT", b"MANIFEST-../../x", "CURRENT: it names no manifest: 'MANIFEST-../../x'"),
        ("CURRENT", b"MANIFEST-000099\n", "CURRENT: No such file"),
        ("MANIFEST-000002", b"", r"keys are ordered by b'', expected b'leveldb.BytewiseComparator'"),
        ("MANIFEST-000002", log_record(b"\x01\x01x"), "keys are ordered by b'x'"),
        ("MANIFEST-000002", log_record(b"\x01\x1aleveldb.BytewiseComparator"), "does not say which log counts"),
        ("MANIFEST-000002", log_record(b"\x08"), "the manifest has a field 8"),
        ("MANIFEST-000002", log_record(b"\x01\x7fx"), "a text of 127 bytes at byte 2 does not fit"),
        ("000005.ldb", None, "000005.ldb: No such file"),
        ("000005.ldb", b"", "000005.ldb: 0 bytes are less than a table's end"),
        ("000005.ldb", bytes(100), "000005.ldb: it does not end as a table does"),
        ("000006.log", log_record(b"x" * 11), "000006.log: the record at byte 7 has 11 bytes, less than its head"),
        ("000006.log", log_record(b""), "000006.log: the record at byte 7 has 0 bytes"),
        (
            "000006.log",
            log_record(bytes(8) + b"\xff\xff\xff\x7f"),
            "entry 0 of the record at byte 7 does not fit|no number",
        ),
        (
            "000006.log",
            log_record(bytes(8) + b"\1\0\0\0" + b"\x05\x01k"),
            "entry 0 of the record at byte 7 does not fit",
        ),
        ("000006.log", log_record(bytes(8) + b"\1\0\0\0" + b"\x01\x01k\x7fv"), "entry 0 of the record at byte 7"),
    ],
)
def test_damaged_databases(unpacked, name, content, match):
    folder = unpacked / "plain"
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"the LevelDB '.*plain' is damaged or incomplete: .*({match})"):
        open_source(folder, "LEVELDB")


def test_a_current_of_a_tebibyte(unpacked):
    with open(unpacked / "plain" / "CURRENT", "r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(DataError, match=r"CURRENT: it names no manifest: 'MANIFEST-\d+\\n\\x00"):
        open_source(unpacked / "plain", "LEVELDB")


def test_more_than_memory_holds(unpacked, monkeypatch):
    def exhausted(data):
        raise MemoryError

    monkeypatch.setattr(leveldb_source, "_log_entries", exhausted)
    with pytest.raises(DataError, match=r"the LevelDB '.*plain': out of memory with the keys of 000006.log"):
        open_source(unpacked / "plain", "LEVELDB")


def batch(sequence, *entries):
    """A log of one record: (key, value), or (key, None) for a deletion."""
    payload = struct.pack("<QI", sequence, len(entries))
    for key, stored in entries:
        payload += bytes([stored is not None, len(key)]) + key
        payload += b"" if stored is None else write_varint(len(stored)) + stored
    return log_record(payload)


def test_of_one_batch_the_last_entry_of_a_key_counts(tmp_path):
    write(tmp_path / "db", [(b"a", b"1"), (b"b", b"2"), (b"c", b"3")])
    number = 3
    log = batch(9, (b"a", b"4"), (b"a", b"5"), (b"b", b"6"), (b"b", None), (b"d", None), (b"d", b"7"))
    (tmp_path / "db" / f"{number:06d}.log").write_bytes(log)
    assert read_all(tmp_path / "db") == [(b"a", b"5"), (b"c", b"3"), (b"d", b"7")]


def test_a_log_and_a_table_that_no_longer_count(tmp_path):
    write(tmp_path / "db", RECORDS[:5])
    manifest = tmp_path / "db" / "MANIFEST-000001"
    (tmp_path / "db" / "000001.log").write_bytes(batch(99, (b"old", b"")))
    assert read_all(tmp_path / "db") == RECORDS[:5]
    # One before the log that counts may count too.
    whole = manifest.read_bytes()
    manifest.write_bytes(whole + log_record(b"\x09\x01"))
    assert len(read_all(tmp_path / "db")) == 6
    # A table that came and went.
    added = b"\x07\x00\x63\x10" + b"\x09" + b"k" * 9 + b"\x09" + b"k" * 9
    manifest.write_bytes(whole + log_record(added))
    with pytest.raises(DataError, match=r"000099.ldb: No such file"):
        open_source(tmp_path / "db", "LEVELDB")
    manifest.write_bytes(whole + log_record(added) + log_record(b"\x06\x00\x63"))
    assert read_all(tmp_path / "db") == RECORDS[:5]


def test_a_key_can_be_looked_for_in_steps(tmp_path):
    """LevelDB searches the places where a key is whole, every sixteenth, by halves."""
    write(tmp_path / "db", [(b"%04d" % i, b"") for i in range(100)])
    (table,) = (tmp_path / "db").glob("*.ldb")
    data = table.read_bytes()
    (block,) = table_blocks(lambda offset, length: data[offset : offset + length], len(data))
    content = block_content(data[: block.size + 5])
    *places, count = struct.unpack("<8I", content[-32:])
    assert count == 7 == len(places)
    assert [content[place + 3 : place + 7] for place in places] == [b"%04d" % i for i in range(0, 100, 16)]
    assert all(content[place] == 0 for place in places)


def test_blocks_in_each_other(tmp_path):
    write(tmp_path / "db", [(b"%d" % i, bytes(5000)) for i in range(3)])
    (table,) = (tmp_path / "db").glob("*.ldb")
    data = table.read_bytes()
    blocks = list(table_blocks(lambda offset, length: data[offset : offset + length], len(data)))
    places = [write_varint(block.offset) + write_varint(block.size) for block in blocks]
    assert len(places[1]) == len(places[2])
    table.write_bytes(data.replace(places[2], places[1]))
    with pytest.raises(DataError, match=r"a block of \d+ bytes at byte \d+ lies outside its place"):
        open_source(tmp_path / "db", "LEVELDB")


def test_keys_that_share_too_much(tmp_path):
    """Three bytes for each key of 4096: a small file that would claim much memory."""
    key = b"k" * 4088 + bytes(8)
    content = b"\x00" + write_varint(4096) + b"\x00" + key + (write_varint(4095) + b"\x01\x00z") * 100_000
    content += b"\0\0\0\0\1\0\0\0"
    index = b"\x00\x09\x03x" + bytes(8) + b"\x00" + write_varint(len(content))
    footer_index = len(content) + 5
    index = b"\x00\x09" + write_varint(len(write_varint(0) + write_varint(len(content)))) + b"x" * 9
    index += write_varint(0) + write_varint(len(content)) + b"\0\0\0\0\1\0\0\0"
    footer = (b"\x00\x00" + write_varint(footer_index) + write_varint(len(index))).ljust(40, b"\0")
    write(tmp_path / "db", [(b"a", b"")])
    table = content + bytes(5) + index + bytes(5) + footer + bytes.fromhex("57fb808b247547db")
    next((tmp_path / "db").glob("*.ldb")).write_bytes(table)
    with pytest.raises(DataError, match="its keys are longer than its size allows"):
        open_source(tmp_path / "db", "LEVELDB")


def test_logs_and_manifests_too_large(unpacked, monkeypatch):
    monkeypatch.setattr(leveldb_source, "_MAX_LOG", 1000)
    with pytest.raises(DataError, match=r"a log of [\d,]+ bytes"):
        open_source(unpacked / "log", "LEVELDB")
    monkeypatch.setattr(leveldb_source, "_MAX_LOG", 10)
    with pytest.raises(DataError, match=r"MANIFEST-000002 has \d+ bytes"):
        open_source(unpacked / "log", "LEVELDB")


def test_a_file_that_is_cut_after_it_was_opened(unpacked):
    source = open_source(unpacked / "log", "LEVELDB")
    os.truncate(unpacked / "log" / "000003.log", 5000)
    with pytest.raises(
        DataError, match=r"record 'big' of the LevelDB '.*' cannot be read: .* are not there \(.*000003"
    ):
        source.read(len(source) - 1)
    source.close()


@needs_snappy
@pytest.mark.parametrize("name", NAMES)
def test_damage_anywhere_ends_in_an_error_or_in_records(unpacked, name):
    """Cuts and flipped bits: what comes out is records or a DataError, nothing else."""
    random = np.random.default_rng(4)
    files = [file for file in (unpacked / name).iterdir() if file.stat().st_size]
    failed = 0
    for turn in range(120):
        file = files[turn % len(files)]
        whole = file.read_bytes()
        if turn % 3:
            data = bytearray(whole)
            # Near the end are a table's index and footer.
            near = random.integers(max(0, len(whole) - 300), len(whole)) if turn % 2 else random.integers(len(whole))
            data[near] ^= 1 << random.integers(8)
        else:
            data = whole[: random.integers(len(whole))]
        file.write_bytes(data)
        try:
            read_all(unpacked / name)
        except DataError:
            failed += 1
        file.write_bytes(whole)
    assert failed > 10
    assert read_all(unpacked / name) == expected()


def test_a_copy_without_its_lock_and_notes(unpacked):
    (unpacked / "log" / "LOCK").unlink()
    shutil.copytree(unpacked / "log", unpacked / "copy")
    assert read_all(unpacked / "copy") == expected()
