"""caffepy resize-and-crop-images: what it says and how it ends."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, size in (("a/1.jpg", (40, 30)), ("a/2.png", (30, 50)), ("b/3.jpg", (10, 12))):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(tmp_path / "in" / name)
    return tmp_path


def sizes(folder):
    found = {}
    for file in folder.rglob("*.*g"):
        with Image.open(file) as image:
            found[file.relative_to(folder).as_posix()] = image.size
    return found


def test_a_folder(run, photos):
    result = run("resize-and-crop-images", "in", "out", "--output_side_length", "20", "--processes=1")
    assert (result.code, result.out) == (0, "")
    assert result.lines == [
        "A total of 3 images.",
        "Processed 3 files.",
        "1 images were smaller than 20 and have been enlarged.",
        "3 of 3 images written to out; 0 were there, 0 missing or damaged.",
    ]
    assert sizes(photos / "out") == {"a/1.jpg": (20, 20), "a/2.png": (20, 20), "b/3.jpg": (20, 20)}
    result = run("resize-and-crop-images", "in", "out", "--skip-existing", "--image_lib=opencv")
    assert result.lines[-1] == "0 of 3 images written to out; 3 were there, 0 missing or damaged."


def test_caffes_flags_and_a_list(run, photos):
    (photos / "list.txt").write_text("a/1.jpg 0\n/b/3.jpg 1\nb/none.jpg 1\n")
    flags = ["--input=list.txt", "--input_folder=in", "--output_folder=out", "--num_clients=1"]
    result = run("resize_and_crop_images", *flags, "-output_side_length=8")
    assert result.code == 1
    assert sizes(photos / "out") == {"a/1.jpg": (8, 8), "b/3.jpg": (8, 8)}
    assert any(line.startswith("Could not open or find file in/b/none.jpg") for line in result.lines)
    assert run("resize_and_crop_images", *flags, "--skip-bad").code == 0


def test_dry_run(run, photos):
    result = run("resize-and-crop-images", "in", "out", "--dry-run")
    assert (result.code, result.lines[-1]) == (0, "3 to write, 0 of them there already; 0 missing.")
    (photos / "list.txt").write_text("".join(f"{i}.jpg\n" for i in range(23)))
    result = run("resize-and-crop-images", "in", "out", "--list", "list.txt", "--dry-run")
    assert result.code == 1
    assert result.lines[-3:] == [
        "Could not open or find file in/19.jpg",
        "... and 3 more.",
        "0 to write, 0 of them there already; 23 missing.",
    ]
    assert not (photos / "out").exists()


@pytest.mark.parametrize("folders", [["in"], ["in", "out", "more"], ["--input-folder=in", "out"]])
def test_wrong_folders(run, photos, folders):
    result = run("resize-and-crop-images", *folders)
    assert result.code == 2
    assert "Expected INPUT_FOLDER OUTPUT_FOLDER" in result.err


def test_errors(run, photos):
    result = run("resize-and-crop-images", "in", "in")
    assert (result.code, "is the input folder: its images would be lost" in result.err) == (1, True)
    result = run("resize-and-crop-images", "no", "out")
    assert result.code == 1
    assert "there is no folder 'no'" in result.err
