"""Opening databases, and the one clear error for each thing that is not one."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import lmdb
import pytest

from caffepy.data.source import open_source
from caffepy.errors import DataError


def test_records_come_in_key_order_under_their_keys(make_lmdb):
    values = [b"first", b"second" * 900, b"third"]
    source = open_source(make_lmdb(values))
    assert len(source) == 3
    assert [source.read(i) for i in range(3)] == [(b"%08d" % i, value) for i, value in enumerate(values)]


def test_the_file_data_mdb_may_be_named(make_lmdb):
    path = make_lmdb([b"value"])
    assert open_source(path / "data.mdb").read(0) == (b"00000000", b"value")


def test_the_same_database_may_be_open_twice_and_is_let_go_once_both_are_closed(make_lmdb):
    path = make_lmdb([b"value"])
    one, two = open_source(path), open_source(path)
    one.close()
    one.close()
    assert two.read(0)[1] == b"value"
    with pytest.raises(DataError, match="was closed; record 0"):
        one.read(0)
    two.close()
    # py-lmdb refuses a second environment of an open file, so this shows that it was closed.
    lmdb.open(str(path), readonly=True, lock=False).close()


def test_a_folder_without_write_permission_is_read(make_lmdb):
    path = make_lmdb([b"value"])
    (path / "data.mdb").chmod(0o444)
    path.chmod(0o555)
    try:
        assert len(open_source(path)) == 1
        assert sorted(file.name for file in path.iterdir()) == ["data.mdb"]
    finally:
        path.chmod(0o755)


def test_an_ordinal_outside_is_refused(make_lmdb):
    source = open_source(make_lmdb([b"value"]))
    for ordinal in (-1, 1):
        with pytest.raises(IndexError, match=f"record {ordinal} of"):
            source.read(ordinal)


def test_threads_read_at_once(make_lmdb):
    values = [bytes([i]) * (i + 1) for i in range(200)]
    source = open_source(make_lmdb(values))
    wrong: list[int] = []

    def read_all(step: int) -> None:
        for i in range(0, 2000, step):
            if source.read(i % 200)[1] != values[i % 200]:
                wrong.append(i)

    threads = [threading.Thread(target=read_all, args=(step,)) for step in (1, 3, 7, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_nothing_there_names_the_place_and_the_near_miss(make_lmdb, tmp_path, monkeypatch):
    make_lmdb([b"value"], "ilsvrc12_train_lmdb")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        open_source("ilsvrc12_trian_lmdb")
    text = str(caught.value)
    assert f"looked for '{tmp_path}/ilsvrc12_trian_lmdb' (working directory '{tmp_path}')" in text
    assert "Did you mean 'ilsvrc12_train_lmdb'?" in text
    assert "Check failed: mdb_status == 0 (2 vs. 0) No such file or directory" in text


def test_nothing_there_lists_the_folders_beside_or_the_part_of_the_path_that_exists(tmp_path):
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match=r"Folders in '.*': other\."):
        open_source(tmp_path / "zzz")
    with pytest.raises(DataError, match=f"Of that path only '{tmp_path}' exists"):
        open_source(tmp_path / "a" / "b" / "c")
    with pytest.raises(DataError, match="path is empty: set 'source'"):
        open_source("")


def test_an_empty_database_says_so(make_lmdb):
    with pytest.raises(DataError, match=r"has 0 records: convert_imageset made an empty database.*--dry-run"):
        open_source(make_lmdb([]))


def test_leveldb_given_as_lmdb(tmp_path):
    (tmp_path / "CURRENT").write_text("MANIFEST-000002\n")
    with pytest.raises(DataError, match=r"is a LevelDB, not an LMDB .*Write 'backend: LEVELDB'"):
        open_source(tmp_path, "LMDB")
    with pytest.raises(DataError, match=r"is a LevelDB, not an LMDB"):
        open_source(tmp_path / "CURRENT", "LMDB")


def test_an_incomplete_leveldb(tmp_path):
    (tmp_path / "MANIFEST-000002").touch()
    with pytest.raises(DataError, match=r"is damaged or incomplete: CURRENT: No such file"):
        open_source(tmp_path, "LEVELDB")


def test_lmdb_given_as_leveldb_says_what_to_write(make_lmdb):
    with pytest.raises(DataError, match=r"is an LMDB, not a LevelDB\. Write 'backend: LMDB' .* '--backend lmdb'"):
        open_source(make_lmdb([b"value"]), "LEVELDB")


def test_no_leveldb_and_no_lmdb_either(tmp_path):
    with pytest.raises(DataError, match=r"is no LevelDB: the folder holds no data.mdb \(it is empty\)"):
        open_source(tmp_path, "LEVELDB")


def test_an_unknown_backend(tmp_path):
    with pytest.raises(DataError, match=r"backend 'LMBD' is unknown; expected LMDB or LEVELDB. Did you mean 'LMDB'\?"):
        open_source(tmp_path, "LMBD")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file: read it with a layer of type HDF5Data"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a Git LFS pointer.*git lfs pull"),
        (b"<!DOCTYPE html><html>", "the answer of a failed download"),
        (b"\x1f\x8b\x08" + bytes(100), "a gzip archive: unpack it first"),
        (b"PK\x03\x04" + bytes(100), "a zip archive"),
        (b"SQLite format 3\0" + bytes(100), "an SQLite database"),
        (b"", "an empty file: the conversion that made it was interrupted"),
        (bytes(16) + b"\xbe\xef\xc0\xde" + bytes(100), "the other byte order"),
        (b"something else altogether", r"not an LMDB file \(MDB_INVALID\)"),
    ],
)
def test_foreign_files_are_told_apart(tmp_path, content, said):
    (tmp_path / "train_lmdb").write_bytes(content)
    with pytest.raises(DataError, match=said):
        open_source(tmp_path / "train_lmdb")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "data.mdb").write_bytes(content)
    with pytest.raises(DataError, match=f"its data.mdb is .*{said}"):
        open_source(folder)


def test_a_folder_of_other_files(tmp_path, make_lmdb):
    inner = make_lmdb([b"value"], "inner")
    with pytest.raises(DataError, match=f"its folder 'inner' does. Did you mean '{inner}'"):
        open_source(tmp_path)
    shutil.rmtree(inner)
    (tmp_path / "cat.jpg").touch()
    with pytest.raises(DataError, match=r"holds no data.mdb \(it holds: cat.jpg\)"):
        open_source(tmp_path)


def test_magic_number_right_but_the_rest_damaged(tmp_path):
    (tmp_path / "data.mdb").write_bytes(bytes(16) + b"\xde\xc0\xef\xbe" + b"\xff" * 9000)
    with pytest.raises(DataError, match=r"is damaged: meta page 0 is not one \(MDB_INVALID\)"):
        open_source(tmp_path)


@pytest.mark.parametrize("name", ["x" * 5000, f"{'x' * 5000}/db", "a\0b"])
def test_a_name_that_no_file_can_have(name):
    with pytest.raises(DataError, match=r"there is no database"):
        open_source(name)


def test_a_database_cut_short_is_refused_before_it_is_read(make_lmdb):
    path = make_lmdb([b"x" * 5000] * 20)
    with (path / "data.mdb").open("r+b") as file:
        file.truncate(file.seek(0, 2) - 20_000)
    with pytest.raises(DataError, match=r"is cut short: .*data.mdb has \d+ bytes of at least \d+"):
        open_source(path)


def test_an_unreadable_file(make_lmdb, monkeypatch):
    path = make_lmdb([b"value"])
    real = Path.open

    def refuse(self: Path, *arguments: object, **options: object) -> object:
        if self.name == "data.mdb":
            raise PermissionError(13, "Permission denied")
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"cannot read '.*data.mdb': Permission denied"):
        open_source(path)


def test_named_databases_only(tmp_path):
    environment = lmdb.open(str(tmp_path / "db"), max_dbs=1, lock=False)
    named = environment.open_db(b"train")
    with environment.begin(write=True, db=named) as transaction:
        transaction.put(b"key", b"value")
    environment.close()
    with pytest.raises(DataError, match=r"holds named databases \('train'\) and not records"):
        open_source(tmp_path / "db")


def test_a_record_that_vanishes_and_one_that_is_damaged(make_lmdb, monkeypatch):
    source = open_source(make_lmdb([b"value"]))

    class Transaction:
        def __enter__(self) -> Transaction:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def get(self, key: bytes) -> bytes | None:
            if damaged:
                raise lmdb.CorruptedError("mdb_get: MDB_CORRUPTED")
            return None

    class Environment:
        def begin(self) -> Transaction:
            return Transaction()

    monkeypatch.setattr(source, "_environment", Environment())
    damaged = False
    with pytest.raises(DataError, match="record '00000000' vanished from the LMDB"):
        source.read(0)
    damaged = True
    with pytest.raises(DataError, match=r"record '00000000' of the LMDB .* cannot be read: .*MDB_CORRUPTED"):
        source.read(0)


def test_damage_met_while_the_keys_are_read(make_lmdb, monkeypatch):
    from caffepy.data.lmdb_source import LmdbSource

    def fail(self: LmdbSource) -> None:
        raise lmdb.PageNotFoundError("mdb_cursor_get: MDB_PAGE_NOTFOUND")

    monkeypatch.setattr(LmdbSource, "_index", fail)
    with pytest.raises(DataError, match=r"the LMDB '.*' is damaged: .*MDB_PAGE_NOTFOUND"):
        open_source(make_lmdb([b"value"]))
