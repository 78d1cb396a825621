"""Mean images: computed, written and read as Caffe does."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.data.mean import compute_mean, read_mean, write_mean
from caffepy.data.source import Source, open_source
from caffepy.errors import DataError
from caffepy.proto import caffe_pb2
from tests.data.images import noise_image, raw_datum


@pytest.mark.parametrize("database", ["raw_lmdb", "png_lmdb"])
@pytest.mark.parametrize("threads", [1, 3])
def test_equals_caffes_mean(oracle, tmp_path, database, threads):
    source = open_source(oracle / database)
    seen = []
    mean = compute_mean(source, threads=threads, progress=lambda *now: seen.append(now))
    source.close()
    assert mean.dtype == np.float32
    assert np.array_equal(mean, read_mean(oracle / "mean.binaryproto"))
    assert seen == [(i, 6) for i in range(1, 7)]
    write_mean(tmp_path / "mean.binaryproto", mean)
    assert (tmp_path / "mean.binaryproto").read_bytes() == (oracle / "mean.binaryproto").read_bytes()


def test_sums_are_exact_where_float32_would_not_be(make_lmdb):
    # In float32, 2^24 + 1 is 2^24.
    values = (2.0**24, 1.0, 1.0)
    datums = [caffe_pb2.Datum(channels=1, height=1, width=1, float_data=[value]) for value in values]
    assert compute_mean(open_source(make_lmdb(datums))).item() == (2**24 + 2) / 3


def test_float_records(make_lmdb):
    datums = [caffe_pb2.Datum(channels=1, height=1, width=2, float_data=[i, -0.5]) for i in range(4)]
    assert compute_mean(open_source(make_lmdb(datums))).ravel().tolist() == [1.5, -0.5]


def test_records_of_several_sizes_have_no_mean(make_lmdb):
    path = make_lmdb([raw_datum(noise_image((3, 2, 2))), raw_datum(noise_image((3, 2, 3)))])
    with pytest.raises(DataError, match=r"record '00000001' of .* has shape \(3, 2, 3\), the first record \(3, 2, 2\)"):
        compute_mean(open_source(path))


def test_no_records():
    class Nothing(Source):
        path = "nothing"

        def __len__(self):
            return 0

        def read(self, ordinal):
            raise AssertionError

        def close(self):
            pass

    with pytest.raises(DataError, match="'nothing' has no records to take the mean of"):
        compute_mean(Nothing())


def test_written_means_have_legacy_sizes(tmp_path):
    mean = np.random.default_rng(0).uniform(0, 255, (3, 4, 5)).astype(np.float32)
    write_mean(tmp_path / "m.binaryproto", mean)
    blob = caffe_pb2.BlobProto()
    blob.ParseFromString((tmp_path / "m.binaryproto").read_bytes())
    assert (blob.num, blob.channels, blob.height, blob.width) == (1, 3, 4, 5)
    assert not blob.HasField("shape")
    assert np.array_equal(read_mean(tmp_path / "m.binaryproto"), mean)


@pytest.mark.parametrize(
    ("blob", "expected"),
    [
        (caffe_pb2.BlobProto(shape=caffe_pb2.BlobShape(dim=[1, 2, 1, 3]), data=range(6)), (2, 1, 3)),
        (caffe_pb2.BlobProto(shape=caffe_pb2.BlobShape(dim=[2, 1, 3]), double_data=range(6)), (2, 1, 3)),
        (caffe_pb2.BlobProto(shape=caffe_pb2.BlobShape(dim=[6]), data=range(6)), (6,)),
    ],
)
def test_other_forms_of_a_blob(tmp_path, blob, expected):
    (tmp_path / "m.binaryproto").write_bytes(blob.SerializeToString())
    mean = read_mean(tmp_path / "m.binaryproto")
    assert mean.shape == expected
    assert mean.ravel().tolist() == [0, 1, 2, 3, 4, 5]


def test_numpy_files(tmp_path):
    mean = np.random.default_rng(0).uniform(0, 255, (3, 4, 5))
    np.save(tmp_path / "m.npy", mean)
    assert np.array_equal(read_mean(tmp_path / "m.npy"), mean.astype(np.float32))
    np.save(tmp_path / "v.npy", np.array([104.0, 117.0, 123.0]))
    assert read_mean(tmp_path / "v.npy").tolist() == [104, 117, 123]


def test_files_that_are_no_means(tmp_path):
    with pytest.raises(DataError, match="there is no mean file"):
        read_mean("x" * 5000)
    with pytest.raises(DataError, match=r"there is no mean file 'none.npy' .looked for '.*none.npy'"):
        read_mean("none.npy")
    file = tmp_path / "m.binaryproto"
    file.write_bytes(b"\xff\xff\xff")
    with pytest.raises(DataError, match=r"mean file '.*m.binaryproto' is no BlobProto"):
        read_mean(file)
    for blob in (
        caffe_pb2.BlobProto(num=1, channels=3, height=2**30, width=2**30, data=[1.0]),
        caffe_pb2.BlobProto(num=1, channels=1, height=2, width=2, data=[1.0, 2.0, 3.0]),
    ):
        file.write_bytes(blob.SerializeToString())
        with pytest.raises(DataError, match=r"has \d values for shape .*: damaged, or no mean file"):
            read_mean(file)
    for shape in ([2, 2], [2, 3, 1, 1]):
        size = int(np.prod(shape))
        file.write_bytes(
            caffe_pb2.BlobProto(shape=caffe_pb2.BlobShape(dim=shape), data=range(size)).SerializeToString()
        )
        with pytest.raises(DataError, match=r"holds an array of shape .*; expected"):
            read_mean(file)


def test_numpy_files_that_are_no_means(tmp_path):
    file = tmp_path / "m.npy"
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"mean file '.*m.npy' is no array of numbers"):
        read_mean(file)
    np.save(file, np.asfortranarray(np.arange(6.0).reshape(1, 2, 3)))
    assert read_mean(file).tolist() == [[[0, 1, 2], [3, 4, 5]]]
    np.save(file, np.zeros((3, 4, 5)))
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(DataError, match="is no array"):
        read_mean(file)
    # A header that promises 2^60 numbers.
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"(3, 4, 5)", b"(1073741824, 1073741824)").replace(b" " * 15, b"", 1))
    with pytest.raises(DataError, match=r"sizes \(1073741824, 1073741824\) of float64 for 472 bytes"):
        read_mean(file)
    file.write_bytes(b"no array")
    with pytest.raises(DataError, match="is no array"):
        read_mean(file)
