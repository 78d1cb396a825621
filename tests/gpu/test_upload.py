"""What the host makes, on its way to a GPU: equal to what was given, whatever the memory, and counted as the host's."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.errors import LayerError
from caffepy.net import Net
from caffepy.proto.read import parse_net

SHAPE = (3, 4, 50)


@pytest.mark.parametrize("memory", ["any", "pinned"])
@pytest.mark.parametrize("kind", ["float32", "float64", "int64", "uint8"])
def test_numbers_of_any_kind_arrive(gpu, kind, memory):
    op = gpu.ops.Upload(gpu)
    op.plan(SHAPE)
    out = gpu.empty(SHAPE)
    x = np.empty(SHAPE, kind) if memory == "any" else gpu.host_empty(SHAPE, np.dtype(kind))
    for turn in range(5):
        op.wait()
        x[...] = np.random.default_rng(turn).integers(0, 200, SHAPE)
        op.forward(x, out)
        np.testing.assert_array_equal(gpu.to_host(out), x)


@pytest.mark.parametrize("memory", ["any", "pinned"])
def test_what_was_given_counts_however_far_behind_the_device_is(gpu, memory):
    op = gpu.ops.Upload(gpu)
    op.plan(SHAPE)
    x = np.empty(SHAPE, gpu.dtype) if memory == "any" else gpu.host_empty(SHAPE, gpu.dtype)
    outs = [gpu.empty(SHAPE) for _ in range(6)]
    for turn, out in enumerate(outs):
        op.wait()
        x[...] = turn
        op.forward(x, out)
    op.wait()
    x[...] = -1
    for turn, out in enumerate(outs):
        np.testing.assert_array_equal(gpu.to_host(out), np.full(SHAPE, turn))


def test_a_part_that_is_not_in_one_piece_arrives(gpu):
    whole = gpu.host_empty((6, 8), gpu.dtype)
    whole[...] = np.arange(48).reshape(6, 8)
    op = gpu.ops.Upload(gpu)
    op.plan((6, 4))
    out = gpu.empty((6, 4))
    op.forward(whole[:, ::2], out)
    np.testing.assert_array_equal(gpu.to_host(out), whole[:, ::2])


def test_memory_that_cannot_be_pinned_is_ordinary(gpu, monkeypatch):
    import cupy

    def none(size):
        raise cupy.cuda.runtime.CUDARuntimeError(2)

    monkeypatch.setattr(cupy.cuda, "alloc_pinned_memory", none)
    array = gpu.host_empty((2, 3), np.dtype(np.uint8))
    assert array.shape == (2, 3)
    assert array.flags.writeable


def test_batches_made_ahead_count_as_memory_of_the_host(gpu, tmp_path, monkeypatch):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["data"] = np.zeros((40, 1000), np.float32)
    (tmp_path / "list.txt").write_text(f"{tmp_path / 'rows.h5'}\n")
    text = (
        'layer { name: "data" type: "HDF5Data" top: "data" hdf5_data_param { batch_size: 1 '
        f'source: "{tmp_path / "list.txt"}" }} }}'
    )
    top = 1000 * gpu.dtype.itemsize
    monkeypatch.setattr(gpu, "available_memory", lambda: top, raising=False)
    with Net(parse_net(text), backend=gpu) as net:
        net.forward()
    monkeypatch.setattr(gpu, "available_host_memory", lambda: 39 * top, raising=False)
    with pytest.raises(LayerError, match=r"layer 'data' \(HDF5Data\): files read whole needs .* out of memory"):
        Net(parse_net(text), backend=gpu)
