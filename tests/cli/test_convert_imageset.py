"""caffepy convert-imageset: Caffe's flags, the count at the end, and loud failures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from caffepy.data.datum import decode
from caffepy.data.source import open_source


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder with six images in two folders, and list.txt."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    lines = []
    for label, name in enumerate(("cats", "dogs")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(3):
            image = Image.fromarray(rng.integers(0, 256, (20 + i, 30, 3), np.uint8))
            image.save(tmp_path / "photos" / name / f"{i}.png")
            lines.append(f"{name}/{i}.png {label}\n")
    (tmp_path / "list.txt").write_text("".join(lines))
    return tmp_path


def records(path):
    source = open_source(path)
    try:
        return [(key.decode(), decode(value, key)) for key, value in (source.read(i) for i in range(len(source)))]
    finally:
        source.close()


def test_a_database(run, photos):
    result = run("convert_imageset", "-resize_height=8", "-resize_width=9", "photos/", "list.txt", "new/db")
    assert (result.code, result.out) == (0, "")
    assert result.lines == [
        "A total of 6 images.",
        "Processed 6 files.",
        "2 labels from 0 to 1, 3 to 3 images each.",
        "6 of 6 images written to new/db; 0 missing, 0 damaged.",
    ]
    found = records("new/db")
    assert [key for key, _ in found][:2] == ["00000000_cats/0.png", "00000001_cats/1.png"]
    assert {image.array.shape for _, image in found} == {(3, 8, 9)}
    assert [image.label for _, image in found] == [0, 0, 0, 1, 1, 1]


def test_flags(run, photos):
    assert run("convert-imageset", "-gray", "-shuffle=true", "-backend=lmdb", "photos", "list.txt", "db").code == 0
    found = records("db")
    assert {image.array.shape[0] for _, image in found} == {1}
    assert [key[9:] for key, _ in found] != sorted(key[9:] for key, _ in found)
    assert (
        run("convert-imageset", "--noshuffle", "-encoded", "-encode_type", "jpg", "photos", "list.txt", "e").code == 0
    )
    assert [key[9:] for key, _ in records("e")] == sorted(key[9:] for key, _ in records("e"))
    result = run("convert-imageset", "-check_size", "photos", "list.txt", "sized")
    assert result.code == 1
    assert "error: check_size: image 'cats/1.png'" in result.err


def test_images_to_be_turned_are_told_once(run, photos):
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("cats/2.jpg", "cats/0.jpg"):
        Image.new("RGB", (9, 5)).save(photos / "photos" / name, exif=exif)
    (photos / "list.txt").write_text("cats/1.png 1\ncats/2.jpg 0\ncats/0.jpg 0\n")
    result = run("convert-imageset", "photos", "list.txt", "db")
    (line,) = [line for line in result.lines if "EXIF" in line]
    assert line.startswith(
        "2 images are to be turned by their EXIF orientation, the first cats/2.jpg. Their pixels are"
    )
    assert "mogrify -auto-orient" in line
    assert [image.array.shape for _, image in records("db")][1:] == [(3, 5, 9)] * 2
    (photos / "list.txt").write_text("cats/1.png 1\n")
    assert "EXIF" not in run("convert-imageset", "photos", "list.txt", "other").err


def test_class_folders(run, photos):
    result = run("convert-imageset", "--class-folders", "photos", "db")
    assert result.code == 0
    assert result.lines[:2] == ["Label 0: cats", "Label 1: dogs"]
    assert [image.label for _, image in records("db")] == [0, 0, 0, 1, 1, 1]


def test_missing_files(run, photos):
    (photos / "photos" / "dogs" / "1.png").unlink()
    result = run("convert-imageset", "photos", "list.txt", "db")
    assert result.code == 1
    assert "error: 1 of 6 images are missing: dogs/1.png. Could not open or find file" in result.err
    assert not (photos / "db").exists()
    result = run("convert-imageset", "--skip-bad", "photos", "list.txt", "db")
    assert result.code == 0
    assert result.lines[-3:] == [
        "Could not open or find file dogs/1.png",
        "2 labels from 0 to 1, 2 to 3 images each.",
        "5 of 6 images written to db; 1 missing, 0 damaged.",
    ]


@pytest.mark.parametrize("names", [["list.txt", "db"], ["list.txt"]])
def test_dry_run(run, photos, names):
    result = run("convert-imageset", "--dry-run", "photos", *names)
    assert result.code == 0
    assert result.lines[-1] == "6 of 6 images found; 0 missing, 0 damaged."
    (photos / "photos" / "cats" / "2.png").unlink()
    result = run("convert-imageset", "--dry-run", "photos", *names)
    assert result.code == 1
    assert result.lines[-1] == "5 of 6 images found; 1 missing, 0 damaged."
    assert not (photos / "db").exists()


def test_wrong_arguments(run, photos):
    result = run("convert-imageset", "photos", "list.txt")
    assert result.code == 2
    assert "Expected ROOTFOLDER LISTFILE DB_NAME; got 2 of them." in result.err


def test_a_leveldb(run, photos):
    for backend in ("lmdb", "leveldb"):
        result = run("convert-imageset", f"-backend={backend}", "photos", "list.txt", backend)
        assert result.code == 0, result.err
    one, other = open_source("lmdb"), open_source("leveldb", "LEVELDB")
    assert len(one) == len(other)
    assert [one.read(i) for i in range(len(one))] == [other.read(i) for i in range(len(other))]
    one.close()
    other.close()
