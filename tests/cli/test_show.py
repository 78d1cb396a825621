"""caffepy show: each kind of picture, from the files that users have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import caffepy.drawing.panels as panels
from caffepy.net import Net
from caffepy.proto import caffe_pb2

LENET = Path(__file__).resolve().parents[2] / "models" / "lenet"
WEIGHTS = LENET / "lenet.caffemodel"


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (LENET / "train_val.prototxt").read_text()
    for part in ("train", "test"):
        text = text.replace(f'"models/lenet/digits_{part}_lmdb"', f'"{LENET / "digits_test_lmdb"}"')
    (tmp_path / "net.prototxt").write_text(text)
    (tmp_path / "labels.txt").write_text("\n".join(f"digit {i}" for i in range(10)))
    return tmp_path


@pytest.fixture
def drawn(monkeypatch):
    """The panels that are drawn, by the first word of their titles; they are drawn all the same."""
    found = {}
    draw = panels.draw_panels

    def spy(parts, path, title=""):
        found.update({part.title.partition(":")[0]: part for part in parts}, title=title)
        draw(parts, path, title)

    monkeypatch.setattr(panels, "draw_panels", spy)
    return found


def computed(record):
    with Net("net.prototxt", caffe_pb2.TEST, weights=WEIGHTS) as net:
        for _ in range(record // 60 + 1):
            net.forward()
        return {name: blob.data[record % 60].copy() for name, blob in net.blobs.items() if blob.shape}


def is_picture(path):
    with Image.open(path) as image:
        return image.format == "PNG" and min(image.size) > 100


def test_filters(run, files, drawn):
    result = run("show", "filters", "conv1,conv2", WEIGHTS)
    assert (result.code, result.out, result.lines) == (0, "", ["Wrote conv1-conv2.png"])
    assert is_picture("conv1-conv2.png")
    assert drawn["conv1"].images.shape == (20, 5, 5)
    assert drawn["conv2"].images.shape == (256, 5, 5)
    assert run("show", "filters", "conv2", WEIGHTS, "--most=4", "--all", "x.svg").code == 0
    with Net("net.prototxt", caffe_pb2.TEST, weights=WEIGHTS) as net:
        weight = net.layer_dict["conv2"].blobs[0].data[:2, :2]
        net.save("w.h5")
    np.testing.assert_allclose(drawn["conv2"].images, (weight / (2 * abs(weight).max()) + 0.5).reshape(4, 5, 5))
    assert run("show", "filters", "conv1", "w.h5").code == 0


def test_fully_connected_weights_as_their_inputs_lie(run, files, drawn):
    assert run("show", "filters", "ip1", WEIGHTS).code == 0
    assert drawn["ip1"].values.shape == (500, 800)
    assert run("show", "filters", "ip1,ip2", WEIGHTS, "--model", "net.prototxt", "--most", "64").code == 0
    assert drawn["ip1"].images.shape == (64, 4, 4)
    # What comes before ip2 is no image.
    assert drawn["ip2"].values.shape == (10, 500)


def test_blobs_of_a_record(run, files, drawn):
    result = run("show", "blobs", "data,pool1,relu1,ip2", "net.prototxt", WEIGHTS, "--record=67", "--labels=labels.txt")
    assert (result.code, result.lines[-1]) == (0, "Wrote data-pool1-relu1-ip2.png")
    assert is_picture("data-pool1-relu1-ip2.png")
    blobs = computed(67)
    assert drawn["title"] == "LeNet: record 67"
    np.testing.assert_array_equal(drawn["ip2"].values, blobs["ip2"])
    # A layer's name stands for its tops.
    np.testing.assert_array_equal(drawn["ip1"].values, blobs["ip1"])
    pool = blobs["pool1"]
    np.testing.assert_allclose(drawn["pool1"].images, (pool - pool.min()) / (pool.max() - pool.min()), atol=1e-6)
    best = int(blobs["ip2"].argmax())
    assert drawn["ip2"].named[0] == (best, f"digit {best}")


@pytest.mark.parametrize("deploy", [False, True])
def test_blobs_of_an_image(run, files, drawn, deploy):
    pixels = np.random.default_rng(1).integers(0, 256, (28, 28), np.uint8)
    Image.fromarray(pixels).save("i.png")
    model = [LENET / "deploy.prototxt", WEIGHTS, "--from=net.prototxt"] if deploy else ["net.prototxt", WEIGHTS]
    result = run("show", "blobs", "data,prob", *model, "--image=i.png", "o.png")
    assert result.code == 0
    assert "scale: 0.00390625" in result.lines
    assert drawn["title"] == "LeNet: i.png"
    with Net(LENET / "deploy.prototxt", weights=WEIGHTS) as net:
        net.blobs["data"].reshape(1, 1, 28, 28)
        net.blobs["data"].data[0, 0] = pixels * np.float32(0.00390625)
        np.testing.assert_allclose(drawn["prob"].values, net.forward()["prob"][0], rtol=1e-4, atol=1e-7)


def test_a_batch(run, files, drawn):
    result = run("show", "batch", "net.prototxt", "--phase=test", "--batch", "1", "--labels=labels.txt", "--most", "12")
    assert (result.code, result.lines) == (0, ["Wrote batch.png"])
    assert is_picture("batch.png")
    (panel,) = (part for part in drawn.values() if not isinstance(part, str))
    assert panel.title == "batch 1 of TEST: 60 images of 28x28, divided by scale 0.00390625, the first 12"
    for i in range(12):
        blobs = computed(60 + i)
        np.testing.assert_allclose(panel.images[i], blobs["data"][0] / 0.00390625 / 255, atol=1e-5)
        assert panel.captions[i] == f"digit {int(computed_label(60 + i))}"


def computed_label(record):
    with Net("net.prototxt", caffe_pb2.TEST) as net:
        for _ in range(record // 60 + 1):
            net.forward()
        return net.blobs["label"].data[record % 60]


def test_a_batch_of_training_needs_no_more_than_the_data(run, files, drawn):
    # A layer that cannot be made stands in the way of the whole net only.
    text = (files / "net.prototxt").read_text().replace("num_output: 500", "num_output: 0")
    (files / "net.prototxt").write_text(text)
    assert run("show", "batch", "net.prototxt", "b.pdf").code == 0
    assert any(title.startswith("batch 0 of TRAIN") for title in drawn)


def test_confusion_of_features(run, files):
    assert run("extract-features", WEIGHTS, "net.prototxt", "ip2", "f.npz").code == 0
    result = run("show", "confusion", "f.npz", "--labels", "labels.txt", "c.svg")
    assert (result.code, result.lines) == (0, ["Wrote c.svg"])
    text = (files / "c.svg").read_text()
    features = np.load("f.npz")
    right = (features["ip2"].argmax(1) == features["label"]).mean()
    assert f"360 images: {100 * right:.2f} % right" in text
    assert "digit 9" in text


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            ["filtres"],
            2,
            "No such command 'filtres'. Did you mean 'filters'? Commands: batch, blobs, confusion, filters.",
        ),
        (["weights"], 2, "No such command 'weights'. Commands: batch, blobs, confusion, filters."),
        (["filters", "conv", WEIGHTS], 1, "has no weights of a layer 'conv'. Did you mean 'conv"),
        (["filters", "conv1", WEIGHTS, "x.jpg"], 1, "pictures are png, svg, pdf"),
        (["blobs", "conv", "net.prototxt", WEIGHTS], 1, "The net has no blob or layer 'conv'. Did you mean 'conv"),
        (["blobs", "loss", "net.prototxt", WEIGHTS], 1, "blob 'loss' of shape () has no row for each record"),
        (["blobs", "conv1", LENET / "deploy.prototxt", WEIGHTS], 1, "has an input, 'data', and no data of its own"),
        (["blobs", "conv1", LENET / "deploy.prototxt", WEIGHTS, "--image=x"], 1, "train_val.prototxt that the weights"),
        (["batch", LENET / "deploy.prototxt", "--phase", "TRIAN"], 2, "TRIAN"),
        (["batch", LENET / "deploy.prototxt"], 1, "nothing feeds an Input layer here: give the train_val.prototxt"),
        (["confusion", "labels.txt"], 1, "expected the columns label and class1"),
    ],
)
def test_errors(run, files, words, code, said):
    result = run("show", *words)
    assert result.code == code
    assert said in result.err
    assert not list(files.glob("*.png"))
