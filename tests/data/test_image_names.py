"""Which files are meant."""

from __future__ import annotations

import pytest

from caffepy.data.image_names import find_images, listed_images
from caffepy.errors import DataError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a/2.jpg", "a/1.PNG", "a/b/3.jpeg", "a/.hidden.jpg", "a/.git/4.jpg", "a/c.txt", "x [1].jpg", "y.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_folders_and_files(folder):
    assert find_images(["y.jpg", "a"]) == ["y.jpg", "a/1.PNG", "a/2.jpg", "a/b/3.jpeg"]
    assert find_images(["a"], "txt") == ["a/c.txt"]
    assert find_images(["a"], ".png") == ["a/1.PNG"]
    with pytest.raises(DataError, match=r"no images that end in \.gif in the folder 'a'"):
        find_images(["a"], "gif")
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="there are no images in the folder 'empty'"):
        find_images(["empty"])


def test_patterns(folder):
    assert find_images(["*.jpg"]) == ["x [1].jpg", "y.jpg"]
    assert find_images(["a/**/*.jp*"]) == ["a/2.jpg", "a/b/3.jpeg"]
    # A file of such a name is that file, and what is neither is told by whoever opens it.
    assert find_images(["x [1].jpg", "none.jpg"]) == ["x [1].jpg", "none.jpg"]
    with pytest.raises(DataError, match=r"no file matches 'z\*' \(working directory"):
        find_images(["z*"])


def test_lists(folder):
    (folder / "list.txt").write_text("2.jpg 3\n\nb/3.jpeg\t1.5\r\nnone here\n")
    assert listed_images("list.txt", "a") == ["a/2.jpg", "a/b/3.jpeg", "a/none here"]
    (folder / "odd 7").write_bytes(b"")
    (folder / "list.txt").write_text("odd 7\n")
    assert listed_images("list.txt") == ["odd 7"]
    (folder / "list.txt").write_text("\n")
    with pytest.raises(DataError, match="is empty: expected a file a line"):
        listed_images("list.txt")
    with pytest.raises(DataError, match=r"cannot read the list of images 'no\.txt': No such file"):
        listed_images("no.txt")
