"""HDF5Data: rows in order and shuffled, from small files and large ones, and files that are not what they should be."""

from __future__ import annotations

import threading

import h5py
import numpy as np
import pytest

from caffepy.data import hdf5_rows
from caffepy.data.row_order import RowOrder
from caffepy.errors import CaffepyError, DataError, LayerError
from caffepy.proto import caffe_pb2
from caffepy.random import Stream
from tests.layers.data_nets import data_net, equal, limit_memory, passes

COUNTS = (4, 1, 6)
TOTAL = sum(COUNTS)
DATA = np.random.default_rng(3).normal(size=(TOTAL, 2, 3)).astype(np.float32)
LABEL = np.arange(100, 100 + TOTAL)


def write(path, data=DATA, label=LABEL, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=data, **options)
        file.create_dataset("label", data=label)
    return path


@pytest.fixture
def folder(tmp_path):
    """Three files of 4, 1 and 6 rows, labelled 100 to 110, in three kinds of numbers, and their list."""
    begin = 0
    for name, count, kind in zip("abc", COUNTS, ("i4", "f8", "u1"), strict=True):
        rows = slice(begin, begin + count)
        write(tmp_path / f"{name}.h5", DATA[rows].astype("f8" if name == "c" else "f4"), LABEL[rows].astype(kind))
        begin += count
    (tmp_path / "list.txt").write_text("".join(f"{tmp_path}/{name}.h5\n" for name in "abc"))
    return tmp_path


@pytest.fixture(params=["whole", "rows"])
def reading(request, monkeypatch):
    """Files read whole and files of which only some rows are."""
    if request.param == "rows":
        monkeypatch.setattr(hdf5_rows, "_WHOLE", 0)
    return request.param


def net(backend, folder, fields="batch_size: 3", more="", tops=("data", "label"), source="list.txt", **settings):
    text = f"""layer {{ name: "d" type: "HDF5Data" {" ".join(f'top: "{top}"' for top in tops)} {more}
        hdf5_data_param {{ source: "{folder}/{source}" {fields} }} }}"""
    return data_net(backend, text, **settings)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_go_on_from_file_to_file(backend, folder, reading, dtype):
    with net(backend, folder, dtype=dtype) as made:
        assert (made.blobs["data"].shape, made.blobs["label"].shape) == ((3, 2, 3), (3,))
        data, label = passes(made, 9)
    order = np.arange(27) % TOTAL
    assert data.dtype == dtype
    assert (data == DATA[order]).all()
    assert (label == LABEL[order]).all()


@pytest.mark.parametrize("batch", [1, 11, 40])
def test_a_batch_may_be_larger_than_all_files(backend, folder, reading, batch):
    with net(backend, folder, f"batch_size: {batch}") as made:
        assert (passes(made, 3)[1] == LABEL[np.arange(3 * batch) % TOTAL]).all()


def test_each_top_is_the_dataset_of_its_name(backend, folder):
    with net(backend, folder, tops=("label",)) as made:
        assert (passes(made, 1)[0] == LABEL[:3]).all()
    with net(backend, folder, tops=("label", "data")) as made:
        label, data = passes(made, 1)
    assert (label == LABEL[:3]).all()
    assert (data == DATA[:3]).all()


def test_doubles_stay_doubles_in_a_net_of_doubles(backend, tmp_path):
    values = np.random.default_rng(4).normal(size=(3, 2))
    write(tmp_path / "a.h5", values, LABEL[:3])
    (tmp_path / "list.txt").write_text(f"{tmp_path}/a.h5")
    with net(backend, tmp_path, dtype="float64") as made:
        assert (passes(made, 1)[0] == values).all()


@pytest.mark.parametrize("batch", [1, 3, 11])
def test_shuffled_rows_come_once_an_epoch_and_files_stay_together(backend, folder, reading, batch):
    with net(backend, folder, f"batch_size: {batch} shuffle: true") as made:
        data, label = passes(made, 2 * TOTAL if batch == 1 else 2 * TOTAL * batch // batch)
    assert (data == DATA[label.astype(int) - 100]).all()
    epochs = label[: len(label) // TOTAL * TOTAL].reshape(-1, TOTAL)
    assert (np.sort(epochs, axis=1) == LABEL).all()
    assert len({tuple(epoch) for epoch in epochs[:2]}) == 2
    file_of = np.repeat(range(3), COUNTS)
    for epoch in epochs:
        runs = file_of[epoch.astype(int) - 100]
        assert (np.diff(runs) != 0).sum() == 2


def test_where_a_run_begins_changes_nothing(backend, folder, reading):
    fields = "batch_size: 4 shuffle: true"
    with net(backend, folder, fields) as made:
        expected = passes(made, 12)
    for step in (7, 2, 11):
        with net(backend, folder, fields) as made:
            assert equal(passes(made, 12 - step, start=step), [values[4 * step :] for values in expected])
    with net(backend, folder, fields) as made:
        for step in (9, 3, 0):
            assert equal(passes(made, 12 - step, start=step), [values[4 * step :] for values in expected])
    with net(backend, folder, fields, seed=5) as made:
        assert not equal(passes(made, 12), expected)


def test_the_order_is_that_of_the_streams():
    order = RowOrder(COUNTS, 7, "d", shuffle=True)
    for epoch in (0, 3):
        files = Stream(7, "d", "files").permutation(3, epoch)
        runs = list(order.runs(epoch * TOTAL, TOTAL))
        assert [file for file, _ in runs] == files.tolist()
        for file, rows in runs:
            assert rows.tolist() == Stream(7, "d", "rows", file).permutation(COUNTS[file], epoch).tolist()


@pytest.mark.parametrize("count", [1, 5, 6, 7, 20])
@pytest.mark.parametrize("ordinal", [0, 2, 10**12])
def test_one_file_again_and_again(count, ordinal):
    runs = list(RowOrder([3], 5, "d").runs(ordinal, count))
    assert {file for file, _ in runs} == {0}
    assert np.concatenate([rows for _, rows in runs]).tolist() == [(ordinal + i) % 3 for i in range(count)]
    assert len(runs) == 1 or count < 6


def test_a_batch_of_the_one_row_there_is_does_not_take_it_time_and_again(backend, tmp_path, reading):
    write(tmp_path / "a.h5", DATA[:1], LABEL[:1])
    (tmp_path / "list.txt").write_text(f"{tmp_path}/a.h5")
    with net(backend, tmp_path, "batch_size: 100000") as made:
        assert (passes(made, 1)[0] == DATA[0]).all()


def test_files_without_rows_are_passed_over():
    assert [(f, r.tolist()) for f, r in RowOrder((0, 2, 0, 1, 0), 1, "d").runs(1, 4)] == [
        (1, [1]), (3, [0]), (1, [0, 1]),
    ]  # fmt: skip


def test_compressed_chunks(backend, tmp_path, reading):
    write(tmp_path / "a.h5", chunks=(2, 2, 3), compression="gzip")
    (tmp_path / "list.txt").write_text(f"{tmp_path}/a.h5")
    with net(backend, tmp_path, "batch_size: 5 shuffle: true") as made:
        data, label = passes(made, 4)
    assert (data == DATA[label.astype(int) - 100]).all()


def test_rows_of_a_large_file_are_those_of_one_read_whole(backend, tmp_path, monkeypatch):
    """Rows are asked for in rising order and put back into their own."""
    write(tmp_path / "a.h5", np.arange(4), np.arange(4))
    (tmp_path / "list.txt").write_text(f"{tmp_path}/a.h5")
    found = []
    for whole in (1 << 20, 0):
        monkeypatch.setattr(hdf5_rows, "_WHOLE", whole)
        with net(backend, tmp_path, "batch_size: 4 shuffle: true") as made:
            found.append(passes(made, 150))
    assert equal(*found)
    # Among the orders is 0 2 1 3.
    epochs = {tuple(epoch) for epoch in found[0][0].reshape(150, 4).astype(int).tolist()}
    assert (0, 2, 1, 3) in epochs
    assert len(epochs) > 12


def test_few_files_are_held(backend, tmp_path, reading):
    for i in range(6):
        write(tmp_path / f"{i}.h5", DATA[i : i + 1], LABEL[i : i + 1])
    (tmp_path / "list.txt").write_text("".join(f"{tmp_path}/{i}.h5\n" for i in range(6)))
    with net(backend, tmp_path, "batch_size: 5") as made:
        assert (passes(made, 6)[1] == LABEL[np.arange(30) % 6]).all()
        rows = made.layers[0].reader._rows
        assert len(rows._held) == 2
        assert rows.held_bytes == (2 * 4 * 7 if reading == "whole" else 0)
        assert [held.file is not None for held in rows._held.values()] == [reading == "rows"] * 2
    assert rows._held == {}


def test_names_in_a_list(backend, folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "a.h5").rename("a b.h5")
    (folder / "l.txt").write_text("\n  a b.h5\r\nb.h5 c.h5\n\n")
    with net(backend, folder, "batch_size: 11", source="l.txt") as made:
        assert (passes(made, 1)[1] == LABEL).all()


@pytest.mark.parametrize(
    ("fields", "more", "match"),
    [
        ("", "", r"n.prototxt:1: layer 'd' \(HDF5Data\): batch_size must be positive"),
        ("batch_size: 3", "transform_param { scale: 2 }", "layer 'd' .*HDF5Data does not transform data"),
        ("batch_size: 4000000000", "", "blob size exceeds INT_MAX"),
    ],
)
def test_refusals(backend, folder, fields, more, match):
    before = threading.active_count()
    with pytest.raises(CaffepyError, match=match):
        net(backend, folder, fields, more)
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (None, r"n.prototxt:1: layer 'd' \(HDF5Data\): Failed to open source file: '.*hostile.txt': No such file"),
        (b" \n\n", "Must have at least 1 HDF5 filename listed in '.*hostile.txt'; it names none"),
        (b"nowhere.h5", "layer 'd' .*Failed opening HDF5 file: 'nowhere.h5': there is no such file"),
        (b"\x00", "Failed opening HDF5 file: '\0': there is no such file"),
        (b"\x89HDF\r\n\x1a\n\0\0", "hostile.txt' is an HDF5 file itself: source is a text file that lists"),
    ],
)
def test_hostile_lists(backend, tmp_path, content, match):
    if content is not None:
        (tmp_path / "hostile.txt").write_bytes(content)
    with pytest.raises(DataError, match=match):
        net(backend, tmp_path, source="hostile.txt")


def group(file):
    file.create_group("data")
    file["label"] = LABEL


def dataset(values, **options):
    def make(file):
        file.create_dataset("data", data=values, **options)
        file["label"] = LABEL

    return make


def declared(shape, **options):
    def make(file):
        file.create_dataset("data", shape, "f4", chunks=(1,) * len(shape), **options)
        file.create_dataset("label", shape[:1], "f4", chunks=(1,))

    return make


def linked(target):
    def make(file):
        file["data"] = target
        file["label"] = LABEL

    return make


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda file: None, r"hostile.h5': Failed to find HDF5 dataset data: .*The file has: none"),
        (lambda file: file.update(x=LABEL), "Failed to find HDF5 dataset data: .*The file has: x"),
        (group, "'data' is a group and no dataset"),
        (dataset(np.array([b"ab"] * TOTAL)), r"'data' holds \|S2: Unsupported datatype class; expected numbers"),
        (dataset(["x"] * TOTAL), "'data' holds object: Unsupported datatype class"),
        (dataset(np.ones(TOTAL, bool)), "'data' holds bool: Unsupported datatype class"),
        (dataset(np.ones(TOTAL, np.complex64)), "'data' holds complex64: Unsupported datatype class"),
        (
            dataset(np.ones(TOTAL, "i8"), dtype=h5py.enum_dtype({"A": 1}, "i8")),
            "'data' holds .*: Unsupported datatype class",
        ),
        (dataset(np.ones(TOTAL, [("x", "f4")])), "'data' holds .*: Unsupported datatype class"),
        (dataset(5.0), "'data' is a single value: Input must have at least 1 axis"),
        (dataset(h5py.Empty("f4")), "'data' is a single value: Input must have at least 1 axis"),
        (dataset(np.ones((TOTAL + 1, 2))), r"'data' has 12 rows and 'label' 11: Check failed: hdf_blobs_"),
        (dataset(np.ones((TOTAL, 2, 4))), r"a row of 'data' has shape \(2, 4\), in '.*a.h5' \(2, 3\): all files"),
        (linked(h5py.SoftLink("/nowhere")), "Failed to find HDF5 dataset data"),
        (linked(h5py.SoftLink("/data")), "Failed to find HDF5 dataset data|cannot be read"),
        (linked(h5py.ExternalLink("nowhere.h5", "/x")), "Failed to find HDF5 dataset data|cannot be read"),
        (declared((2**40, 2, 4)), "a row of 'data' has shape"),
    ],
)
def test_hostile_files(backend, folder, make, match):
    with h5py.File(folder / "hostile.h5", "w") as file:
        make(file)
    (folder / "list.txt").write_text(f"{folder}/a.h5\n{folder}/hostile.h5\n")
    with pytest.raises(DataError, match=match):
        net(backend, folder)
    # Alone it is refused too, but for the shapes that only another file contradicts.
    (folder / "list.txt").write_text(f"{folder}/hostile.h5\n")
    if "all files" not in match and "a row of" not in match:
        with pytest.raises(DataError, match=match):
            net(backend, folder)


@pytest.mark.parametrize(
    ("shape", "fields", "match"),
    [
        ((2**40, 2), "batch_size: 3 shuffle: true", r"layer 'd' .*files read whole needs .* out of memory"),
        ((3, 2**40), "batch_size: 3", "blob size exceeds INT_MAX"),
        ((3, 2**29), "batch_size: 3", "needs .* out of memory"),
        ((0, 5), "batch_size: 3", "the datasets data, label have no rows in any of 1 files"),
    ],
)
def test_declared_sizes(backend, tmp_path, monkeypatch, shape, fields, match):
    limit_memory(monkeypatch, backend, 1 << 30)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, size in (("data", shape), ("label", shape[:1])):
            file.create_dataset(name, size, "f4", chunks=(1,) * len(size), maxshape=(None,) * len(size))
    (tmp_path / "list.txt").write_text(f"{tmp_path}/a.h5")
    with pytest.raises(CaffepyError, match=match):
        net(backend, tmp_path, fields)


def test_more_rows_than_can_be_counted(backend, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", (2**61, 2), "f4", chunks=(1, 2))
        file.create_dataset("label", (2**61,), "f4", chunks=(1,))
    (tmp_path / "list.txt").write_text(f"{tmp_path}/a.h5\n" * 2)
    with net(backend, tmp_path) as made:
        made.forward()
    (tmp_path / "list.txt").write_text(f"{tmp_path}/a.h5\n" * 3)
    with pytest.raises(DataError, match="data, label of 3 files claim 6,917,529,027,641,081,856 rows, more than any"):
        net(backend, tmp_path)


def test_a_file_that_is_listed_again_is_looked_at_once(backend, folder, monkeypatch):
    opened = []
    real = hdf5_rows._open
    monkeypatch.setattr(hdf5_rows, "_open", lambda path: opened.append(path) or real(path))
    (folder / "list.txt").write_text(f"{folder}/a.h5\n{folder}/b.h5\n" * 50)
    with net(backend, folder):
        assert len(opened) < 10
    assert {f"{folder}/a.h5", f"{folder}/b.h5"} == set(opened)


def test_of_a_huge_file_only_rows_are_read(backend, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", (2**40, 2), "f4", chunks=(64, 2))[100:103] = 7
    (tmp_path / "list.txt").write_text(f"{tmp_path}/a.h5")
    with net(backend, tmp_path, tops=("data",)) as made:
        data = passes(made, 2, start=33)[0]
    assert data[:, 0].tolist() == [0, 7, 7, 7, 0, 0]


@pytest.mark.parametrize("cut", [8, 100, 2000])
def test_a_damaged_file(backend, folder, cut):
    whole = (folder / "c.h5").read_bytes()
    (folder / "c.h5").write_bytes(whole[:cut])
    with pytest.raises(DataError, match=r"layer 'd' \(HDF5Data\): Failed opening HDF5 file: '.*c.h5': "):
        net(backend, folder)
    (folder / "c.h5").write_bytes(b"<html>" + whole[6:])
    with pytest.raises(DataError, match=r"c.h5': .*It does not begin as an HDF5 file does"):
        net(backend, folder)


def test_data_that_cannot_be_unpacked(backend, folder, reading, capfd):
    write(folder / "b.h5", np.zeros((50, 2, 3), "f4"), np.zeros(50), chunks=(50, 2, 3), compression="gzip")
    with h5py.File(folder / "b.h5", "r") as file:
        place = file["data"].id.get_chunk_info(0)
    with open(folder / "b.h5", "r+b") as file:
        file.seek(place.byte_offset)
        file.write(b"\xff" * place.size)
    with net(backend, folder, "batch_size: 4") as made:
        made.forward()
        with pytest.raises(DataError, match=r"n.prototxt:1: layer 'd' \(HDF5Data\): '.*b.h5' cannot be read: "):
            made.forward()
    assert capfd.readouterr().err == ""


def test_a_file_that_changes_during_a_run(backend, folder):
    with net(backend, folder, "batch_size: 4") as made:
        made.layers[0].reader._prefetcher.close()
        made.layers[0].reader = type(made.layers[0].reader)(made.layers[0].reader._rows, 4, "layer 'd': ")
        write(folder / "b.h5", DATA[:2], LABEL[:2])
        with pytest.raises(DataError, match=r"layer 'd': '.*b.h5' has another number of rows than at the start"):
            passes(made, 2)
        made.layers[0].reader.close()


def test_closing(backend, folder):
    before = threading.active_count()
    made = net(backend, folder)
    made.forward()
    layer = made.layers[0]
    assert layer.wait_seconds > 0
    assert layer.bad_records == 0
    assert threading.active_count() == before + 1
    made.close()
    made.close()
    assert threading.active_count() == before
    with pytest.raises(LayerError, match=r"layer 'd' .HDF5Data.: the layer is closed"):
        made.forward()


def test_both_phases_shuffle(backend, folder):
    with net(backend, folder, "batch_size: 11 shuffle: true", phase=caffe_pb2.TRAIN) as made:
        train = passes(made, 1)
    with net(backend, folder, "batch_size: 11 shuffle: true") as made:
        assert equal(passes(made, 1), train)
