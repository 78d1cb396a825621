"""Arrays, files of arrays, and nets compared: what is measured, and which pairs are refused."""

from __future__ import annotations

import math
import zipfile

import h5py
import numpy as np
import pytest

from caffepy.errors import NetError, WeightsError
from caffepy.net import Net, compare
from caffepy.net.compare import difference, feed_same, net_arrays
from caffepy.net.stored_arrays import open_arrays
from caffepy.proto.read import parse_net

NET = """layer { name: "d" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "relu" type: "ReLU" bottom: "ip" top: "relu" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def got(**arrays):
    return {name: lambda value=value: np.asarray(value) for name, value in arrays.items()}


@pytest.fixture(params=[1 << 22, 3])
def pieces(request, monkeypatch):
    monkeypatch.setattr(compare, "_PIECE", request.param)


def test_what_is_measured(pieces):
    a, b = np.array([[3.0, -4, 0, 1, 0, 0, 0]]), np.array([[3.0, -4.5, 0, 1, 0, 0, 0.25]])
    one = difference("x", a, b)
    assert one.largest == 0.5
    assert one.relative == pytest.approx(0.5 / 4.5)
    assert one.cosine == pytest.approx((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))
    assert one.beyond
    assert not difference("x", a, b, absolute=0.5, relative=0).beyond
    assert difference("x", a, b, absolute=0.499, relative=0).beyond
    assert not difference("x", a, b, absolute=0, relative=0.112).beyond
    assert difference("x", a, b, absolute=0, relative=0.111).beyond
    assert difference("x", a, -a).cosine == pytest.approx(-1)
    same = difference("x", a, a, absolute=0, relative=0)
    assert (same.largest, same.relative, same.cosine, same.beyond) == (0, 0, 1, False)


def test_numbers_that_are_none(pieces):
    a = np.array([1, 2, math.nan, math.inf, 5])
    assert not difference("x", a, a.copy(), absolute=0, relative=0).beyond
    for i, value in ((2, 0), (3, -math.inf), (0, math.nan)):
        b = a.copy()
        b[i] = value
        one = difference("x", a, b)
        assert (one.largest, one.beyond) == (math.inf, True)
        assert math.isnan(one.cosine)
    zeros = np.zeros(5, np.float32)
    one = difference("x", zeros, zeros)
    assert (one.largest, one.relative, one.beyond) == (0, 0, False)
    assert math.isnan(one.cosine)
    assert difference("x", zeros, zeros + 1e-3).relative == 1
    assert difference("x", np.zeros((0, 3)), np.zeros((0, 3))).largest == 0


def test_sizes():
    assert difference("x", np.ones((1, 1, 2, 3)), np.ones((2, 3))).largest == 0
    for other in ((3, 2), (2, 3, 1), (7,)):
        one = difference("x", np.ones((2, 3)), np.ones(other))
        assert (one.sizes_differ, one.beyond, one.largest) == (True, True, math.inf)


def test_names_and_the_first_beyond():
    result = compare.compare(got(a=1.0, b=2.0, c=3.0, d=4.0), got(z=0.0, d=5.0, b=2.0, a=1.0, c=3.5))
    assert [one.name for one in result.differences] == ["a", "b", "c", "d"]
    assert result.first_beyond.name == "c"
    assert (result.first_only, result.second_only) == ([], ["z"])
    assert compare.compare(got(a=1, b=2), got(a=1)).first_only == ["b"]
    assert compare.compare(got(a=1, b=2), got(a=1)).first_beyond is None
    with pytest.raises(NetError, match=r"no name is in both. The first has: a. The second has: none"):
        compare.compare(got(a=1), got())


@pytest.fixture
def net():
    with Net(parse_net(NET), seed=1) as made:
        yield made


def other_net(text=NET, seed=1):
    return Net(parse_net(text), seed=seed)


def test_nets_get_the_same_data(net):
    with other_net() as other:
        feed_same(net, other)
        assert net.blobs["data"].data.std() > 0.3
        assert not net.blobs["label"].data.any()
        assert compare.compare(net_arrays(net), net_arrays(other), relative=0, absolute=0).first_beyond is None
        other.layer_dict["ip"].blobs[1].data[2] += 0.5
        feed_same(net, other)
        assert compare.compare(net_arrays(net), net_arrays(other)).first_beyond.name == "ip"
    assert list(net_arrays(net)) == ["data", "label", "ip", "relu", "loss"]


def test_inputs_of_other_names_and_batches(net):
    text = NET.replace('"data"', '"image"').replace("dim: 2 dim: 3", "dim: 7 dim: 3").replace("shape { dim: 2 }", "")
    text = text.replace('top: "label"', "").rpartition("layer")[0]
    with other_net(text) as other:
        feed_same(net, other)
        np.testing.assert_array_equal(other.blobs["image"].data, net.blobs["data"].data)
        np.testing.assert_array_equal(other.blobs["ip"].data, net.blobs["ip"].data)


def test_given_inputs(net):
    data = np.arange(15.0).reshape(5, 3)
    with other_net() as other:
        feed_same(net, other, got(data=data, label=np.array([3, 1, 2, 0, 0])))
        np.testing.assert_array_equal(other.blobs["data"].data, data)
        assert other.blobs["label"].data.tolist() == [3, 1, 2, 0, 0]
        with pytest.raises(
            NetError, match=r"input 'data' is of shape \(5, 3\); what it should hold is of shape \(3,\)"
        ):
            feed_same(net, other, got(data=np.ones(3)))


def test_an_input_without_a_partner(net):
    extra = 'layer { name: "e" type: "Input" top: "e" input_param { shape { dim: 1 } } }'
    with other_net(NET + extra) as other, pytest.raises(NetError, match="input 'e' of the second net has no partner"):
        feed_same(net, other)


def everything(path):
    with open_arrays(path) as arrays:
        return {name: get() for name, get in arrays.items()}


def test_weights_are_named_alike_in_both_formats(net, tmp_path):
    net.save(tmp_path / "w.caffemodel")
    net.save(tmp_path / "w.h5")
    for name in ("w.caffemodel", "w.h5"):
        found = everything(tmp_path / name)
        assert list(found) == ["ip[0]", "ip[1]"]
        for i in (0, 1):
            np.testing.assert_array_equal(found[f"ip[{i}]"], net.layer_dict["ip"].blobs[i].data)


def test_dumps(tmp_path):
    arrays = {"conv1": np.arange(6.0).reshape(2, 3), "a/b": np.arange(4, dtype=np.float32), "n": np.int64(3)}
    np.savez(tmp_path / "x.npz", **arrays)
    np.savez_compressed(tmp_path / "y.npz", **arrays)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name, value in arrays.items():
            file[name] = value
    for name in ("x.npz", "y.npz", "x.h5"):
        found = everything(tmp_path / name)
        assert set(found) == set(arrays)
        for key, value in arrays.items():
            np.testing.assert_array_equal(found[key], value)
            assert found[key].shape == np.shape(value)


def test_damage(tmp_path, net):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.array([{}], dtype=object))
    with pytest.raises(WeightsError, match=r"'a\.npy' cannot be read: "):
        everything(path)
    np.savez_compressed(path, a=np.random.default_rng(1).random(10_000))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=r"x\.npz cannot be read"):
        everything(path)
    path.write_bytes(whole[:3000] + bytes(100) + whole[3100:])
    with pytest.raises(WeightsError, match=r"'a\.npy' cannot be read"):
        everything(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.npy", bytes(50_000_000))
    with pytest.raises(WeightsError, match="would unpack to 50,000,000 bytes: not read"):
        everything(path)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["text"] = "abc"
    with pytest.raises(WeightsError, match="is no kind of number"):
        everything(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file[b"\xff\xfe"] = 1.0
    with pytest.raises(WeightsError, match=r"x\.h5 cannot be read"):
        everything(tmp_path / "x.h5")
    (tmp_path / "x.h5").write_bytes((tmp_path / "x.h5").read_bytes()[:100])
    with pytest.raises(WeightsError, match=r"x\.h5 cannot be read"):
        everything(tmp_path / "x.h5")
    with pytest.raises(WeightsError, match="Could not open file"):
        everything(tmp_path / "gone.caffemodel")
