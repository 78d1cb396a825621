"""caffepy convert-mnist, compute-image-mean and check-data."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from caffepy.data.datum import decode, encode
from caffepy.data.lmdb_writer import LmdbWriter
from caffepy.data.mean import compute_mean, read_mean
from caffepy.data.source import open_source
from caffepy.host import cores


@pytest.fixture
def mnist(tmp_path, monkeypatch):
    """Three digits of 4 x 5 in MNIST's format."""
    monkeypatch.chdir(tmp_path)
    pixels = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    with gzip.open("images.gz", "wb") as file:
        file.write(bytes([0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5]) + pixels.tobytes())
    with open("labels", "wb") as file:
        file.write(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]))
    return pixels


def images(path):
    source = open_source(path)
    try:
        return [decode(*reversed(source.read(i))) for i in range(len(source))]
    finally:
        source.close()


def test_convert_mnist(run, mnist):
    result = run("convert_mnist", "images.gz", "labels", "new/db")
    assert (result.code, result.out) == (0, "")
    assert result.lines == ["Processed 3 files.", "3 images written to new/db."]
    found = images("new/db")
    assert np.array_equal(np.concatenate([image.array for image in found]), mnist)
    assert [image.label for image in found] == [7, 8, 9]
    assert (
        run(
            "convert-mnist", "-resize_height=8", "-resize_width=10", "-encode_type=png", "images.gz", "labels", "b"
        ).code
        == 0
    )
    assert {image.array.shape for image in images("b")} == {(1, 8, 10)}


def test_convert_mnist_refuses(run, mnist):
    result = run("convert-mnist", "labels", "images.gz", "db")
    assert result.code == 1
    assert "Are images and labels exchanged?" in result.err


def test_convert_mnist_to_a_leveldb(run, mnist):
    for backend in ("lmdb", "leveldb"):
        result = run("convert-mnist", f"-backend={backend}", "images.gz", "labels", backend)
        assert result.code == 0, result.err
    one, other = open_source("lmdb"), open_source("leveldb", "LEVELDB")
    assert [one.read(i) for i in range(len(one))] == [other.read(i) for i in range(len(other))]
    one.close()
    other.close()
    assert run("check-data", "-backend=leveldb", "leveldb").code == 0


def test_a_leveldb_is_known_by_what_lies_there(run, mnist):
    for backend in ("lmdb", "leveldb"):
        run("convert-mnist", f"-backend={backend}", "images.gz", "labels", backend)
    means = [run("compute-image-mean", name).lines for name in ("lmdb", "leveldb", "leveldb/CURRENT")]
    assert means[0] == means[1] == means[2]
    assert "mean_value channel [0]: 29.5" in means[0]
    assert run("check-data", "leveldb").code == 0
    result = run("check-data", "-backend=lmdb", "leveldb")
    assert result.code == 1
    assert "is a LevelDB, not an LMDB" in result.err


def test_compute_image_mean(run, mnist):
    run("convert-mnist", "images.gz", "labels", "db")
    result = run("compute_image_mean", "-backend=lmdb", "db", "mean.binaryproto")
    assert (result.code, result.out) == (0, "")
    assert result.lines == [
        "Processed 3 files.", "Write to mean.binaryproto", "Number of channels: 1", "mean_value channel [0]: 29.5",
    ]  # fmt: skip
    assert np.allclose(read_mean("mean.binaryproto"), mnist.mean(axis=0)[None])
    assert "Write to" not in run("compute-image-mean", "db").err


def test_images_of_a_mean_are_decoded_in_all_cores_or_so_many_threads(run, mnist, monkeypatch):
    run("convert-mnist", "images.gz", "labels", "db")
    seen = []

    def compute(source, *, threads, progress):
        seen.append(threads)
        return compute_mean(source, threads=threads, progress=progress)

    monkeypatch.setattr("caffepy.data.mean.compute_mean", compute)
    assert run("compute-image-mean", "db").lines == run("compute-image-mean", "-threads=3", "db").lines
    assert seen == [cores(), 3]


def test_a_thousand_files_are_a_line(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with LmdbWriter("db") as writer:
        for i in range(2001):
            writer.put(b"%08d" % i, encode(np.full((1, 1, 1), i % 200, np.uint8), 0).SerializeToString())
    lines = run("compute-image-mean", "db").lines
    assert lines[:3] == ["Processed 1000 files.", "Processed 2000 files.", "Processed 2001 files."]


def test_check_data(run, digits):
    result = run("check-data", digits / "test", "-num_output=10")
    assert result.code == 0
    assert result.out.splitlines() == [
        f"{digits}/test: 360 records, 360 looked at",
        "  1 x 28 x 28 (channels x height x width): 360",
        "  10 labels, from 0 to 9; 35 to 37 records each",
        "Nothing is wrong.",
    ]


def test_check_data_finds(run, digits):
    result = run("check-data", digits / "test", "-num_output=9", "-crop_size=28", "-limit=100")
    assert result.code == 1
    lines = result.out.splitlines()
    assert lines[0].endswith("360 records, 100 looked at")
    assert sum(line.startswith("bad: record '") and "label 9 is outside 0..8" in line for line in lines) > 3
    assert lines[-1].endswith(" bad, 0 warnings.")
    result = run("check-data", digits / "test", "-crop_size=29")
    assert result.code == 1
    assert "bad: 340 more" in result.out
    assert "360 bad, 0 warnings." in result.out
    assert run("check-data", digits / "test", "-force_color", "-force_gray").code == 2
    assert "3 x 28 x 28" in run("check-data", digits / "test", "-force_color").out


def test_check_data_of_warnings_alone(run, digits):
    for flags, code in (([], 0), (["--strict"], 1)):
        result = run("check-data", digits / "test", "-num_output=11", *flags)
        assert result.code == code
        assert result.out.splitlines()[-1] == "0 bad, 1 warning."
        assert "warning: no record has label 10" in result.out
    assert run("check-data", digits / "test", "-num_output=10", "--strict").code == 0


@pytest.mark.parametrize("command", ["compute-image-mean", "check-data"])
def test_no_database(run, tmp_path, command):
    result = run(command, tmp_path / "none")
    assert result.code == 1
    assert "error: there is no database" in result.err
