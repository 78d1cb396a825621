"""Files are written whole or not at all."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from caffepy.proto import files
from caffepy.proto.files import atomic_path, atomic_write, remove_abandoned

ROOT = Path(__file__).resolve().parents[2]


def test_writes_and_replaces(tmp_path: Path) -> None:
    target = tmp_path / "a.caffemodel"
    for content in (b"first", b"second"):
        with atomic_write(target) as file:
            file.write(content)
        assert target.read_bytes() == content
    assert os.listdir(tmp_path) == ["a.caffemodel"]


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")

    def write_half() -> None:
        with atomic_write(target) as file:
            file.write(b"ne")
            file.flush()
            assert target.read_bytes() == b"old"
            raise KeyError("boom")

    with pytest.raises(KeyError):
        write_half()
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_path_for_a_library_that_replaces_the_file(tmp_path: Path) -> None:
    target = tmp_path / "a.h5"
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".tmp"
        temporary.unlink()
        temporary.write_bytes(b"whole")
        assert not target.exists()
    assert target.read_bytes() == b"whole"


def test_mode_is_that_of_a_plain_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    with atomic_write(tmp_path / "atomic") as file:
        file.write(b"x")
    assert stat.S_IMODE((tmp_path / "atomic").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_symbolic_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "real")
    with atomic_write(tmp_path / "link") as file:
        file.write(b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / "real").read_bytes() == b"x"


def test_long_names(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 255)
    with atomic_write(target) as file:
        file.write(b"x")
    assert target.read_bytes() == b"x"


def test_folder_and_special_file_are_refused_and_left(tmp_path: Path) -> None:
    # A pipe stands for every special file. Never a real device: as root, a broken check would replace it for everybody.
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(IsADirectoryError), atomic_write(tmp_path):
        pass
    with pytest.raises(OSError, match="Not a regular file"), atomic_write(pipe):
        pass
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="A file's name cannot hold the character zero"), atomic_write(tmp_path / "a\0b"):
        pass
    assert os.listdir(tmp_path) == []


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "none" / "a"):
        pass


def test_synced_before_the_name_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, os.replace

    def logged_fsync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else f"file of {os.fstat(descriptor).st_size}"
        events.append(f"sync {kind}")
        fsync(descriptor)

    def logged_replace(source: Path, target: Path) -> None:
        events.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", logged_fsync)
    monkeypatch.setattr(os, "replace", logged_replace)
    with atomic_write(tmp_path / "a") as file:
        file.write(b"12345")
    assert events == ["sync file of 5", "rename", "sync folder"]


WRITER = """
import sys
from caffepy.proto.files import atomic_write
with atomic_write(sys.argv[1]) as file:
    while True:
        file.write(b"new" * 100_000)
        file.flush()
        print("wrote", flush=True)
"""


def test_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")
    with subprocess.Popen([sys.executable, "-c", WRITER, target], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"wrote\n"
        left = [name for name in os.listdir(tmp_path) if name != "a"]
        assert len(left) == 1
        remove_abandoned(tmp_path, "a")
        assert (tmp_path / left[0]).exists(), "it is being written"
        process.send_signal(signal.SIGKILL)
    assert target.read_bytes() == b"old"
    assert (tmp_path / left[0]).exists()
    with atomic_write(target) as file:
        file.write(b"next")
        assert not (tmp_path / left[0]).exists(), "the next writer of the name removes what the dead one left"
    assert os.listdir(tmp_path) == ["a"]


def test_only_our_own_temporaries_are_removed(tmp_path: Path) -> None:
    names = [".a.png.0123abcd.tmp", ".a.png.ffffffff.tmp", f".{'a' * 60}.00000000.tmp"]
    others = [
        ".a.png.0123abc.tmp",
        ".a.png.0123abcD.tmp",
        "a.png.0123abcd.tmp",
        ".a.png.0123abcd.tmp2",
        ".b.0123abcd.tmp",
    ]
    for name in (*names, *others):
        (tmp_path / name).write_bytes(b"part")
    (tmp_path / "outside").write_bytes(b"mine")
    (tmp_path / ".a.png.aaaaaaaa.tmp").symlink_to(tmp_path / "outside")
    (tmp_path / ".a.png.bbbbbbbb.tmp").mkdir()
    os.mkfifo(tmp_path / ".a.png.cccccccc.tmp")
    remove_abandoned(tmp_path, "a.png")
    special = [f".a.png.{digit * 8}.tmp" for digit in "abc"]
    assert sorted(os.listdir(tmp_path)) == sorted([names[2], *others, *special, "outside"])
    remove_abandoned(tmp_path, "a" * 200)
    assert not (tmp_path / names[2]).exists()
    remove_abandoned(tmp_path / "none", "a")


def test_where_there_are_no_locks_age_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    old, young = tmp_path / ".a.00000000.tmp", tmp_path / ".a.11111111.tmp"
    for path in (old, young):
        path.write_bytes(b"part")
    os.utime(old, (young.stat().st_mtime - 4000,) * 2)
    with atomic_write(tmp_path / "a") as file:
        file.write(b"x")
    assert sorted(os.listdir(tmp_path)) == [young.name, "a"]


def test_a_temporary_that_is_taken_for_abandoned_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its making and its lock another process may remove it."""
    import fcntl

    flock, removed = fcntl.flock, []

    def late(descriptor: int, operation: int) -> None:
        if not removed:
            removed.extend(tmp_path.iterdir())
            removed[0].unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with atomic_path(tmp_path / "a") as temporary:
        temporary.write_bytes(b"x")
        remove_abandoned(tmp_path, "a")
        assert temporary.exists()
    assert len(removed) == 1
    assert (tmp_path / "a").read_bytes() == b"x"


def test_one_of_many_leaves_the_folder_to_who_fills_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / ".a.0123abcd.tmp"
    left.write_bytes(b"x")
    synced: list[object] = []
    monkeypatch.setattr(files, "sync_folder", synced.append)
    with atomic_write(tmp_path / "a", one_of_many=True) as file:
        file.write(b"1")
    assert (tmp_path / "a").read_bytes() == b"1"
    assert left.exists()
    assert not synced
    with atomic_write(tmp_path / "a") as file:
        file.write(b"2")
    assert not left.exists()
    assert synced == [tmp_path]
