"""Images made square: the pixels, and what becomes of files that cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from caffepy.data import resize_and_crop as module
from caffepy.data.resize import resize
from caffepy.data.resize_and_crop import SquareSettings, plan_squares, resize_and_crop
from caffepy.errors import DataError


@pytest.fixture
def photos(tmp_path):
    """A folder of PNGs of the sizes in their names; gives pixels (H, W, 3) by name."""
    rng = np.random.default_rng(0)
    found = {}
    for height, width in [(20, 33), (45, 16), (12, 12), (6, 9)]:
        name = f"{height % 2}/{height}x{width}.png"
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        found[name] = rng.integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(found[name]).save(tmp_path / "in" / name)
    return found


def make(tmp_path, names, processes=1, progress=None, **settings):
    plan = plan_squares(names, str(tmp_path / "in"), str(tmp_path / "out"))
    return resize_and_crop(plan, SquareSettings(**{"side": 12, **settings}), processes=processes, progress=progress)


def expected(pixels, side):
    """The shorter side to ``side``, then the centre of the longer one, by arithmetic on sizes of its own."""
    height, width, _ = pixels.shape
    if height > width:
        new = (int(side * height / width), side)
    else:
        new = (side, int(side * width / height))
    small = resize(pixels.transpose(2, 0, 1), *new).transpose(1, 2, 0)
    top, left = (new[0] - side) // 2, (new[1] - side) // 2
    return small[top : top + side, left : left + side]


def opened(file):
    with Image.open(file) as image:
        image.load()
        return image


def test_pixels(tmp_path, photos):
    calls = []
    report = make(tmp_path, photos, progress=lambda *at: calls.append(at))
    assert (report.written, report.skipped, report.enlarged, report.bad) == (4, 0, 1, [])
    assert calls == [(i, 4) for i in (1, 2, 3, 4)]
    for name, pixels in photos.items():
        np.testing.assert_array_equal(np.asarray(opened(tmp_path / "out" / name)), expected(pixels, 12), name)
    np.testing.assert_array_equal(np.asarray(opened(tmp_path / "out" / "0/12x12.png")), photos["0/12x12.png"])
    assert not list((tmp_path / "out").rglob(".*"))


def test_several_processes_make_the_same(tmp_path, photos, monkeypatch):
    make(tmp_path, photos)
    alone = {name: (tmp_path / "out" / name).read_bytes() for name in photos}
    monkeypatch.setattr(module, "_FEW", 1)
    (tmp_path / "in" / "bad.png").write_bytes(b"x")
    report = make(tmp_path, [*photos, "bad.png"], processes=2)
    assert (report.written, [file for file, _ in report.bad]) == (4, [str(tmp_path / "in" / "bad.png")])
    assert {name: (tmp_path / "out" / name).read_bytes() for name in photos} == alone


def test_kinds_of_files(tmp_path):
    (tmp_path / "in").mkdir()
    image = Image.fromarray(np.full((9, 7, 3), 90, np.uint8))
    for name in ("a.jpg", "b.JPEG", "c.bmp", "d.png"):
        image.save(tmp_path / "in" / name)
    assert make(tmp_path, ["a.jpg", "b.JPEG", "c.bmp", "d.png"], quality=50).written == 4
    kinds = {file.name: opened(file).format for file in (tmp_path / "out").iterdir()}
    assert kinds == {"a.jpg": "JPEG", "b.JPEG": "JPEG", "c.bmp": "BMP", "d.png": "PNG"}
    coarse = (tmp_path / "out" / "a.jpg").read_bytes()
    make(tmp_path, ["a.jpg"])
    assert (tmp_path / "out" / "a.jpg").read_bytes() != coarse
    make(tmp_path, ["d.png"], gray=True)
    assert opened(tmp_path / "out" / "d.png").mode == "L"


def test_bad_files_do_not_keep_others_from_being_made(tmp_path, photos):
    (tmp_path / "in" / "bad.jpg").write_bytes(b"<html>")
    # Its longer side would be 12 million pixels.
    Image.fromarray(np.zeros((1, 500_000), np.uint8)).save(tmp_path / "in" / "thin.png")
    report = make(tmp_path, ["bad.jpg", "none.png", "thin.png", *photos])
    assert report.written == 4
    assert [reason.partition(":")[0] for _, reason in report.bad] == [
        f"image '{tmp_path}/in/bad.jpg' cannot be decoded",
        f"Could not open or find file {tmp_path}/in/none.png",
        f"image '{tmp_path}/in/thin.png' would be 6000000 x 12 pixels before it is cropped",
    ]
    assert not (tmp_path / "out" / "bad.jpg").exists()


def test_going_on(tmp_path, photos):
    make(tmp_path, photos)
    (tmp_path / "out" / "0/20x33.png").unlink()
    (tmp_path / "out" / "0/12x12.png").write_bytes(b"")
    (tmp_path / "out" / "1/45x16.png").write_bytes(b"kept")
    report = make(tmp_path, photos, skip_existing=True)
    assert (report.written, report.skipped) == (2, 2)
    assert (tmp_path / "out" / "1/45x16.png").read_bytes() == b"kept"
    assert make(tmp_path, photos).written == 4
    assert (tmp_path / "out" / "1/45x16.png").read_bytes() != b"kept"


def test_what_a_killed_run_left_goes(tmp_path, photos):
    (tmp_path / "out" / "0").mkdir(parents=True)
    left = tmp_path / "out" / "0" / ".20x33.png.0123abcd.tmp"
    left.write_bytes(b"x")
    make(tmp_path, photos)
    assert not left.exists()


def test_plans(tmp_path):
    assert plan_squares(["/a/1.jpg", "a/1.jpg", "/a/1.jpg"], "i", "o")[0] == ("i/a/1.jpg", "o/a/1.jpg")
    assert len(plan_squares(["b.png", "b.png"], "i", "o")) == 1
    with pytest.raises(DataError, match="'i/' is the input folder"):
        plan_squares(["a.jpg"], "i", "i/")
    with pytest.raises(DataError, match=r"'\.\./a\.jpg' is not below the input folder 'i'"):
        plan_squares(["../a.jpg"], "i", "o")
    with pytest.raises(DataError, match=r"'a\.gif' names no JPEG, PNG or BMP"):
        plan_squares(["a.gif"], "i", "o")
    with pytest.raises(DataError, match="there are no images to resize"):
        plan_squares([], "i", "o")


def test_settings():
    with pytest.raises(DataError, match=r"a side of 0 pixels; expected 1 to 8192"):
        SquareSettings(side=0)
    with pytest.raises(DataError, match="JPEG quality 100; expected 1 to 95"):
        SquareSettings(quality=100)
