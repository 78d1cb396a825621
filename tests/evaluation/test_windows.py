"""Lists of windows, good and bad, and the files that detections are written to."""

from __future__ import annotations

import csv

import h5py
import numpy as np
import pytest

from caffepy.errors import CaffepyError, DataError
from caffepy.evaluation.windows import Detections, WindowList, read_windows, write_detections

BOXES = [[1, 2, 3, 4], [5, 6, 7.5, 8]]


@pytest.fixture
def write(tmp_path):
    def call(text, name="w.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return call


def write_h5(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values
    return path


def test_csv(write):
    found = read_windows(write('filename,ymin,xmin,ymax,xmax\r\na.jpg,1,2,3,4\n\n"b, c.jpg",5,6,7.5,8\n'))
    assert found.files == ["a.jpg", "b, c.jpg"]
    np.testing.assert_array_equal(found.boxes, BOXES)
    # As pandas writes it, in another order.
    found = read_windows(write(",Xmax, ymin,xmin,ymax,filename,score\n0,4,1,2,3,a.jpg,0.5\n"), "root")
    assert found.files == ["root/a.jpg"]
    np.testing.assert_array_equal(found.boxes, BOXES[:1])


def test_text(write):
    found = read_windows(write("a b.jpg 1 2 3 4\n/c.jpg\t5 6 7.5 8\n", "w.txt"), "root")
    assert found.files == ["root/a b.jpg", "/c.jpg"]
    np.testing.assert_array_equal(found.boxes, BOXES)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_hdf5(tmp_path, dtype):
    path = write_h5(tmp_path / "w.h5", filename=["a.jpg", "ü.jpg"], window=np.array(BOXES, dtype))
    found = read_windows(path)
    assert found.files == ["a.jpg", "ü.jpg"]
    np.testing.assert_array_equal(found.boxes, np.array(BOXES, dtype))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("w.csv", "filename,ymin,xmin,ymax\n", r"w\.csv:1: expected a header with filename, .*; xmax missing among"),
        ("w.csv", "", "filename, ymin, xmin, ymax, xmax missing among ''"),
        ("w.csv", "filename,ymin,xmin,ymax,xmax\na,1,2,3\n", r"w\.csv:2: 4 columns; the header has 5"),
        ("w.csv", "filename,ymin,xmin,ymax,xmax\na,1,2,3,x\n", r"w\.csv:2: .* must be numbers; got '1, 2, 3, x'"),
        ("w.csv", "filename,ymin,xmin,ymax,xmax\n", "holds no windows"),
        ("w.csv", "filename,ymin,xmin,ymax,xmax\na,1,2,3,4\nb,1,2,nan,4\n", "window 2 of 'b' has coordinates that are"),
        ("w.txt", "\na 1 2 3\n", r"w\.txt:2: expected 'filename ymin xmin ymax xmax'; got 'a 1 2 3'"),
        ("w.txt", "a 1 2 3 x\n", r"w\.txt:1: .* must be numbers"),
        ("w.h5", "none", r"cannot read the list of windows .*w\.h5'"),
    ],
)
def test_wrong_lists(write, name, text, said):
    with pytest.raises(DataError, match=said):
        read_windows(write(text, name))


def test_many_in_hdf5(tmp_path):
    names = [f"{i}.jpg" for i in range(20_001)]
    path = write_h5(tmp_path / "w.h5", filename=names, window=np.arange(80_004).reshape(-1, 4))
    found = read_windows(path)
    assert found.files == names
    assert found.boxes[20_000].tolist() == [80_000, 80_001, 80_002, 80_003]


def test_wrong_hdf5(tmp_path):
    path = tmp_path / "w.h5"
    with pytest.raises(DataError, match=r"has no dataset filename and no window.*pandas"):
        read_windows(write_h5(path, df=[1]))
    with pytest.raises(DataError, match=r"filename is \(2,\) of object, window \(2, 3\)"):
        read_windows(write_h5(path, filename=["a", "b"], window=np.zeros((2, 3))))
    with pytest.raises(DataError, match=r"expected \(n,\) texts"):
        read_windows(write_h5(path, filename=[1, 2], window=np.zeros((2, 4))))
    with pytest.raises(DataError, match=r"window holds .*; expected numbers"):
        read_windows(write_h5(path, filename=["a"], window=np.full((1, 4), b"x")))
    with h5py.File(path, "w") as file:
        file["filename"] = ["a"]
        file["window"] = h5py.SoftLink("/nowhere")
    with pytest.raises(DataError, match=r"has no dataset window"):
        read_windows(path)
    with h5py.File(path, "w") as file:
        file.create_dataset("filename", (10**12,), h5py.string_dtype(), chunks=(1000,))
        file.create_dataset("window", (10**12, 4), "f4", chunks=(1000, 4))
    with pytest.raises(DataError, match="1,000,000,000,000 of them"):
        read_windows(path)
    with pytest.raises(DataError, match="a filename of more than 4,096 characters"):
        read_windows(write_h5(path, filename=["a"] * 20_000 + ["b" * 5000], window=np.zeros((20_001, 4))))
    with pytest.raises(DataError, match="cannot read the list of windows"):
        read_windows(tmp_path / "none.csv")


@pytest.fixture
def found():
    return Detections(
        WindowList(["a, b.jpg", "ü.jpg"], np.array(BOXES)), np.array([[0.25, 0.75], [1, 0]], np.float32), "score", {}
    )


def test_written_csv(tmp_path, found):
    write_detections(tmp_path / "out.csv", found)
    rows = list(csv.reader((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()))
    assert rows == [
        ["filename", "ymin", "xmin", "ymax", "xmax", "class0", "class1"],
        ["a, b.jpg", "1", "2", "3", "4", "0.25", "0.75"],
        ["ü.jpg", "5", "6", "7.5", "8", "1", "0"],
    ]
    assert read_windows(tmp_path / "out.csv").files == found.windows.files


def test_written_hdf5(tmp_path, found):
    write_detections(tmp_path / "out.h5", found)
    with h5py.File(tmp_path / "out.h5", "r") as file:
        assert list(file["filename"].asstr()[:]) == found.windows.files
        np.testing.assert_array_equal(file["window"][:], BOXES)
        np.testing.assert_array_equal(file["prediction"][:], found.scores)
        assert file["prediction"].dtype == np.float32
    np.testing.assert_array_equal(read_windows(tmp_path / "out.h5").boxes, BOXES)
    with pytest.raises(CaffepyError, match=r"expected a name that ends in \.csv, \.h5 or \.hdf5"):
        write_detections(tmp_path / "out.txt", found)
