"""caffepy classify: LeNet on digits, from its train_val.prototxt and as Caffe's classify.py, in each kind of output."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from caffepy.data.source import open_source
from caffepy.net import Net
from caffepy.proto import caffe_pb2

LENET = Path(__file__).resolve().parents[2] / "models" / "lenet"
WEIGHTS = LENET / "lenet.caffemodel"
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@pytest.fixture
def photos(tmp_path, digits, monkeypatch):
    """The first seven test digits as JPEGs in photos/, the net with its database, names.txt; gives their labels."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    text = (LENET / "train_val.prototxt").read_text().replace("models/lenet/digits_test_lmdb", str(digits / "test"))
    (tmp_path / "net.prototxt").write_text(text)
    (tmp_path / "names.txt").write_text("\n".join(NAMES) + "\n")
    source, labels = open_source(digits / "test"), []
    for i in range(7):
        datum = caffe_pb2.Datum.FromString(source.read(i)[1])
        (tmp_path / "photos" / f"{i}.jpg").write_bytes(datum.data)
        labels.append(datum.label)
    source.close()
    return labels


def scores_of_a_test(count):
    """The probabilities that the net's own test computes."""
    with Net("net.prototxt", caffe_pb2.TEST, weights=WEIGHTS) as net:
        net.forward()
        scores = net.blobs["ip2"].data[:count].astype(np.float64)
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def test_from_the_net_itself(run, photos):
    result = run(
        "classify",
        "--from",
        "net.prototxt",
        "-weights",
        WEIGHTS,
        "--labels",
        "names.txt",
        "-top=2",
        "--format=csv",
        "photos",
    )
    assert result.code == 0, result.err
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert [row["label"] for row in rows[::2]] == [NAMES[label] for label in photos]
    assert [row["file"] for row in rows[::2]] == [f"photos/{i}.jpg" for i in range(7)]
    expected = np.sort(scores_of_a_test(7), axis=1)[:, :-3:-1].ravel()
    np.testing.assert_allclose([float(row["probability"]) for row in rows], expected, rtol=1e-4, atol=1e-9)
    told = [line.strip() for line in result.lines]
    assert "How images were prepared:" in told
    assert "channels: gray, 0 to 255" in told
    assert "resize: 28 x 28 (as the records of the database)" in told
    assert "scale: 0.00390625" in told


def test_as_classify_py(run, photos, tmp_path):
    common = ["-weights", str(WEIGHTS), "-model_def", str(LENET / "deploy.prototxt"), "--raw_scale=0.99609375"]
    result = run("classify", *common, "--center_only", "photos/*.jpg", "out.npy")
    assert (result.code, result.out) == (0, "")
    assert "7 x 10 scores written to out.npy" in result.err
    np.testing.assert_allclose(np.load("out.npy", allow_pickle=False), scores_of_a_test(7), rtol=1e-3, atol=1e-6)
    # Ten crops of the whole image: itself and its mirror image.
    run("classify", *common, "photos", "--output", "ten.npy")
    assert np.abs(np.load("ten.npy", allow_pickle=False) - scores_of_a_test(7)).max() > 0.01
    result = run("classify", *common, "--center-only", "photos/3.jpg", "--top", "1")
    assert (
        result.out
        == f'---------- Prediction for photos/3.jpg ----------\n{scores_of_a_test(4)[3].max():.4f} - "{photos[3]}"\n'
    )


def test_json_of_a_list(run, photos, tmp_path):
    (tmp_path / "list.txt").write_text("2.jpg 7\n5.jpg\n")
    (tmp_path / "photos" / "1.jpg").write_bytes(b"<html>")
    result = run(
        "classify", "--from=net.prototxt", "--weights", WEIGHTS, "--list", "list.txt", "--root_folder", "photos",
        "photos/1.jpg", "--output", "out.json",
    )  # fmt: skip
    assert (result.code, result.out) == (1, "")
    assert "not classified: image 'photos/1.jpg' cannot be decoded" in result.err
    found = json.loads((tmp_path / "out.json").read_text())
    assert [image["file"] for image in found["images"]] == ["photos/2.jpg", "photos/5.jpg"]
    assert [image["classes"][0]["class"] for image in found["images"]] == [photos[2], photos[5]]
    assert found["preprocessing"]["mean"] == "none"
    assert found["unreadable"][0]["file"] == "photos/1.jpg"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["photos"], "Expected --from TRAIN_VAL"),
        (["--from", "net.prototxt"], "Expected images: files, folders, or --list FILE"),
        (
            ["--from", "net.prototxt", "--raw-scale=1", "--mean-file=m", "photos"],
            "--mean-file, --raw-scale: with --from",
        ),
        (
            ["--from", "net.prototxt", "--images-dim=0", "photos"],
            "expected height and width, as 256,256, or one number",
        ),
        (["--model", "net.prototxt", "--images-dim=9", "photos"], "with --model both are needed"),
        (["--model", "net.prototxt", "--channel-swap=2,1,1", "photos"], "expected an order of channels, as 2,1,0"),
        (["--from", "net.prototxt", "--output=x.txt", "photos"], "expected a name that ends in .csv, .json or .npy"),
    ],
)
def test_wrong_options(run, photos, args, said):
    result = run("classify", "--weights", WEIGHTS, *args)
    assert result.code == 2
    assert said in result.err


def test_errors(run, photos):
    result = run("classify", "--weights", WEIGHTS, "--from", "net.prototxt", "photos", "--oversample")
    assert result.code == 1
    assert "ten crops of an image need a crop_size" in result.err
    result = run("classify", "--weights", WEIGHTS, "--from", LENET / "deploy.prototxt", "photos")
    assert result.code == 1
    assert "expected one data layer of images in the TEST phase" in result.err
