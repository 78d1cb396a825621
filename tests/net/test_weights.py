"""Weights from and to files: what fits, what is refused, and what becomes of a file when the disk is full."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import WeightsError
from caffepy.net import weights
from caffepy.net.hdf5 import numbers
from caffepy.proto import caffe_pb2
from caffepy.proto.arrays import blob_array, blob_shape
from tests.net.from_text import net_of
from tests.net.square_loss import Weights

SOLVERS = Path(__file__).parents[2] / ".." / "shared" / "oracle" / "solvers"
assert Weights.tops


def _net(*layers: str, **arguments):
    """Layers of learnable blobs from ``name: 2x3 4``."""
    text = ""
    for layer in layers:
        name, _, shapes = layer.partition(":")
        tops = "".join(f' top: "{name}{i}{text.count("layer")}"' for i, _ in enumerate(shapes.split() or [""]))
        dims = "".join(
            "shape {" + "".join(f" dim: {dim}" for dim in shape.split("x")) + " }" for shape in shapes.split()
        )
        text += f'layer {{ name: "{name}" type: "Weights" {tops} input_param {{ {dims} }} }}\n'
    return net_of(f'name: "nets" {text}', **arguments)


def _write(path: Path, **layers) -> Path:
    """A caffemodel of BlobProtos by layer name."""
    param = caffe_pb2.NetParameter(name="stored")
    for name, blobs in layers.items():
        param.layer.add(name=name, type="InnerProduct").blobs.extend(blobs)
    path.write_bytes(param.SerializeToString())
    return path


def _blob(values, shape=None, **legacy):
    blob = caffe_pb2.BlobProto(data=values, **legacy)
    if shape is not None:
        blob.shape.dim.extend(shape)
    return blob


SIX = [1.5, -2, 3, 4, 5, 6]


@pytest.mark.parametrize("name", ["net.caffemodel", "net.caffemodel.h5"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_written_is_read_back_bit_for_bit(tmp_path, name, dtype):
    layers = ("one: 2x3 3", "deep/er/two: 4x1x5x5", "deep: 2", "scalar: 1")
    backend = get_backend("cpu", dtype)
    net = _net(*layers, backend=backend)
    random = np.random.default_rng(1)
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = random.standard_normal(blob.shape)
    net.params["one"][0].data[0, 0] = -0.0
    net.params["one"][0].data[0, 1] = np.finfo(dtype).tiny / 4
    net.save(tmp_path / name)
    other = _net(*layers, backend=backend)
    report = other.copy_from(tmp_path / name)
    for key, blobs in net.params.items():
        for blob, own in zip(blobs, other.params[key], strict=True):
            assert own.data.tobytes() == blob.data.tobytes()
            assert not own.diff.any()
    assert report.loaded == ["one", "deep/er/two", "deep", "scalar"]
    assert report.ignored == report.missing == []
    assert str(report) == f"{tmp_path / name}: 4 layers loaded"
    assert os.listdir(tmp_path) == [name]


def test_values_written_in_the_prototxt_are_not_stored_beside_the_learned_ones(tmp_path):
    text = """layer { name: "a" type: "Weights" top: "a" input_param { shape { dim: 3 } }
        blobs { shape { dim: 3 } data: 4 data: 5 data: 6 } }"""
    net = net_of(text)
    assert net.params["a"][0].data.tolist() == [4, 5, 6]
    net.params["a"][0].data[...] = 7
    net.save(tmp_path / "w.caffemodel")
    other = net_of(text)
    other.copy_from(tmp_path / "w.caffemodel")
    assert other.params["a"][0].data.tolist() == [7, 7, 7]


def test_diffs_come_along_when_they_were_stored(tmp_path):
    net = _net("a: 2x3")
    net.params["a"][0].diff[...] = 7
    net.save(tmp_path / "with.caffemodel", diff=True)
    net.save(tmp_path / "without.caffemodel")
    other = _net("a: 2x3")
    other.copy_from(tmp_path / "without.caffemodel")
    assert not other.params["a"][0].diff.any()
    other.copy_from(tmp_path / "with.caffemodel")
    assert (other.params["a"][0].diff == 7).all()


def test_layers_are_matched_by_name_and_the_report_tells_of_the_others(tmp_path, caplog):
    caplog.set_level(logging.INFO, "caffepy")
    _net("b: 3", "gone: 2", "a: 2x3").save(tmp_path / "w.caffemodel")
    net = _net("a: 2x3", "b: 3", "new: 5")
    net.params["a"][0].data[...] = net.params["b"][0].data[...] = net.params["new"][0].data[...] = 0
    report = net.copy_from(tmp_path / "w.caffemodel")
    assert (report.loaded, report.ignored, report.missing) == (["b", "a"], ["gone"], ["new"])
    assert str(report).endswith("2 layers loaded; 1 not in this net: gone; 1 not in the file, kept as they were: new")
    assert net.params["a"][0].data.tolist() == [[1, 1, 1], [1, 1, 1]]
    assert net.params["new"][0].data.tolist() == [0] * 5
    assert "Ignoring source layer gone" in caplog.text
    assert "Is this the right file" not in caplog.text
    _net("b: 3", "gone: 2", "a: 2x3").save(tmp_path / "w.h5")
    report = _net("a: 2x3", "b: 3", "new: 5").copy_from(tmp_path / "w.h5")
    assert (sorted(report.loaded), report.ignored, report.missing) == (["a", "b"], ["gone"], ["new"])


@pytest.mark.parametrize("name", ["w.caffemodel", "w.h5"])
def test_a_file_of_quite_another_net_is_warned_of(tmp_path, caplog, name):
    _net("x: 3", "y: 2").save(tmp_path / name)
    report = _net("a: 3").copy_from(tmp_path / name)
    assert (report.loaded, report.ignored, report.missing) == ([], ["x", "y"], ["a"])
    assert "so nothing was copied. The file has: x, y. The net has: a. Is this the right file?" in caplog.text


def test_layers_of_one_name_are_paired_in_order(tmp_path):
    net = _net("a: 2", "a: 3")
    net.layers[0].blobs[0].data[...] = 5
    net.layers[1].blobs[0].data[...] = 6
    net.save(tmp_path / "w.caffemodel")
    other = _net("a: 2", "a: 3")
    other.copy_from(tmp_path / "w.caffemodel")
    assert [layer.blobs[0].data.tolist() for layer in other.layers] == [[5, 5], [6, 6, 6]]
    third = _net("a: 2", "a: 3")
    third.share_with(net)
    assert [layer.blobs[0].data.tolist() for layer in third.layers] == [[5, 5], [6, 6, 6]]
    with pytest.raises(WeightsError, match=r"w.h5: not written: two layers are named 'a', and HDF5 has room for one"):
        net.save(tmp_path / "w.h5")
    assert os.listdir(tmp_path) == ["w.caffemodel"]


SHAPES = [
    # ours, what the file states, whether it fits
    ("2x3", {"shape": [2, 3]}, True),
    ("2x3", {"shape": [3, 2]}, False),
    ("2x3", {"shape": [1, 1, 2, 3]}, False),
    ("2x3", {"shape": [6]}, False),
    ("2x3", {"shape": [2, 3, 1]}, False),
    ("1x1x2x3", {"shape": [2, 3]}, False),
    ("2x3", {"num": 1, "channels": 1, "height": 2, "width": 3}, True),
    ("2x3", {"num": 2, "channels": 3, "height": 1, "width": 1}, False),
    ("6", {"num": 1, "channels": 1, "height": 1, "width": 6}, True),
    ("6", {"num": 6, "channels": 1, "height": 1, "width": 1}, False),
    ("1x2x3", {"num": 1, "channels": 1, "height": 2, "width": 3}, True),
    ("6x1x1x1", {"num": 6, "channels": 1, "height": 1, "width": 1}, True),
    ("1x6x1x1", {"num": 6, "channels": 1, "height": 1, "width": 1}, False),
    ("1x1x1x2x3", {"num": 1, "channels": 1, "height": 2, "width": 3}, False),
]


@pytest.mark.parametrize(("ours", "stored", "fits"), SHAPES, ids=lambda value: str(value).replace(" ", ""))
def test_shapes_of_today_must_be_equal_and_the_four_old_dimensions_count_from_the_end(tmp_path, ours, stored, fits):
    path = _write(tmp_path / "w.caffemodel", a=[_blob(SIX, **stored)])
    net = _net(f"a: {ours}")
    if fits:
        net.copy_from(path)
        assert net.params["a"][0].data.reshape(-1).tolist() == SIX
        return
    shape = " ".join(str(n) for n in (stored.get("shape") or stored.values()))
    match = (
        rf"w.caffemodel: Cannot copy param 0 weights from layer 'a'; shape mismatch\.  Source param shape is {shape} "
        rf"\(6\); target param shape is {ours.replace('x', ' ')} \(6\)\. To learn this layer's parameters from scratch"
    )
    with pytest.raises(WeightsError, match=match):
        net.copy_from(path)


def test_doubles_are_read_by_a_net_of_floats(tmp_path):
    blob = caffe_pb2.BlobProto(double_data=[1 / 3, 2, 3], data=[9, 9, 9])
    blob.shape.dim.append(3)
    net = _net("a: 3")
    net.copy_from(_write(tmp_path / "w.caffemodel", a=[blob]))
    assert net.params["a"][0].data.tolist() == [np.float32(1 / 3), 2, 3]


def test_numbers_of_blobs_must_agree(tmp_path):
    net = _net("a: 3 3", "b: 2")
    path = _write(tmp_path / "w.caffemodel", a=[_blob([1, 2, 3], [3])])
    match = r"w.caffemodel: Incompatible number of blobs for layer a: 1 in the file, 2 in the net"
    with pytest.raises(WeightsError, match=match):
        net.copy_from(path)
    with pytest.raises(WeightsError, match="Incompatible number of blobs for layer b: 0 in the file, 1 in the net"):
        net.copy_from(_write(path, b=[]))
    for count in (1, 3):
        _net("a: " + "3 " * count).save(tmp_path / "w.h5")
        match = f"w.h5: Incompatible number of blobs for layer a: {count} in the file, 2 in the net"
        with pytest.raises(WeightsError, match=match):
            net.copy_from(tmp_path / "w.h5")


def test_fewer_values_than_the_shape_says(tmp_path):
    for values in ([1, 2], [1, 2, 3, 4], []):
        path = _write(tmp_path / "w.caffemodel", a=[_blob(values, [3])])
        match = rf"layer 'a', blob 0: {len(values)} values for shape 3 \(3\) \(Check failed: count_ == proto.data_size"
        with pytest.raises(WeightsError, match=match):
            _net("a: 3").copy_from(path)


def test_a_v1_file_is_upgraded(tmp_path):
    old = caffe_pb2.NetParameter(name="old")
    layer = old.layers.add(name="a", type=caffe_pb2.V1LayerParameter.INNER_PRODUCT)
    layer.blobs.add(num=1, channels=1, height=2, width=3, data=SIX)
    layer.blobs.add(num=1, channels=1, height=1, width=2, data=[8, 9])
    (tmp_path / "v1.caffemodel").write_bytes(old.SerializeToString())
    net = _net("a: 2x3 2")
    assert net.copy_from(tmp_path / "v1.caffemodel").loaded == ["a"]
    assert net.params["a"][0].data.reshape(-1).tolist() == SIX
    assert net.params["a"][1].data.tolist() == [8, 9]


def test_every_cut_and_many_a_flipped_byte_is_a_clear_error_or_the_right_shape(tmp_path):
    whole = _write(tmp_path / "w.caffemodel", a=[_blob(SIX, [2, 3]), _blob([7, 8], [2])], b=[_blob([1], [1])])
    data = whole.read_bytes()
    random = np.random.default_rng(0)
    damaged = [data[:length] for length in range(len(data))]
    for _ in range(400):
        flipped = bytearray(data)
        flipped[random.integers(len(data))] ^= 1 << random.integers(8)
        damaged.append(bytes(flipped))
    refused = 0
    for content in damaged:
        whole.write_bytes(content)
        try:
            _net("a: 2x3 2", "b: 1").copy_from(whole)
        except WeightsError as error:
            refused += "w.caffemodel" in str(error) or pytest.fail(f"the file is not named: {error}")
    assert refused > len(data) / 2


def test_every_kind_of_damage_to_hdf5_is_a_clear_error(tmp_path):
    path = tmp_path / "w.h5"
    _net("a: 2x3 2").save(path)
    data = path.read_bytes()
    random = np.random.default_rng(0)
    for cut in (0, 8, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:cut])
        with pytest.raises(WeightsError, match=r"w\.h5"):
            _net("a: 2x3 2").copy_from(path)
    for _ in range(100):
        flipped = bytearray(data)
        for _ in range(4):
            flipped[random.integers(len(data))] ^= 1 << random.integers(8)
        path.write_bytes(flipped)
        try:
            _net("a: 2x3 2").copy_from(path)
        except WeightsError as error:
            if "w.h5" not in str(error):
                pytest.fail(f"the file is not named: {error}")


def test_hdf5_of_another_make(tmp_path):
    path = tmp_path / "w.h5"

    def refused(match: str, **content):
        with h5py.File(path, "w") as file:
            for name, value in content.items():
                file[name.replace("__", "/")] = value
        with pytest.raises(WeightsError, match=match):
            _net("a: 2x3").copy_from(path)

    refused("no group 'data': this HDF5 file does not hold weights written by Caffe", other=1)
    refused("no group 'data'", data=np.zeros(3))
    refused("It holds a solver's state", iter=[3], history=[1])
    refused(r"Cannot copy param 0 weights from layer 'a'; shape mismatch.*3 2 \(6\)", data__a__0=np.zeros((3, 2)))
    refused("layer 'a', blob 0: .* is no kind of number", data__a__0=np.full((2, 3), b"x"))
    refused("Incompatible number of blobs for layer a: 2 in the file, 1 in the net", data__a__b=1, data__a__c=2)
    refused("damaged or cut off", data__a__1=np.zeros((2, 3)))
    with h5py.File(path, "w") as file:
        file["data/a/0"] = np.arange(6, dtype=np.float64).reshape(2, 3)
    net = _net("a: 2x3")
    net.copy_from(path)
    assert net.params["a"][0].data.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_huge_claim_in_a_small_hdf5_file_allocates_nothing(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_dataset("data/a/0", (1 << 40,), np.float32, chunks=(1 << 10,), compression="gzip")
    assert (tmp_path / "w.h5").stat().st_size < 1 << 20
    with pytest.raises(WeightsError, match=r"shape mismatch\.  Source param shape is 1099511627776"):
        _net("a: 2x3").copy_from(tmp_path / "w.h5")


def test_a_file_that_is_not_there_and_one_that_is_something_else(tmp_path):
    with pytest.raises(WeightsError, match=r"Could not open file .*none\.caffemodel"):
        _net("a: 3").copy_from(tmp_path / "none.caffemodel")
    (tmp_path / "net.prototxt").write_text('name: "x"')
    with pytest.raises(WeightsError, match=r"text, such as a prototxt\. Are model and weights swapped\?$"):
        _net("a: 3").copy_from(tmp_path / "net.prototxt")
    with pytest.raises(WeightsError, match="It is a folder"):
        _net("a: 3").copy_from(tmp_path)


@pytest.mark.parametrize("name", ["w.caffemodel", "w.h5"])
def test_a_disk_that_refuses_leaves_the_old_file_and_no_other(tmp_path, name, monkeypatch):
    net = _net("a: 3")
    net.save(tmp_path / name)
    before = (tmp_path / name).read_bytes()
    net.params["a"][0].data[...] = 5

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WeightsError, match=rf"{name}: not written: No space left on device.*unharmed"):
        net.save(tmp_path / name)
    assert (tmp_path / name).read_bytes() == before
    assert os.listdir(tmp_path) == [name]


def test_a_folder_that_is_not_there(tmp_path):
    for name in ("w.caffemodel", "w.h5"):
        with pytest.raises(WeightsError, match=r"none/w.*: not written: No such file or directory"):
            _net("a: 3").save(tmp_path / "none" / name)


def test_more_than_two_gib_are_refused_before_they_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "MAX_BINARY", weights._HEADERS + 1000)
    _net("a: 250").save(tmp_path / "w.caffemodel")
    match = r"w.caffemodel: not written: 1,004 bytes are more than the 2 GiB .* Use HDF5 \(snapshot_format: HDF5\)"
    with pytest.raises(WeightsError, match=match):
        _net("a: 251").save(tmp_path / "w.caffemodel")
    with pytest.raises(WeightsError, match="2,000 bytes are more"):
        _net("a: 250").save(tmp_path / "w.caffemodel", diff=True)
    _net("a: 251").save(tmp_path / "w.h5")


def test_fields_of_forks_in_a_blob_are_passed_over():
    known = _blob(SIX, [2, 3]).SerializeToString()
    # Their contents look like an empty data field to who loses step.
    data = b"\x2a\x00"
    varint, fixed32, text = b"\x50\x07", b"\xad\x01" + b"\xff" * 4, b"\xa2\x01\x03x" + data
    fixed64 = b"\x99\x01" + b"\xff" * 4 + data + b"\x10\x00"
    blob = caffe_pb2.BlobProto.FromString(varint + known + fixed32 + text + fixed64)
    assert blob_array(blob).tolist() == SIX
    assert blob_array(blob, "diff").size == 0
    assert blob_shape(blob) == (2, 3)


@pytest.fixture
def caffes(monkeypatch):
    if not SOLVERS.is_dir():
        pytest.skip("no ../shared/oracle beside the checkout: BVLC Caffe's recorded results are not compared")
    monkeypatch.chdir(SOLVERS)


CAFFES = ("conv1: 8x1x5x5 8", "conv2: 12x4x5x5 12", "ip: 10x192 10")


@pytest.mark.parametrize(
    "name",
    ["init.caffemodel", "snap_sgd_inv_iter_20.caffemodel", "snap_sgd_inv_hdf5_iter_20.caffemodel.h5"],
)
def test_caffes_own_files(caffes, tmp_path, name):
    net = _net(*CAFFES)
    report = net.copy_from(name)
    assert (sorted(report.loaded), report.missing, report.ignored) == (["conv1", "conv2", "ip"], [], [])
    # Read by protobuf and h5py themselves.
    if name.endswith(".h5"):
        with h5py.File(name) as file:
            expected = {f"{layer}/{i}": file[f"data/{layer}/{i}"][()] for layer in net.params for i in (0, 1)}
    else:
        stored = caffe_pb2.NetParameter.FromString(Path(name).read_bytes())
        expected = {
            f"{layer.name}/{i}": np.array(blob.data, np.float32).reshape(tuple(blob.shape.dim))
            for layer in stored.layer
            for i, blob in enumerate(layer.blobs)
        }
    assert len(expected) == 6
    for key, values in expected.items():
        layer, i = key.split("/")
        np.testing.assert_array_equal(net.params[layer][int(i)].data, values)
    # And written again in the other format.
    other = tmp_path / ("w.caffemodel" if name.endswith(".h5") else "w.h5")
    net.save(other)
    again = _net(*CAFFES)
    again.copy_from(other)
    for layer, blobs in net.params.items():
        for blob, own in zip(blobs, again.params[layer], strict=True):
            np.testing.assert_array_equal(own.data, blob.data)


def test_names_that_are_not_utf8_are_other_layers(tmp_path, caplog):
    """Nets of 2015 have layers named in GBK; protobuf gives such names as bytes."""
    net = _net("one: 6")
    data = _write(tmp_path / "w", one=[_blob(SIX, [6])], other=[_blob(SIX, [6])]).read_bytes()
    (tmp_path / "w").write_bytes(data.replace(b"other", b"\xb2\xe3\xff12"))
    report = net.copy_from(tmp_path / "w")
    assert report.loaded == ["one"]
    assert report.ignored == ["\\xb2\\xe3\\xff12"]


def _put(name, **options):
    def change(data):
        del data[name]
        data.create_dataset(name, **options)

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_put("one/0", data="text"), r"shape mismatch"),
        (_put("one/0", shape=(6,), dtype=h5py.string_dtype()), r"layer 'one', blob 0: object is no kind of number"),
        (_put("one/0", data=np.zeros(6, np.complex64)), r"layer 'one', blob 0: complex64 is no kind of number"),
        (
            _put("one/0", shape=(6,), maxshape=(None,), dtype="f4", chunks=(1 << 25,)),
            "stored in pieces of 134,217,728 byt",
        ),
        (_put("one/0", shape=(6,), dtype="f4", external=[("other", 0, 24)]), "its values lie in other files"),
        (
            lambda data: data.create_dataset("one/x", data=1),
            "Incompatible number of blobs for layer one: 2 in the file",
        ),
    ],
)
def test_hdf5_that_no_caffe_wrote(tmp_path, change, said):
    net = _net("one: 6")
    net.save(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "a") as file:
        change(file["data"])
    with pytest.raises(WeightsError, match=said):
        net.copy_from(tmp_path / "w.h5")


def test_hdf5_of_a_blob_of_so_many_values():
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("x", data=np.zeros((2, 3)))
        assert numbers(file, dataset, 6, "x").shape == (6,)
        with pytest.raises(WeightsError, match=r"^x: 6 values, expected 7"):
            numbers(file, dataset, 7, "x")
        with pytest.raises(WeightsError, match=r"^x: a group is no kind of number"):
            numbers(file, file, 7, "x")
        source = h5py.VirtualSource("other", "y", shape=(6,))
        layout = h5py.VirtualLayout(shape=(6,), dtype="f4")
        layout[:] = source
        with pytest.raises(WeightsError, match="its values lie in other files"):
            numbers(file, file.create_virtual_dataset("v", layout), 6, "x")
