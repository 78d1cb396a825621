"""Scripts as Caffe's users write them, with ``import caffe``, run unchanged on all kinds of device."""

from __future__ import annotations

import gc
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import caffepy
from caffepy.aliases import alias_caffe
from caffepy.data.mnist import convert_mnist
from caffepy.devices import get_backend
from caffepy.pycaffe import mode
from tests.a_gpu import BACKENDS
from tests.other_backend import OtherBackend
from tests.pycaffe.nets import DEPLOY, make

SCRIPTS = Path(__file__).parent / "scripts"
LENET = Path(__file__).parents[2] / "models" / "lenet"


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Databases of the bundled digits."""
    folder = tmp_path_factory.mktemp("digits")
    for name in ("train", "test"):
        files = (LENET / "digits" / f"{name}-{what}-ubyte.gz" for what in ("images-idx3", "labels-idx1"))
        convert_mnist(*map(str, files), str(folder / name), resize_height=28, resize_width=28)
    return {name: str(folder / name) for name in ("train", "test")}


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a script on each device, in a folder of its own; gives what it printed."""

    def both(name, *arguments):
        printed = []
        for device in (*map(get_backend, BACKENDS), OtherBackend()):
            folder = tmp_path / f"run{len(printed)}"
            folder.mkdir()
            with monkeypatch.context() as patch:
                patch.chdir(folder)
                patch.setattr(sys, "argv", [name, *map(str, arguments)])
                patch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
                patch.setattr(mode, "backend", lambda device=device: device)
                patch.setattr(mode, "allow_python_layers", True)
                alias_caffe()
                assert sys.modules["caffe"] is caffepy
                runpy.run_path(str(SCRIPTS / name), run_name="__main__")
            # A script's functions and its other names hold each other, and so its databases.
            gc.collect()
            printed.append(json.loads(capsys.readouterr().out))
        for other in printed[1:]:
            same(printed[0], other)
        return printed[0]

    yield both
    sys.modules.pop("script_layers", None)


def same(one, other):
    """Whether two runs printed the same, to the rounding of float32."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            same(one[key], other[key])
    elif isinstance(one, list) and one and isinstance(one[0], float):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    elif isinstance(one, list):
        for a, b in zip(one, other, strict=True):
            same(a, b)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-4)
    else:
        assert one == other


def test_classification(tmp_path, run):
    text = DEPLOY.replace("dim: 2 dim: 3 dim: 8 dim: 6", "dim: 10 dim: 3 dim: 20 dim: 20").replace(
        "std: 0.1", "std: 0.05"
    )
    net = make(tmp_path, text, seed=4)
    net.save(tmp_path / "w.caffemodel")
    mean = np.random.RandomState(1).rand(3, 30, 30) * 40 + 100
    np.save(tmp_path / "mean.npy", mean)
    pixels = np.random.RandomState(2).randint(0, 256, (20, 20, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "cat.png")
    out = run(
        "classify.py", tmp_path / "net.prototxt", tmp_path / "w.caffemodel", tmp_path / "mean.npy", tmp_path / "cat.png"
    )
    assert out["shapes"]["data"] == [1, 3, 20, 20]
    assert out["weights"] == {"conv": [[4, 3, 3, 3], [4]], "ip": [[5, 4 * 18 * 18], [5]]}
    np.testing.assert_allclose(out["input"], pixels / 255, atol=1e-5)
    # The net's own answer to the same numbers, without a Transformer.
    bgr = pixels[:, :, ::-1].transpose(2, 0, 1) - mean.mean((1, 2))[:, None, None]
    net.blobs["data"].reshape(1, 3, 20, 20)
    np.testing.assert_allclose(net.forward(data=bgr[None])["prob"][0], out["prob"], rtol=1e-4)
    assert out["top"] == list(np.argsort(out["prob"])[::-1])
    # A mirror image has the same ten crops.
    np.testing.assert_allclose(out["ten"][0], out["ten"][1], rtol=1e-4)
    assert np.shape(out["centre"]) == (1, 5)
    assert np.abs(np.subtract(out["centre"][0], out["ten"][0])).max() > 1e-3


def test_lenet_is_learned(run, digits, tmp_path):
    out = run("learn_lenet.py", digits["train"], digits["test"])
    assert out["shapes"][:3] == [["data", [64, 1, 28, 28]], ["label", [64]], ["conv1", [64, 8, 24, 24]]]
    assert out["iter"] == 61
    assert out["loss"][0] == pytest.approx(np.log(10), abs=0.5)
    assert np.mean(out["loss"][-5:]) < 0.4
    assert out["accuracy"][0] < 0.5 < 0.85 < out["accuracy"][-1]
    for folder in ("run0", "run1"):
        for picture in ("filters.png", "curves.png"):
            assert np.asarray(Image.open(tmp_path / folder / picture)).std() > 0


def test_fine_tuning_and_surgery(run, digits):
    out = run("surgery.py", LENET / "deploy.prototxt", LENET / "lenet.caffemodel", digits["train"])
    assert out["frozen"]
    assert out["loss"][0] > 2 > 0.7 > np.mean(out["loss"][-3:])
    assert out["shape"] == [10, 3, 5]
    np.testing.assert_allclose(out["dense"], out["alone"], rtol=1e-3, atol=1e-6)


def test_python_layers(run):
    out = run("python_layers.py")
    assert out["losses"][-1] < 1e-3 < out["losses"][0]
    assert (out["w"], out["b"]) == (pytest.approx(2, abs=0.1), pytest.approx(-1, abs=0.1))
    assert out["gradient"] > 0


def test_features(run, digits):
    out = run("features.py", LENET / "deploy.prototxt", LENET / "lenet.caffemodel", digits["test"])
    assert (out["count"], out["shape"], out["same"], out["pool2"]) == (360, [500, 1, 1], True, True)
    assert out["accuracy"] > 0.95


def test_gradient_ascent(run):
    out = run("ascend.py", LENET / "deploy.prototxt", LENET / "lenet.caffemodel")
    assert out["answers"][-1] > 3 * out["answers"][0]
    assert all(a < b for a, b in zip(out["answers"], out["answers"][1:], strict=False))
    assert out["slope"] == pytest.approx(out["norm"], rel=0.05)
    assert out["same"]
    assert out["names"] == ["conv1", "data"]


def test_scripts_say_caffe():
    """None of them knows of caffepy."""
    names = sorted(SCRIPTS.glob("*.py"))
    assert len(names) == 7
    assert not [path.name for path in names if "caffepy" in path.read_text()]
