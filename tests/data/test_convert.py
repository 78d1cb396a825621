"""convert_imageset's work: the records Caffe would write, or a clear error and no database."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image

from caffepy.data.convert import ConversionSettings, convert_images, plan_conversion
from caffepy.data.datum import decode
from caffepy.data.image_list import Entry, class_folders, image_path, missing_files, read_list
from caffepy.data.lmdb_writer import LmdbWriter
from caffepy.data.source import open_source
from caffepy.errors import DataError
from caffepy.proto import caffe_pb2
from tests.data.images import file_bytes, noise_image


@pytest.fixture
def photos(tmp_path):
    """Six files of several kinds and sizes, and their list."""
    root = tmp_path / "photos"
    (root / "cats").mkdir(parents=True)
    rgb = [noise_image((12 + i, 10, 3), i) for i in range(6)]
    names = ["a.jpg", "b.JPEG", "c.png", "cats/d one.jpg", "e.bmp", "f.png"]
    kinds = ["JPEG", "JPEG", "PNG", "JPEG", "BMP", "PNG"]
    for name, kind, pixels in zip(names, kinds, rgb, strict=True):
        (root / name).write_bytes(file_bytes(Image.fromarray(pixels), kind))
    return root, [Entry(name, label) for label, name in enumerate(names)]


def records(database):
    source = open_source(database)
    out = []
    for i in range(len(source)):
        key, value = source.read(i)
        datum = caffe_pb2.Datum()
        datum.ParseFromString(value)
        out.append((key.decode(), datum, decode(value, key)))
    source.close()
    return out


@pytest.mark.parametrize(("name", "encode_type"), [("raw", ""), ("png", "png"), ("jpg", "jpg")])
@pytest.mark.parametrize("threads", [1, 3])
def test_equals_caffes_database(oracle, tmp_path, name, encode_type, threads):
    settings = ConversionSettings(resize_height=40, resize_width=48, encode_type=encode_type)
    report = convert_images(
        read_list(oracle / "list.txt"), oracle / "images", tmp_path / "db", settings, threads=threads
    )
    assert (report.listed, report.records, report.labels) == (6, 6, Counter({0: 4, 1: 2}))
    ours, theirs = open_source(tmp_path / "db"), open_source(oracle / f"{name}_lmdb")
    assert len(ours) == len(theirs)
    for i in range(6):
        key, value = ours.read(i)
        their_key, their_value = theirs.read(i)
        assert key == their_key
        if name == "png":
            # The compressor differs, the pixels do not.
            assert np.array_equal(decode(value, key).array, decode(their_value, key).array)
        else:
            assert value == their_value
    assert os.listdir(tmp_path / "db") == ["data.mdb"]


def test_raw_records_hold_the_pixels(photos, tmp_path):
    root, entries = photos
    convert_images(entries, root, tmp_path / "db")
    for number, (key, datum, image) in enumerate(records(tmp_path / "db")):
        assert key == f"{number:08d}_{entries[number].name}"
        assert (datum.encoded, datum.label, image.label) == (False, number, number)
        assert image.array.shape == (3, 12 + number, 10)
    lossless = records(tmp_path / "db")[2][2].array
    assert np.array_equal(lossless, noise_image((14, 10, 3), 2)[:, :, ::-1].transpose(2, 0, 1))


def test_encoded_keeps_the_bytes_of_files(photos, tmp_path):
    root, entries = photos
    kept = [entry for entry in entries if not entry.name.endswith("bmp")]
    convert_images(kept, root, tmp_path / "db", ConversionSettings(encoded=True))
    for entry, (_, datum, _) in zip(kept, records(tmp_path / "db"), strict=True):
        assert datum.data == (root / entry.name).read_bytes()
        assert datum.encoded
        assert not datum.HasField("channels")


def test_encode_type_keeps_files_of_that_type_and_compresses_others(photos, tmp_path):
    root, entries = photos
    convert_images(entries, root, tmp_path / "db", ConversionSettings(encode_type="jpg"))
    for entry, (_, datum, _) in zip(entries, records(tmp_path / "db"), strict=True):
        is_jpeg = entry.name.lower().endswith(("jpg", "jpeg"))
        assert (datum.data == (root / entry.name).read_bytes()) == is_jpeg
        assert datum.data.startswith(b"\xff\xd8\xff")


def test_resizing_compresses_again(photos, tmp_path):
    root, entries = photos
    settings = ConversionSettings(encode_type="png", resize_height=7, resize_width=9)
    convert_images(entries, root, tmp_path / "db", settings)
    assert {image.array.shape for _, _, image in records(tmp_path / "db")} == {(3, 7, 9)}


def test_gray(photos, tmp_path):
    root, entries = photos
    convert_images(entries, root, tmp_path / "raw", ConversionSettings(gray=True))
    assert {image.array.shape[0] for _, _, image in records(tmp_path / "raw")} == {1}
    convert_images(entries, root, tmp_path / "png", ConversionSettings(gray=True, encode_type="png"))
    assert {image.array.shape[0] for _, _, image in records(tmp_path / "png")} == {1}
    gray_file = file_bytes(Image.fromarray(noise_image((1, 5, 5))[0]), "PNG")
    (root / "gray.png").write_bytes(gray_file)
    convert_images([Entry("gray.png", 0)], root, tmp_path / "kept", ConversionSettings(gray=True, encoded=True))
    assert records(tmp_path / "kept")[0][1].data == gray_file


def test_gray_of_sixteen_bits(photos, tmp_path):
    root, _ = photos
    deep = (np.arange(20, dtype=np.uint16) * 3000).reshape(4, 5)
    (root / "deep.png").write_bytes(file_bytes(Image.fromarray(deep), "PNG"))
    convert_images([Entry("deep.png", 0)], root, tmp_path / "db", ConversionSettings(gray=True, encoded=True))
    assert np.array_equal(records(tmp_path / "db")[0][2].array[0], deep >> 8)


def test_the_database_does_not_depend_on_threads(photos, tmp_path):
    root, entries = photos
    many = entries * 60
    for threads in (1, 2, 4):
        settings = ConversionSettings(shuffle=True, seed=3, encode_type="png")
        convert_images(many, root, tmp_path / f"db{threads}", settings, threads=threads)
    contents = [(tmp_path / f"db{threads}" / "data.mdb").read_bytes() for threads in (1, 2, 4)]
    assert contents[0] == contents[1] == contents[2]


def test_shuffling_is_seeded_and_keeps_all(photos, tmp_path):
    root, entries = photos
    orders = []
    for number, seed in enumerate([1, 1, 2]):
        convert_images(entries * 3, root, tmp_path / f"db{number}", ConversionSettings(shuffle=True, seed=seed))
        found = records(tmp_path / f"db{number}")
        assert [key[:8] for key, _, _ in found] == [f"{i:08d}" for i in range(18)]
        orders.append([datum.label for _, datum, _ in found])
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(list(range(6)) * 3)
    assert orders[0] != list(range(6)) * 3


def test_progress_and_more_records_than_one_commit(photos, tmp_path):
    root, entries = photos
    seen = []
    report = convert_images(entries * 400, root, tmp_path / "db", threads=2, progress=lambda *now: seen.append(now))
    assert seen == [(i, 2400) for i in range(1, 2401)]
    assert report.records == len(records(tmp_path / "db")) == 2400


def test_missing_images_are_found_before_anything_is_written(photos, tmp_path):
    root, entries = photos
    gone = [*entries, *(Entry(f"gone{i}.jpg", 3) for i in range(7))]
    with pytest.raises(DataError) as caught:
        convert_images(gone, root, tmp_path / "db")
    text = str(caught.value)
    assert text.startswith("7 of 13 images are missing: gone0.jpg, gone1.jpg, gone2.jpg, gone3.jpg, gone4.jpg, ...")
    assert f"Could not open or find file {root}/gone0.jpg" in text
    assert sorted(file.name for file in tmp_path.iterdir()) == ["photos"]


def test_the_dry_run_counts(photos):
    root, entries = photos
    report = plan_conversion([*entries, Entry("gone.jpg", 5)], root)
    assert (report.listed, report.records, report.missing) == (7, 6, [Entry("gone.jpg", 5)])
    assert report.labels == Counter(range(6))


def test_bad_images_may_be_left_out(photos, tmp_path):
    root, entries = photos
    (root / "broken.jpg").write_bytes((root / "a.jpg").read_bytes()[:-300])
    listed = [entries[0], Entry("gone.jpg", 1), Entry("broken.jpg", 2), entries[2]]
    report = convert_images(listed, root, tmp_path / "db", ConversionSettings(skip_bad=True))
    assert (report.listed, report.records, report.missing) == (4, 2, [listed[1]])
    assert [entry for entry, _ in report.undecodable] == [listed[2]]
    assert report.labels == Counter({0: 1, 2: 1})
    assert [key for key, _, _ in records(tmp_path / "db")] == ["00000000_a.jpg", "00000003_c.png"]


@pytest.mark.parametrize("threads", [1, 3])
def test_an_undecodable_image_ends_it_and_leaves_nothing(photos, tmp_path, threads):
    root, entries = photos
    (root / "c.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"image '.*/c.png' cannot be decoded: expected JPEG, PNG or BMP, got 8 bytes"):
        convert_images(entries, root, tmp_path / "db", threads=threads)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["photos"]


def test_nothing_at_all(photos, tmp_path):
    root, _ = photos
    with pytest.raises(DataError, match=r"no images to convert: the database '.*db' would be empty"):
        convert_images([], root, tmp_path / "db")
    with pytest.raises(DataError, match="1 of 1 images are missing"):
        convert_images([Entry("gone.jpg", 0)], root, tmp_path / "db", ConversionSettings(skip_bad=True))
    (root / "a.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of 1 images could be decoded; the first: .* got no data"):
        convert_images([Entry("a.jpg", 0)], root, tmp_path / "db", ConversionSettings(skip_bad=True))
    assert not (tmp_path / "db").exists()


def test_check_size(photos, tmp_path):
    root, entries = photos
    for threads in (1, 4):
        with pytest.raises(
            DataError, match=r"check_size: image 'b.JPEG' is 3 x 13 x 10, but the first, 'a.jpg', is 3 x 12"
        ):
            convert_images(entries, root, tmp_path / "db", ConversionSettings(check_size=True), threads=threads)
    settings = ConversionSettings(check_size=True, resize_height=5, resize_width=5)
    assert convert_images(entries, root, tmp_path / "db", settings).records == 6


def test_settings_that_make_no_sense():
    with pytest.raises(DataError, match="resize_height 5 and resize_width 0: give both, or none"):
        ConversionSettings(resize_height=5)
    with pytest.raises(DataError, match="give both, or none"):
        ConversionSettings(resize_height=-5, resize_width=-5)
    with pytest.raises(DataError, match="encode_type 'gif' is unknown"):
        ConversionSettings(encode_type="gif")


def test_an_encoding_that_cannot_be_guessed(photos, tmp_path):
    root, entries = photos
    with pytest.raises(DataError, match=r"e.bmp': Failed to guess the encoding from its name. Give encode_type"):
        convert_images(entries, root, tmp_path / "db", ConversionSettings(encoded=True))


def test_a_file_that_cannot_be_opened(photos, tmp_path, monkeypatch):
    root, entries = photos
    import builtins

    real = builtins.open

    def refuse(path, *arguments, **options):
        if str(path).endswith("c.png"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *arguments, **options)

    monkeypatch.setattr(builtins, "open", refuse)
    with pytest.raises(DataError, match=r"Could not open or find file .*/c.png: Permission denied"):
        convert_images(entries, root, tmp_path / "db")


def test_a_file_larger_than_any_image(photos, tmp_path):
    root, entries = photos
    with open(root / "c.png", "r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(DataError, match=r"c\.png' has 1,099,511,627,776 bytes; at most 1,073,741,824 are read"):
        convert_images(entries, root, tmp_path / "db")


def test_a_database_that_exists_is_left_alone(photos, tmp_path):
    root, entries = photos
    (tmp_path / "db").mkdir()
    with pytest.raises(DataError, match=r"mkdir .*/db failed, it exists"):
        convert_images(entries, root, tmp_path / "db")
    assert list((tmp_path / "db").iterdir()) == []
    with pytest.raises(DataError, match=f"there is no folder '{tmp_path}/none'"):
        convert_images(entries, root, tmp_path / "none" / "db")


def test_large_records_do_not_wait_in_memory_by_the_thousand(tmp_path, monkeypatch):
    from caffepy.data import lmdb_writer

    monkeypatch.setattr(lmdb_writer, "_COMMIT_BYTES", 1000)
    with LmdbWriter(tmp_path / "db") as writer:
        for i in range(10):
            writer.put(b"%d" % i, bytes(400))
            assert len(writer._pending) == (i + 1) % 3
    source = open_source(tmp_path / "db")
    assert len(source) == 10
    source.close()


def test_a_map_that_grows(tmp_path, monkeypatch):
    from caffepy.data import lmdb_writer

    monkeypatch.setattr(lmdb_writer, "_FIRST_MAP_SIZE", 1 << 16)
    monkeypatch.setattr(lmdb_writer, "_COMMIT_EVERY", 7)
    with LmdbWriter(tmp_path / "db") as writer:
        for i in range(100):
            writer.put(b"%08d" % i, bytes([i]) * 10_000)
    source = open_source(tmp_path / "db")
    assert [source.read(i)[1] for i in range(100)] == [bytes([i]) * 10_000 for i in range(100)]


def fill(writer, keys):
    for key in keys:
        writer.put(key, b"value")


def test_what_the_database_refuses(tmp_path, monkeypatch):
    with (
        pytest.raises(DataError, match=r"would have two records 'same'"),
        LmdbWriter(tmp_path / "db") as writer,
    ):
        fill(writer, [b"same"] * 2)
    with (
        pytest.raises(DataError, match=r"cannot write the database '.*db': .*BAD_VALSIZE"),
        LmdbWriter(tmp_path / "db") as writer,
    ):
        writer.put(b"", b"1")

    def full(*_arguments, **_options):
        raise lmdb.DiskError("mdb_env_open: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(lmdb, "open", full)
        with pytest.raises(DataError, match=r"cannot make the database '.*db': .*No space left on device"):
            LmdbWriter(tmp_path / "db").__enter__()

    def no_rename(*_arguments):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", no_rename)
        with (
            pytest.raises(DataError, match=r"cannot finish the database '.*db': .*Disk quota exceeded"),
            LmdbWriter(tmp_path / "db") as writer,
        ):
            writer.put(b"key", b"1")
    assert list(tmp_path.iterdir()) == []


def test_long_keys_are_cut(tmp_path):
    with LmdbWriter(tmp_path / "db") as writer:
        writer.put(b"0" * 600, b"value")
    assert open_source(tmp_path / "db").read(0) == (b"0" * 511, b"value")


def test_a_killed_conversion_leaves_no_database(tmp_path, caplog):
    script = f"""
from caffepy.data.lmdb_writer import LmdbWriter
with LmdbWriter({str(tmp_path / "db")!r}) as writer:
    for i in range(10**7):
        writer.put(b"%08d" % i, bytes(1000))
        if i == 2500:
            print("begun", flush=True)
"""
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"begun\n"
        time.sleep(0.05)
        running.send_signal(signal.SIGKILL)
        running.wait(30)
    left = list(tmp_path.iterdir())
    assert len(left) == 1
    assert left[0].name.startswith(".db.")
    with caplog.at_level(logging.WARNING, "caffepy"), LmdbWriter(tmp_path / "db") as writer:
        writer.put(b"key", b"value")
    assert f"'{left[0]}' is left from an interrupted conversion" in caplog.text
    assert open_source(tmp_path / "db").read(0) == (b"key", b"value")


def test_lists_are_read_tolerantly(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xef\xbb\xbfa.jpg 0\r\n\r\n  dir/b c.jpg\t12  \nd.jpg   -1\ne.jpg +3\nphoto 7.v2 4\nlast.jpg 5")
    assert read_list(path) == [
        Entry("a.jpg", 0),
        Entry("dir/b c.jpg", 12),
        Entry("d.jpg", -1),
        Entry("e.jpg", 3),
        Entry("photo 7.v2", 4),
        Entry("last.jpg", 5),
    ]


def test_names_in_other_encodings_reach_the_file(tmp_path):
    raw = b"caf\xe9.jpg"
    (tmp_path / "list.txt").write_bytes(raw + b" 3\n")
    with open(os.path.join(os.fsencode(tmp_path), raw), "wb") as file:
        file.write(file_bytes(Image.fromarray(noise_image((4, 4, 3))), "JPEG"))
    entries = read_list(tmp_path / "list.txt")
    convert_images(entries, tmp_path, tmp_path / "db")
    assert open_source(tmp_path / "db").read(0)[0] == b"00000000_" + raw


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("b.jpg", "expected 'name label', got 'b.jpg': the label is missing"),
        ("b.jpg 0.5", "the label must be an integer, got 0.5. A Datum holds one integer label.*HDF5"),
        ("b.jpg 1e3", "the label must be an integer, got 1e3"),
        ("b.jpg cat", "the label must be an integer, got 'cat'"),
        ("b.jpg ٣", "the label must be an integer"),
        ("b.jpg 1 2 3", "several labels in 'b.jpg 1 2 3'"),
        ("b.jpg 0.5 2", "several labels"),
        ("b.jpg 4294967296", "label 4294967296 does not fit 32 bits"),
        (f"b.jpg -{'9' * 5000}", r"label -9{39} does not fit 32 bits"),
    ],
)
def test_lines_that_caffe_would_misread(tmp_path, line, said):
    path = tmp_path / "list.txt"
    path.write_text(f"a.jpg 0\n{line}\n", "utf-8")
    with pytest.raises(DataError, match=f"list.txt:2: {said}"):
        read_list(path)


def test_no_list_and_an_empty_one(tmp_path):
    with pytest.raises(DataError, match=r"cannot read the list of images '.*none.txt': No such file"):
        read_list(tmp_path / "none.txt")
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(DataError, match=r"the list of images '.*empty.txt' is empty"):
        read_list(tmp_path / "empty.txt")


def test_a_folder_for_each_class(tmp_path):
    for name in ["dog/2.png", "dog/1.JPG", "dog/deep/3.bmp", "cat/1.jpeg", "cat/readme.txt", "cat/.hidden.jpg"]:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (tmp_path / "top.jpg").touch()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.jpg").touch()
    entries, classes = class_folders(tmp_path)
    assert classes == ["cat", "dog"]
    assert entries == [Entry("cat/1.jpeg", 0), Entry("dog/1.JPG", 1), Entry("dog/2.png", 1), Entry("dog/deep/3.bmp", 1)]


def test_folders_without_images(tmp_path):
    with pytest.raises(DataError, match="no images in the folders of"):
        class_folders(tmp_path)
    with pytest.raises(DataError, match=r"there is no folder '.*none'"):
        class_folders(tmp_path / "none")


def test_names_are_below_the_root(tmp_path):
    assert image_path("/data", "/n01/a.jpg") == image_path("/data/", "n01/a.jpg") == "/data/n01/a.jpg"
    assert image_path("", "/n01/a.jpg") == "/n01/a.jpg"
    (tmp_path / "a.jpg").touch()
    assert missing_files([Entry("/a.jpg", 0), Entry("b.jpg", 0)], tmp_path) == [Entry("b.jpg", 0)]
