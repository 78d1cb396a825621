"""caffepy compare: two, three and four words, what is shown, and the exit code."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from caffepy.net import Net
from caffepy.proto import caffe_pb2

LENET = Path(__file__).resolve().parents[2] / "models" / "lenet"
WEIGHTS = LENET / "lenet.caffemodel"


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Weights that differ in conv2's bias, a net with data, and a dump of what the net computes."""
    monkeypatch.chdir(tmp_path)
    text = (LENET / "train_val.prototxt").read_text()
    (tmp_path / "net.prototxt").write_text(text.replace("models/lenet/digits_test", str(LENET / "digits_test")))
    (tmp_path / "deploy.prototxt").write_text((LENET / "deploy.prototxt").read_text())
    with Net("net.prototxt", caffe_pb2.TEST, weights=WEIGHTS) as net:
        net.forward()
        np.savez("dump.npz", **{name: net.blobs[name].data for name in ("data", "conv1", "ip1", "ip2")})
        net.layer_dict["conv2"].blobs[1].data[3] += 0.25
        net.save("other.caffemodel")
        net.save("other.h5")
    return tmp_path


def rows(result):
    """The table: blob -> what stands after it."""
    table = result.out.split("\n\n")[0].splitlines()[2:]
    return {line.split()[0]: line.split()[1:] for line in table}


@pytest.mark.parametrize("other", ["other.caffemodel", "other.h5"])
def test_two_files_of_weights(run, files, other):
    result = run("compare", WEIGHTS, other)
    assert result.code == 1
    assert list(rows(result)) == [f"{layer}[{i}]" for layer in ("conv1", "conv2", "ip1", "ip2") for i in (0, 1)]
    assert rows(result)["conv1[0]"] == ["20x1x5x5", "0", "0", "1.0000000", "equal"]
    assert rows(result)["conv2[1]"][:2] == ["50", "0.25"]
    assert rows(result)["conv2[1]"][-1] == "beyond"
    assert "first beyond 1e-06 + 0.0001 x its largest value: conv2[1] (0.25, relative " in result.out
    assert "1 of 8 blobs are" in result.out
    assert run("compare", WEIGHTS, other, "--absolute=0.26").code == 0
    assert run("compare", "other.caffemodel", "other.h5", "--tolerance=0", "--absolute=0").code == 0


def test_one_net_with_two_weights(run, files):
    result = run("compare", "net.prototxt", WEIGHTS, "other.caffemodel")
    assert result.code == 1
    assert "first beyond" in result.out
    assert result.out.partition("largest value: ")[2].startswith("conv2 (")
    # Its own data, as its data layer brings it.
    assert list(rows(result))[:3] == ["data", "label", "conv1"]
    assert rows(result)["label"][0] == "60"
    assert run("compare", "net.prototxt", WEIGHTS, WEIGHTS).code == 0


def test_two_nets(run, files):
    result = run("compare", "net.prototxt", WEIGHTS, "deploy.prototxt", WEIGHTS)
    assert result.code == 0
    assert "only in the first: label, accuracy, loss" in result.out
    assert "only in the second: prob" in result.out
    assert rows(result)["data"][0] == "60x1x28x28"
    assert run("compare", "net.prototxt", WEIGHTS, "deploy.prototxt", WEIGHTS, "--strict").code == 1
    result = run("compare", "deploy.prototxt", WEIGHTS, "deploy.prototxt", "other.h5", "--seed=7")
    assert result.code == 1
    assert ": conv2 (" in result.out


def test_a_net_and_a_dump(run, files):
    result = run("compare", "deploy.prototxt", WEIGHTS, "dump.npz")
    assert result.code == 0
    assert list(rows(result)) == ["data", "conv1", "ip1", "ip2"]
    result = run("compare", "deploy.prototxt", "other.caffemodel", "dump.npz")
    assert result.code == 1
    assert ": ip1 (" in result.out
    dump = np.load("dump.npz")
    with h5py.File("dump.h5", "w") as file:
        for name in dump:
            file[name] = dump[name]
    assert run("compare", "deploy.prototxt", WEIGHTS, "dump.h5").code == 0
    np.savez("short.npz", ip2=dump["ip2"])
    assert run("compare", "deploy.prototxt", WEIGHTS, "short.npz", "--input=dump.npz").code == 0
    assert run("compare", "dump.npz", "dump.h5").code == 0


def test_sizes(run, files):
    np.savez("a.npz", x=np.ones((2, 3)), y=np.ones(3))
    np.savez("b.npz", x=np.ones((3, 2)), y=np.ones(3))
    result = run("compare", "a.npz", "b.npz")
    assert result.code == 1
    assert " ".join(rows(result)["x"]) == "2x3 and 3x2 shapes differ"
    assert "x (shapes 2x3 and 3x2); 1 of 2 blobs are" in result.out


def test_errors(run, files):
    assert run("compare", WEIGHTS).code == 2
    assert run("compare", "net.prototxt", WEIGHTS, WEIGHTS, "--gpu", "one").code == 2
    assert run("compare", *[WEIGHTS] * 5).code == 2
    result = run("compare", WEIGHTS, "dump.npz")
    assert result.code == 1
    assert "no name is in both. The first has: conv1[0], conv1[1]" in result.err
    result = run("compare", WEIGHTS, "gone.caffemodel")
    assert result.code == 1
    assert "gone.caffemodel" in result.err
