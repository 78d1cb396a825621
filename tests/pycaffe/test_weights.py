"""caffe.Net: weights to and from files, and shared."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

import caffepy as caffe
from caffepy.errors import WeightsError
from caffepy.net import Net as Engine
from caffepy.proto import caffe_pb2
from tests.pycaffe.nets import DEPLOY, make


def values(net):
    return [blob.data.copy() for blobs in net.params.values() for blob in blobs]


def equal(one, other):
    return all((a == b).all() for a, b in zip(values(one), values(other), strict=True))


@pytest.mark.parametrize("suffix", ["", ".caffemodel", ".h5"])
def test_files(tmp_path, device, suffix):
    net, other = make(tmp_path, DEPLOY, backend=device), make(tmp_path, DEPLOY, backend=device)
    # What the script wrote last is written too.
    net.params["conv"][1].data[...] = [1, 2, 3, 4]
    path = str(tmp_path / f"w{suffix}")
    net.save(path)
    assert not equal(net, other)
    report = other.copy_from(path)
    assert equal(net, other)
    assert report.loaded == ["conv", "ip"]


@pytest.mark.parametrize("name", ["w", "w.h5", "w.caffemodel"])
def test_hdf5_whatever_the_name(tmp_path, device, name):
    net, other = make(tmp_path, DEPLOY, backend=device), make(tmp_path, DEPLOY, backend=device)
    path = str(tmp_path / name)
    net.params["ip"][1].diff[...] = 7
    net.params["ip"][1].data[...] = 6
    net.save_hdf5(path)
    with h5py.File(path) as file:
        assert list(file) == ["data"]
        np.testing.assert_array_equal(file["data/conv/0"], net.params["conv"][0].data)
    other.load_hdf5(path)
    assert equal(net, other)
    assert (other.params["ip"][1].data == 6).all()
    net.save_hdf5(path, write_diff=True)
    with h5py.File(path) as file:
        assert (file["diff/ip/1"][()] == 7).all()


def test_a_caffemodel_is_one(tmp_path):
    net = make(tmp_path, DEPLOY)
    net.save(str(tmp_path / "w.caffemodel"))
    message = caffe_pb2.NetParameter.FromString((tmp_path / "w.caffemodel").read_bytes())
    assert [layer.name for layer in message.layer] == list(net._layer_names)
    np.testing.assert_array_equal(
        caffe.io.blobproto_to_array(message.layer[1].blobs[0]), net.params["conv"][0].data.astype(float)
    )


def test_shared_weights(tmp_path, device):
    net, other = make(tmp_path, DEPLOY, backend=device), make(tmp_path, DEPLOY, backend=device)
    net.params["ip"][0].data[...] = 1
    other.share_with(net)
    assert equal(net, other)
    net.params["conv"][0].data[...] = 5
    assert (other.params["conv"][0].data == 5).all()
    other.forward()
    other.params["conv"][0].data[...] *= 2
    net.forward()
    assert (net.params["conv"][0].data == 10).all()
    third = make(tmp_path, DEPLOY, backend=device)
    third.share_with(net.engine)
    assert equal(third, net)
    assert isinstance(net.engine, Engine)


def test_what_does_not_fit(tmp_path):
    net = make(tmp_path, DEPLOY)
    net.save(str(tmp_path / "w.caffemodel"))
    other = make(tmp_path, DEPLOY.replace("num_output: 5", "num_output: 6"))
    with pytest.raises(WeightsError, match="Cannot copy param 0 weights from layer 'ip'; shape mismatch"):
        other.copy_from(str(tmp_path / "w.caffemodel"))
    report = other.copy_from(str(tmp_path / "w.caffemodel"), on_mismatch="skip")
    assert report.loaded == ["conv"]
    np.testing.assert_array_equal(other.params["conv"][0].data, net.params["conv"][0].data)
    with pytest.raises(WeightsError, match="Cannot share param 0 weights from layer 'ip'"):
        other.share_with(net)
