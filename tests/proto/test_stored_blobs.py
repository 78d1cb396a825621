"""Binary messages whose numbers stay in the file: the same as protobuf reads, in less memory."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from caffepy.errors import WeightsError
from caffepy.proto import caffe_pb2, stored_blobs
from caffepy.proto.arrays import blob_arrays, field_header
from caffepy.proto.read import read_binary
from caffepy.proto.stored_blobs import open_binary

# Numbers from which a blob's stay in the file, and some more.
MANY = stored_blobs._LARGE // 4 + 7


def _some(seed: int, count: int = MANY) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(count)


def _net() -> caffe_pb2.NetParameter:
    """Blobs of every kind, in layers of today and of the two formats before."""
    net = caffe_pb2.NetParameter(name="n")
    today = net.layer.add(name="a", type="InnerProduct")
    today.blobs.add(data=_some(1), shape=caffe_pb2.BlobShape(dim=[1, MANY]))
    today.blobs.add(data=[1, 2, 3])
    today.blobs.add(double_data=_some(2), diff=_some(3))
    today.blobs.add(double_data=_some(4), double_diff=_some(5), data=_some(6))
    today.blobs.add(data=_some(7), double_data=[4.5], num=3, channels=1)
    today.blobs.add(double_data=_some(8), data=[4.5])
    today.blobs.add()
    today.blobs.add(data=_some(9, 10 * MANY))
    old = net.layers.add(name="b")
    old.blobs.add(data=_some(10), width=MANY)
    older = net.layers.add().layer
    older.name = "c"
    older.blobs.add(diff=_some(11))
    net.layer.add(name="small").blobs.add(data=[7])
    return net


def _blobs(net: caffe_pb2.NetParameter) -> list[caffe_pb2.BlobProto]:
    layers = [*net.layer, *net.layers, *(layer.layer for layer in net.layers)]
    return [blob for layer in layers for blob in layer.blobs]


def _all(stored, blobs):
    return [part.array() for blob in blobs for part in stored.numbers(blob)]


def _equal(found, blobs):
    expected = [values for blob in blobs for values in blob_arrays(blob)]
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.dtype == theirs.dtype
        assert mine.tobytes() == theirs.tobytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "n.caffemodel"
    path.write_bytes(_net().SerializeToString())
    return path


def test_the_numbers_are_those_that_protobuf_reads(path):
    whole, short = caffe_pb2.NetParameter(), caffe_pb2.NetParameter()
    read_binary(path, whole)
    with open_binary(path, short) as stored:
        _equal(_all(stored, _blobs(short)), _blobs(whole))
        assert short.ByteSize() < path.stat().st_size / 50
        assert [layer.name for layer in short.layer] == ["a", "small"]
        assert short.layer[0].blobs[0].shape.dim[1] == short.layers[0].blobs[0].width == MANY
        assert short.layer[0].blobs[4].num == 3
        counts = [part.count for part in stored.numbers(short.layer[0].blobs[3])]
        assert counts == [MANY, MANY]


def test_copies_of_blobs_keep_their_numbers(path):
    short = caffe_pb2.NetParameter()
    with open_binary(path, short) as stored:
        copy = caffe_pb2.NetParameter()
        copy.layer.add().blobs.extend(short.layer[0].blobs)
        _equal(_all(stored, copy.layer[0].blobs), _net().layer[0].blobs)


def test_pieces_cover_the_numbers_in_order(path, monkeypatch):
    monkeypatch.setattr(stored_blobs, "_PIECE", 8 * 1000)
    short = caffe_pb2.NetParameter()
    with open_binary(path, short) as stored:
        for blob, own in zip(_blobs(short), _blobs(_net()), strict=True):
            for part, values in zip(stored.numbers(blob), blob_arrays(own), strict=True):
                gathered = np.full(part.count, np.nan)
                for begin, piece in part.pieces():
                    assert len(piece) <= 2000 or part.file is None
                    gathered[begin : begin + len(piece)] = piece
                assert (gathered == values).all()


@pytest.mark.parametrize("kind", ["runs", "one by one", "mixed"])
def test_numbers_that_do_not_lie_in_one_run(tmp_path, kind):
    """protobuf gathers them."""
    one = _some(1).astype("<f4").tobytes()
    runs = field_header(5, len(one)) + one
    singly = b"".join(b"\x2d" + one[i : i + 4] for i in range(0, len(one), 4))
    data = {"runs": runs + runs, "one by one": singly, "mixed": singly[:50] + runs}[kind]
    layer = field_header(7, len(data)) + data
    path = tmp_path / "w"
    path.write_bytes(b"\x0a\x01n" + field_header(100, len(layer)) + layer)
    whole, short = caffe_pb2.NetParameter(), caffe_pb2.NetParameter()
    read_binary(path, whole)
    with open_binary(path, short) as stored:
        _equal(_all(stored, _blobs(short)), _blobs(whole))
    assert len(blob_arrays(_blobs(whole)[0])[0]) in (MANY, 2 * MANY, MANY + 10)


def test_a_state(tmp_path):
    state = caffe_pb2.SolverState(iter=7, learned_net="x")
    for seed in range(3):
        state.history.add(data=_some(seed))
    path = tmp_path / "s"
    path.write_bytes(state.SerializeToString())
    short = caffe_pb2.SolverState()
    with open_binary(path, short) as stored:
        assert (short.iter, short.learned_net) == (7, "x")
        _equal(_all(stored, short.history), state.history)
    assert short.ByteSize() < 200


def _outcome(read, path, kind):
    message = kind()
    try:
        return read(path, message)
    except WeightsError as error:
        return str(error)


def _plain(path, message):
    read_binary(path, message)
    message.DiscardUnknownFields()
    return message.SerializeToString(deterministic=True)


def _walked(path, message):
    with open_binary(path, message) as stored:
        for blob in _blobs(message) if isinstance(message, caffe_pb2.NetParameter) else message.history:
            data, diff = stored.numbers(blob)
            for part, single, double in ((data, blob.data, blob.double_data), (diff, blob.diff, blob.double_diff)):
                if part.file is not None:
                    (double if part.dtype == "<f8" else single)[:] = part.array()
    message.DiscardUnknownFields()
    return message.SerializeToString(deterministic=True)


@pytest.mark.parametrize("kind", [caffe_pb2.NetParameter, caffe_pb2.SolverState])
def test_damaged_files_are_refused_or_read_as_protobuf_does(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(stored_blobs, "_LARGE", 12)
    if kind is caffe_pb2.NetParameter:
        net = caffe_pb2.NetParameter(name="n")
        net.layer.add(name="a").blobs.add(data=range(5), shape=caffe_pb2.BlobShape(dim=[5]))
        net.layers.add(name="b").blobs.add(double_diff=range(4), num=4)
        net.layers.add().layer.blobs.add(data=range(4))
        data = net.SerializeToString()
    else:
        state = caffe_pb2.SolverState(iter=3)
        state.history.add(data=range(5))
        data = state.SerializeToString()
    path = tmp_path / "w"
    variants = [data[:end] for end in range(1, len(data))]
    dice = np.random.default_rng(0)
    for _ in range(600):
        flipped = bytearray(data)
        for place in dice.integers(0, len(data), dice.integers(1, 4)):
            flipped[place] = dice.integers(0, 256)
        variants.append(bytes(flipped))
    read = 0
    for variant in variants:
        path.write_bytes(variant)
        expected = _outcome(_plain, path, kind)
        read += isinstance(expected, bytes)
        assert _outcome(_walked, path, kind) == expected, variant
    assert read > 100


def test_a_file_cannot_bring_a_mark_of_its_own(tmp_path):
    net = caffe_pb2.NetParameter(name="n")
    net.layer.add(name="a").blobs.add(data=_some(1))
    forged = field_header(stored_blobs._MARK, 12) + b"\0" * 12
    layer = field_header(7, len(forged)) + forged
    path = tmp_path / "w"
    path.write_bytes(net.SerializeToString() + field_header(100, len(layer)) + layer)
    short = caffe_pb2.NetParameter()
    with open_binary(path, short) as stored:
        assert [part.count for part in stored.numbers(short.layer[0].blobs[0])] == [MANY, 0]
        assert [part.count for part in stored.numbers(short.layer[1].blobs[0])] == [0, 0]


def test_memory(tmp_path):
    """Once the file, the message and a copy of a blob were in memory together."""
    net = caffe_pb2.NetParameter(name="n")
    for seed in range(3):
        net.layer.add(name=f"l{seed}").blobs.add(data=np.zeros(1_000_000, np.float32))
    path = tmp_path / "w"
    path.write_bytes(net.SerializeToString())
    del net
    short = caffe_pb2.NetParameter()
    tracemalloc.start()
    try:
        with open_binary(path, short) as stored:
            for blob in _blobs(short):
                assert sum(len(piece) for _, piece in stored.numbers(blob)[0].pieces()) == 1_000_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < path.stat().st_size / 2


def test_a_file_that_becomes_shorter(path):
    short = caffe_pb2.NetParameter()
    with open_binary(path, short) as stored:
        os.truncate(path, 1000)
        data = stored.numbers(short.layer[0].blobs[7])[0]
        with pytest.raises(WeightsError, match=r"n\.caffemodel: the file became shorter while it was read"):
            data.array()
        with pytest.raises(WeightsError, match="the file became shorter"):
            list(data.pieces())


def test_a_disk_that_fails(path):
    short = caffe_pb2.NetParameter()
    with open_binary(path, short) as stored:
        data = stored.numbers(short.layer[0].blobs[0])[0]
        folder = os.open(path.parent, os.O_RDONLY)
        os.dup2(folder, data.file.fileno())
        os.close(folder)
        with pytest.raises(WeightsError, match=r"n\.caffemodel: cannot be read: Is a directory"):
            data.array()


def test_more_fields_than_are_walked_are_left_to_protobuf(path, monkeypatch):
    monkeypatch.setattr(stored_blobs, "_MOST_FIELDS", 10)
    short = caffe_pb2.NetParameter()
    with open_binary(path, short) as stored:
        assert short == _net()
        _equal(_all(stored, _blobs(short)), _blobs(_net()))
