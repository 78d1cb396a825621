"""HDF5Output: one pass as Caffe writes it, several, and nothing half written."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest

from caffepy.errors import CaffepyError, DataError, LayerError
from tests.layers.data_nets import data_net


def net(backend, path, data=(3, 2, 4), label=(3,), dtype="float32", more=""):
    shapes = ""
    for name, shape in (("data", data), ("label", label)):
        dims = " ".join(f"dim: {d}" for d in shape)
        shapes += f'layer {{ type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }} '
    text = f"""{shapes} layer {{ name: "out" type: "HDF5Output" bottom: "data" bottom: "label"
        hdf5_output_param {{ file_name: "{path}" }} }} {more}"""
    return data_net(backend, text, dtype=dtype)


def fill(made, number):
    for name, blob in made.blobs.items():
        if name in ("data", "label"):
            values = np.arange(blob.count).reshape(blob.shape)
            blob.data[...] = made.backend.asarray(values + 100 * number + (0.5 if name == "data" else 0))
    return [np.array(made.backend.to_host(made.blobs[name].data)) for name in ("data", "label")]


def read(path):
    with h5py.File(path, "r") as file:
        assert sorted(file) == ["data", "label"]
        return file["data"][()], file["label"][()]


def left(folder):
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("data", "label", "stored"),
    [
        ((3, 2, 4), (3,), ((3, 2, 4, 1), (3, 1, 1, 1))),
        ((3, 2, 4, 5), (3, 6), ((3, 2, 4, 5), (3, 6, 1, 1))),
        ((2,), (2, 1, 1, 1), ((2, 1, 1, 1), (2, 1, 1, 1))),
    ],
)
def test_one_pass_is_there_at_once(backend, tmp_path, dtype, data, label, stored):
    made = net(backend, tmp_path / "out.h5", data, label, dtype)
    assert left(tmp_path) == []
    expected = fill(made, 1)
    made.forward()
    for got, values, shape in zip(read(tmp_path / "out.h5"), expected, stored, strict=True):
        assert got.dtype == dtype
        assert got.shape == shape
        assert (got == values.reshape(shape)).all()
    made.close()
    made.close()
    assert left(tmp_path) == ["out.h5"]


def run(made, count, begin=0):
    return [
        np.concatenate(v) for v in zip(*[(fill(made, begin + i), made.forward())[0] for i in range(count)], strict=True)
    ]


def same(path, expected):
    return all(np.array_equal(a.reshape(b.shape), b) for a, b in zip(read(path), expected, strict=True))


def test_passes_add_up(backend, tmp_path):
    path = tmp_path / "out.h5"
    with net(backend, path) as made:
        expected = run(made, 5)
        assert same(path, [values[:3] for values in expected])
    assert same(path, expected)
    assert left(tmp_path) == ["out.h5"]


def test_the_number_of_rows_may_change(backend, tmp_path):
    path = tmp_path / "out.h5"
    with net(backend, path) as made:
        parts = [run(made, 1)]
        made.blobs["data"].reshape(7, 2, 4)
        made.blobs["label"].reshape(7)
        parts.append(run(made, 2, 1))
    assert same(path, [np.concatenate(values) for values in zip(*parts, strict=True)])


def test_another_shape_of_rows_is_refused_and_leaves_the_first_pass(backend, tmp_path):
    path = tmp_path / "out.h5"
    made = net(backend, path)
    expected = run(made, 1)
    run(made, 1, 1)
    made.blobs["data"].reshape(3, 9)
    with pytest.raises(
        DataError, match=r"layer 'out' .*'data' has shape \(6, 2, 4, 1\) after 6 rows, and \(3, 9, 1, 1\)"
    ):
        made.forward()
    made.close()
    assert same(path, expected)
    assert left(tmp_path) == ["out.h5"]


def test_an_old_file_is_replaced_by_the_first_pass(backend, tmp_path):
    path = tmp_path / "out.h5"
    path.write_bytes(b"old")
    with net(backend, path) as made:
        assert path.read_bytes() == b"old"
        expected = run(made, 1)
    assert same(path, expected)


def test_a_forgotten_net_puts_its_file_in_place(backend, tmp_path):
    path = tmp_path / "out.h5"
    made = net(backend, path)
    expected = run(made, 3)
    del made
    gc.collect()
    assert same(path, expected)


SCRIPT = """
    import sys
    from pathlib import Path
    from tests.layers import test_hdf5_output as t
    made = t.net("cpu", Path(sys.argv[1]))
    t.run(made, 4)
    print("ready", flush=True)
    if len(sys.argv) > 2:
        input()
"""


def test_the_end_of_the_interpreter_puts_it_in_place(backend, tmp_path):
    subprocess.run([sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path / "out.h5")], check=True, timeout=120)
    assert read(tmp_path / "out.h5")[0].shape == (12, 2, 4, 1)
    assert left(tmp_path) == ["out.h5"]


def test_a_killed_run_leaves_the_first_pass(backend, tmp_path):
    path = tmp_path / "out.h5"
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(path), "wait"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        os.kill(process.pid, signal.SIGKILL)
    assert read(path)[0].shape == (3, 2, 4, 1)


def test_it_may_stand_beside_a_loss_under_force_backward(backend, tmp_path):
    more = 'force_backward: true layer { name: "loss" type: "EuclideanLoss" bottom: "data" bottom: "same" top: "loss" }'
    more = 'layer { type: "Power" bottom: "data" top: "same" power_param { scale: 2 } } ' + more
    with net(backend, tmp_path / "out.h5", more=more) as made:
        data = fill(made, 1)[0]
        made.forward()
        made.backward()
        # d/dx of sum((x - 2x)^2) / (2 * 3)
        np.testing.assert_allclose(made.backend.to_host(made.blobs["data"].diff), data / 3, rtol=1e-5)
        entry = made.entries[-1]
        entry.layer.backward([], [False, False], entry.bottom)


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"label": (4,)}, LayerError, r"layer 'out' \(HDF5Output\): data blob and label blob must have the same batch"),
        ({"data": (3, 1, 1, 1, 1)}, LayerError, r"layer 'out' .*data 3 1 1 1 1 \(3\): at most four axes"),
        ({"label": (3, 1, 1, 1, 1)}, LayerError, "label 3 1 1 1 1 .*: at most four axes"),
    ],
)
def test_refusals(backend, tmp_path, settings, error, match):
    with pytest.raises(error, match=match):
        net(backend, tmp_path / "out.h5", **settings)
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "match"),
    [
        (
            "none/out.h5",
            r"n.prototxt:\d+: layer 'out' .*Failed to open HDF5 file '.*none/out.h5': there is no folder '.*none'",
        ),
        ("", "Failed to open HDF5 file '.*': it is not the name of a file"),
    ],
)
def test_names_that_cannot_be_written(backend, tmp_path, name, match):
    with pytest.raises(DataError, match=match):
        net(backend, f"{tmp_path}/{name}")
    with pytest.raises(DataError, match=r"Failed to open HDF5 file '': it is not the name of a file. Set file_name"):
        net(backend, "")


def test_a_device_is_not_overwritten(backend, tmp_path):
    with (
        net(backend, "/dev/null") as made,
        pytest.raises(DataError, match="cannot write the HDF5 file '/dev/null': Not a"),
    ):
        made.forward()


def test_a_disk_that_is_full(backend, tmp_path, monkeypatch):
    path = tmp_path / "out.h5"
    made = net(backend, path)
    expected = run(made, 2)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("caffepy.proto.files._sync", full)
    with pytest.raises(CaffepyError, match=r"cannot write the HDF5 file '.*out.h5': .*No space left"):
        made.close()
    assert same(path, [values[:3] for values in expected])
    assert left(tmp_path) == ["out.h5"]


def test_a_file_that_is_gone_at_the_second_pass(backend, tmp_path):
    made = net(backend, tmp_path / "out.h5")
    run(made, 1)
    (tmp_path / "out.h5").unlink()
    with pytest.raises(DataError, match=r"cannot write the HDF5 file '.*': No such file"):
        made.forward()
    made.close()
    assert left(tmp_path) == []
