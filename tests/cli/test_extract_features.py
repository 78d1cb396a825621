"""caffepy extract-features: what Caffe's tool writes, in its words and by options, and in HDF5 and npz."""

from __future__ import annotations

from pathlib import Path

import h5py
import lmdb
import numpy as np
import pytest

from caffepy.net import Net
from caffepy.proto import caffe_pb2

MODELS = Path(__file__).resolve().parents[2] / "models" / "lenet"
WEIGHTS = MODELS / "lenet.caffemodel"
RECORDS = 360


@pytest.fixture
def lenet(tmp_path, monkeypatch):
    """LeNet with its test digits by 50, so that the last batch is a part."""
    monkeypatch.chdir(tmp_path)
    text = (MODELS / "train_val.prototxt").read_text()
    text = text.replace("models/lenet/digits_test_lmdb", str(MODELS / "digits_test_lmdb"))
    text = text.replace("batch_size: 60", "batch_size: 50")
    (tmp_path / "net.prototxt").write_text(text)
    return tmp_path


@pytest.fixture
def expected(lenet):
    """Blobs and labels of all records, by passes over the whole net."""
    blobs = {"pool2": [], "ip1": [], "label": []}
    with Net("net.prototxt", caffe_pb2.TEST, weights=WEIGHTS) as net:
        for _ in range(8):
            net.forward()
            for name, values in blobs.items():
                values.append(net.blobs[name].data.copy())
    return {name: np.concatenate(values) for name, values in blobs.items()}


def datums(path):
    with lmdb.open(str(path), readonly=True, lock=False) as base, base.begin() as transaction:
        return [(bytes(key), caffe_pb2.Datum.FromString(value)) for key, value in transaction.cursor()]


def test_databases_in_caffes_words(run, lenet, expected):
    result = run("extract_features", WEIGHTS, "net.prototxt", "ip1,pool2", "a,b", 8, "lmdb", "CPU", "DEVICE_ID=0")
    assert (result.code, result.out) == (0, "")
    assert "Extracted features of 400 query images for feature blob pool2" in result.lines
    for path, name, sizes in (("a", "ip1", (500, 1, 1)), ("b", "pool2", (50, 4, 4))):
        # As in Caffe, eight batches of 50 begin the data again.
        records = datums(lenet / path)
        assert [key for key, _ in records] == [b"%010d" % i for i in range(400)]
        for i in (0, 1, 359, 360, 399):
            datum = records[i][1]
            assert (datum.channels, datum.height, datum.width) == sizes
            assert not datum.HasField("data")
            np.testing.assert_array_equal(np.float32(datum.float_data), expected[name][i].ravel())
            assert datum.label == expected["label"][i]


@pytest.mark.parametrize("out", ["f.npz", "f.h5"])
def test_one_file_by_options(run, lenet, expected, out):
    result = run(
        "extract-features", "--model=net.prototxt", f"--weights={WEIGHTS}", "--blobs", "ip1,pool2", "-out", out
    )
    assert result.code == 0
    assert "Processed 360 images." in result.lines
    with np.load(out, allow_pickle=False) if out.endswith("npz") else h5py.File(out) as file:
        assert sorted(file) == ["ip1", "label", "pool2"]
        for name in file:
            np.testing.assert_array_equal(file[name][...], expected[name][:RECORDS])
            assert file[name].dtype == np.float32
    assert sorted(path.name for path in lenet.iterdir()) == [out, "net.prototxt"]


def test_all_records_once_to_a_database(run, lenet):
    assert run("extract-features", WEIGHTS, "net.prototxt", "ip2", "a").code == 0
    records = datums(lenet / "a")
    assert len(records) == RECORDS
    # Features as data: a net reads what was written.
    (lenet / "next.prototxt").write_text(
        'layer { name: "d" type: "Data" top: "x" top: "y" data_param { source: "a" batch_size: 4 backend: LMDB } }'
    )
    with Net("next.prototxt") as net:
        net.forward()
        assert net.blobs["x"].shape == (4, 10, 1, 1)
        np.testing.assert_array_equal(net.blobs["x"].data[3].ravel(), np.float32(records[3][1].float_data))
        assert net.blobs["y"].data[3] == records[3][1].label


def test_leveldb_and_more_axes(run, lenet):
    assert run("extract-features", WEIGHTS, "net.prototxt", "ip2", "a", 1, "leveldb").code == 0
    assert (lenet / "a" / "CURRENT").is_file()
    text = (lenet / "net.prototxt").read_text() + (
        'layer { name: "r" type: "Reshape" bottom: "pool2" top: "r" '
        "reshape_param { shape { dim: 0 dim: 5 dim: 10 dim: 4 dim: 4 } } }"
    )
    (lenet / "net.prototxt").write_text(text)
    result = run("extract-features", WEIGHTS, "net.prototxt", "r", "b")
    assert result.code == 1
    assert "Cannot use legacy accessors on Blobs with > 4 axes" in result.err
    assert not (lenet / "b").exists()
    assert run("extract-features", WEIGHTS, "net.prototxt", "r", "b.npz").code == 0
    assert np.load("b.npz")["r"].shape == (RECORDS, 5, 10, 4, 4)


def test_labels_that_are_no_classes(run, lenet):
    with h5py.File(lenet / "d.h5", "w") as file:
        file["x"], file["label"] = np.arange(8.0).reshape(4, 2), np.array([3, 0.5, np.nan, 1e20])
    (lenet / "list.txt").write_text("d.h5")
    (lenet / "h.prototxt").write_text(
        'layer { name: "d" type: "HDF5Data" top: "x" top: "label" '
        'hdf5_data_param { source: "list.txt" batch_size: 3 } }'
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 2 } }'
    )
    with Net("h.prototxt") as net:
        net.save("h.caffemodel")
    assert run("extract-features", "h.caffemodel", "h.prototxt", "x", "a").code == 0
    assert [datum.label if datum.HasField("label") else None for _, datum in datums(lenet / "a")] == [3, *[None] * 3]
    assert run("extract-features", "h.caffemodel", "h.prototxt", "x", "f.h5").code == 0
    np.testing.assert_array_equal(h5py.File("f.h5")["label"], np.float32([3, 0.5, np.nan, 1e20]))


def test_names_with_slashes_and_rows_of_their_own(run, lenet):
    text = (lenet / "net.prototxt").read_text() + (
        'layer { name: "s" type: "Flatten" bottom: "pool2" top: "a/b" }'
        'layer { name: "t" type: "Flatten" bottom: "pool1" top: "a" }'
    )
    (lenet / "net.prototxt").write_text(text)
    assert run("extract-features", WEIGHTS, "net.prototxt", "a/b,a", "b.npz").code == 0
    assert np.load("b.npz")["a/b"].shape == (RECORDS, 800)
    assert run("extract-features", WEIGHTS, "net.prototxt", "a/b", "b.h5").code == 0
    assert h5py.File("b.h5")["a/b"].shape == (RECORDS, 800)
    result = run("extract-features", WEIGHTS, "net.prototxt", "a/b,a", "c.h5")
    assert result.code == 1
    assert "cannot write the HDF5 file 'c.h5'" in result.err
    assert not (lenet / "c.h5").exists()
    result = run("extract-features", WEIGHTS, "net.prototxt", "loss", "c.h5")
    assert "blob 'loss' is of shape (): it has no row for each of the 50 records" in result.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            [WEIGHTS, "net.prototxt", "ip", "a"],
            1,
            "Unknown feature blob name ip in the network LeNet. Did you mean 'ip",
        ),
        ([WEIGHTS, "net.prototxt", "ip1,ip2", "a"], 2, "the number of blob names and dataset names must be equal"),
        ([WEIGHTS, "net.prototxt", "ip1,ip2", "a.npz,b.npz"], 2, "one HDF5 or npz file takes all blobs"),
        ([WEIGHTS, "net.prototxt", "ip1", "a", "x"], 2, "expected a number of batches"),
        ([WEIGHTS, "net.prototxt", "ip1", "a", "1", "db"], 2, "expected lmdb, leveldb, hdf5, npz as format"),
        ([WEIGHTS, "net.prototxt", "ip1", "a", "1", "lmdb", "TPU"], 2, "expected CPU, or GPU and DEVICE_ID=N"),
        ([WEIGHTS, "net.prototxt", "ip1", "a", "1", "lmdb", "GPU"], 1, "GPU"),
        ([WEIGHTS, "--weights=x", "net.prototxt", "ip1", "a"], 2, "is weights, which --weights gives too"),
        ([WEIGHTS, "net.prototxt", "ip1"], 2, "Missing --out"),
        ([WEIGHTS, "net.prototxt", "ip1", "no/a.npz"], 1, "there is no folder"),
        ([WEIGHTS, "net.prototxt", "ip1", "no/a.h5"], 1, "there is no folder"),
        ([WEIGHTS, MODELS / "deploy.prototxt", "ip1", "a"], 1, "has no data that ends"),
    ],
)
def test_errors(run, lenet, words, code, said):
    result = run("extract-features", *words)
    assert result.code == code
    assert said in result.err
    assert [path.name for path in lenet.iterdir()] == ["net.prototxt"]


def test_two_kinds_of_data(run, lenet):
    text = (lenet / "net.prototxt").read_text() + (
        f'layer {{ name: "e" type: "Data" top: "x" data_param {{ source: "{MODELS / "digits_test_lmdb"}" '
        "batch_size: 30 backend: LMDB } }"
    )
    (lenet / "net.prototxt").write_text(text)
    result = run("extract-features", WEIGHTS, "net.prototxt", "ip1", "a")
    assert result.code == 1
    assert "different numbers of records: 'digits' 360 by 50, 'e' 360 by 30" in result.err
    assert run("extract-features", WEIGHTS, "net.prototxt", "ip1", "a", "2").code == 0
    assert len(datums(lenet / "a")) == 100
