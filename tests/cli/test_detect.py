"""caffepy detect: lists in, tables and files out."""

from __future__ import annotations

import csv
import io

import h5py
import numpy as np
import pytest
from PIL import Image

NET = """layer { name: "w" type: "WindowData" top: "data" top: "label" transform_param { crop_size: 4 }
  window_data_param { source: "none" batch_size: 5 } }
"""
INPUT = 'layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }\n'
# Shares of blue, green and red.
TAIL = """layer { name: "pool" type: "Pooling" bottom: "data" top: "pool"
  pooling_param { pool: AVE global_pooling: true } }
layer { name: "scale" type: "Scale" bottom: "pool" top: "scale" scale_param { axis: 1 filler { value: 1 } } }
layer { name: "flat" type: "Flatten" bottom: "scale" top: "flat" }
"""
LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "flat" bottom: "label" top: "loss" }\n'


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Nets, weights, an image whose left half is red and whose right half is green, and windows of each."""
    from caffepy.net import Net
    from caffepy.proto.read import parse_net

    monkeypatch.chdir(tmp_path)
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, :8, 0] = 200
    pixels[:, 8:, 1] = 100
    (tmp_path / "photos").mkdir()
    Image.fromarray(pixels).save(tmp_path / "photos" / "a.png")
    (tmp_path / "net.prototxt").write_text(NET + TAIL + LOSS)
    (tmp_path / "deploy.prototxt").write_text(INPUT + TAIL)
    (tmp_path / "windows.csv").write_text("filename,ymin,xmin,ymax,xmax\na.png,0,0,7,7\na.png,1,8,6,15\n")
    with Net(parse_net(INPUT + TAIL)) as net:
        net.save("w.caffemodel")
    return tmp_path


COMMON = ("--weights=w.caffemodel", "--root_folder=photos")


def test_from_the_net_itself(run, project):
    result = run("detect", "windows.csv", "--from=net.prototxt", *COMMON)
    assert result.code == 0, result.err
    rows = list(csv.reader(io.StringIO(result.out)))
    assert rows[0] == ["filename", "ymin", "xmin", "ymax", "xmax", "class0", "class1", "class2"]
    assert [row[:5] for row in rows[1:]] == [
        ["photos/a.png", "0", "0", "7", "7"], ["photos/a.png", "1", "8", "6", "15"],
    ]  # fmt: skip
    # After softmax: the first is red, the second green.
    assert [float(value) for value in rows[1][5:]] == pytest.approx([0, 0, 1])
    assert [float(value) for value in rows[2][5:]] == pytest.approx([0, 1, 0])
    told = [line.strip() for line in result.lines]
    assert "windows: warped to 4 x 4" in told
    assert "channels: BGR, 0 to 255" in told


def test_as_detect_py(run, project):
    options = [*COMMON, "--model_def=deploy.prototxt", "--raw_scale=1", "--channel_swap=0,1,2", "--context_pad=1"]
    result = run("detect", "windows.csv", "out.h5", *options)
    assert (result.code, result.out) == (0, "")
    assert "2 windows written to out.h5" in result.err
    with h5py.File("out.h5", "r") as file:
        assert file["prediction"].shape == (2, 3)
        # The surroundings above and on the left lie outside of the image, and green begins on the right.
        assert 0 < file["prediction"][0, 0] < 200 / 255
        assert file["window"][1].tolist() == [1, 8, 6, 15]
    assert "context_pad: 1" in [line.strip() for line in result.lines]
    result = run("detect", "out.h5", "out.csv", "--weights=w.caffemodel", "--model=deploy.prototxt", "--context-pad=0")
    assert result.code == 0
    assert len((project / "out.csv").read_text().splitlines()) == 3


def test_windows_that_are_not_there(run, project):
    (project / "windows.txt").write_text("a.png 0 0 7 7\n" + "".join(f"{i}.png 0 0 7 7\n" for i in range(22)))
    result = run("detect", "windows.txt", "out.csv", "--from=net.prototxt", *COMMON)
    assert result.code == 1
    assert "not looked at: Could not open or find file photos/0.png" in result.err
    assert "... and 2 more." in result.err
    assert "1 windows written to out.csv" in result.err


def test_selective_search(run, project):
    result = run("detect", "windows.csv", "--crop_mode", "selective_search", "--from=net.prototxt", *COMMON)
    assert result.code == 1
    assert "Selective Search is a MATLAB program, which caffepy does not run" in result.err
    assert "give that file with --crop-mode list" in result.err


def test_errors(run, project):
    result = run("detect", "windows.csv", *COMMON)
    assert (result.code, "Expected --from TRAIN_VAL, or --model DEPLOY" in result.err) == (2, True)
    result = run("detect", "windows.csv", "--from=net.prototxt", "--context-pad=3", *COMMON)
    assert (result.code, "--context-pad: with --from these come from the net's own data layer" in result.err) == (
        2,
        True,
    )
    result = run("detect", "windows.csv", "out.txt", "--from=net.prototxt", *COMMON)
    assert (result.code, "expected a name that ends in .csv, .h5 or .hdf5" in result.err) == (1, True)
