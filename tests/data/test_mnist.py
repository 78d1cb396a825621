"""MNIST's files, whole and damaged, into databases."""

from __future__ import annotations

import gzip
import tracemalloc

import numpy as np
import pytest

from caffepy.data import mnist
from caffepy.data.datum import decode
from caffepy.data.mnist import convert_mnist, read_idx
from caffepy.data.resize import resize
from caffepy.data.source import open_source
from caffepy.errors import DataError
from tests.data.images import noise_image


def idx(array, magic=None):
    header = bytes([0, 0, 8, array.ndim]) if magic is None else magic
    return header + b"".join(size.to_bytes(4, "big") for size in array.shape) + array.tobytes()


@pytest.fixture
def digits(tmp_path):
    images = noise_image((7, 28, 26), 3)
    labels = np.arange(7, dtype=np.uint8)
    (tmp_path / "images").write_bytes(idx(images))
    (tmp_path / "labels.gz").write_bytes(gzip.compress(idx(labels)))
    return tmp_path, images


def test_equals_caffes_database(oracle, mnist, tmp_path):
    count = convert_mnist(mnist / "train-images-idx3-ubyte.gz", mnist / "train-labels-idx1-ubyte.gz", tmp_path / "db")
    ours, theirs = open_source(tmp_path / "db"), open_source(oracle.parent / "solvers" / "mnist_train_lmdb")
    assert count == len(ours) == 60000
    assert len(theirs) == 1000
    for i in range(1000):
        assert ours.read(i) == theirs.read(i)


def test_plain_and_packed_files_give_the_same(digits):
    folder, images = digits
    (folder / "images.gz").write_bytes(gzip.compress(idx(images)))
    assert np.array_equal(read_idx(folder / "images", 3), images)
    assert np.array_equal(read_idx(folder / "images.gz", 3), images)


def test_records(digits):
    folder, images = digits
    seen = []
    convert_mnist(folder / "images", folder / "labels.gz", folder / "db", progress=lambda *now: seen.append(now))
    source = open_source(folder / "db")
    assert seen == [(i, 7) for i in range(1, 8)]
    for i in range(7):
        key, value = source.read(i)
        image = decode(value, key)
        assert key == b"%08d" % i
        assert image.label == i
        assert np.array_equal(image.array[0], images[i])


def test_compressed_and_enlarged(digits):
    folder, images = digits
    convert_mnist(
        folder / "images", folder / "labels.gz", folder / "db", encode_type="png", resize_height=60, resize_width=50
    )
    key, value = open_source(folder / "db").read(4)
    assert b"\x89PNG" in value
    assert np.array_equal(decode(value, key).array, resize(images[4:5], 60, 50))


def test_damaged_files(tmp_path):
    path = tmp_path / "images"
    whole = idx(noise_image((3, 4, 5)))
    for content, said in [
        (whole[:-1], r"is cut short or damaged: sizes \(3, 4, 5\) need 60 bytes, it has only 59"),
        (whole + b"1", "need 60 bytes, it has more"),
        (whole[:10], "its header has 10 bytes of 16"),
        (b"", "is no IDX file of images: magic number 0, expected 2051"),
        (idx(noise_image((3, 4, 5)), bytes([0, 0, 9, 3])), "magic number 2307, expected 2051"),
        (bytes([0, 0, 8, 3]) + b"\xff" * 12, r"has sizes \(4294967295, .*\), expected 1 to"),
        (bytes([0, 0, 8, 3]) + bytes(12), r"has sizes \(0, 0, 0\), expected 1 to"),
        (gzip.compress(whole)[:-9], "cannot read '.*images'"),
        (gzip.compress(whole)[:10] + b"\xff" * 40, "cannot read '.*images'"),
    ]:
        path.write_bytes(content)
        with pytest.raises(DataError, match=said):
            read_idx(path, 3)
    with pytest.raises(DataError, match=r"cannot read '.*none': .*No such file"):
        read_idx(tmp_path / "none", 3)


def test_more_than_memory_holds(digits, monkeypatch):
    folder, _ = digits

    def exhausted(file, count):
        raise MemoryError

    monkeypatch.setattr(mnist, "_read_up_to", exhausted)
    with pytest.raises(DataError, match=r"'.*images': out of memory: it holds more than there is room for"):
        read_idx(folder / "images", 3)


def test_a_damaged_header_does_not_ask_for_more_memory_than_there_is_data(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(bytes([0, 0, 8, 3, 0x7F, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]) + bytes(100))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"need 2130706432 bytes, it has only 100"):
            read_idx(path, 3)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_images_and_labels_exchanged(digits):
    folder, _ = digits
    with pytest.raises(DataError, match=r"is no IDX file of images: magic number 2049, .*exchanged"):
        convert_mnist(folder / "labels.gz", folder / "images", folder / "db")
    with pytest.raises(DataError, match="is no IDX file of labels: magic number 2051"):
        read_idx(folder / "images", 1)
    with pytest.raises(DataError, match="is no IDX file of 2 axes"):
        read_idx(folder / "images", 2)


def test_sets_that_do_not_belong_together(digits):
    folder, _ = digits
    (folder / "labels").write_bytes(idx(np.arange(6, dtype=np.uint8)))
    with pytest.raises(DataError, match=r"has 7 images, '.*labels' 6 labels"):
        convert_mnist(folder / "images", folder / "labels", folder / "db")
    with pytest.raises(DataError, match="resize_height 5 and resize_width 0: give both"):
        convert_mnist(folder / "images", folder / "labels.gz", folder / "db", resize_height=5)
    assert not (folder / "db").exists()
