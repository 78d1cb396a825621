"""Data: what the layer adds to the reader, whose own tests are in tests/data."""

from __future__ import annotations

import io
import time

import lmdb
import numpy as np
import pytest
from PIL import Image

from caffepy.data import lmdb_source
from caffepy.data.colour_noise import compute_colour_noise, write_colour_noise
from caffepy.data.convert import ConversionSettings, convert_images
from caffepy.data.datum import decode_image
from caffepy.data.image_list import Entry
from caffepy.data.options import DataOptions
from caffepy.data.resize import resize
from caffepy.data.source import open_source
from caffepy.data.writer import new_database
from caffepy.devices import get_backend
from caffepy.errors import CaffepyError, DataError, LayerError
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net
from tests.layers.data_nets import data_threads

COUNT, SHAPE = 7, (3, 6, 5)
IMAGES = np.random.default_rng(1).integers(0, 256, (COUNT, *SHAPE), dtype=np.uint8)


@pytest.fixture
def database(tmp_path):
    """Seven raw colour images, labelled 10 to 16."""
    environment = lmdb.open(str(tmp_path / "images"), map_size=1 << 20, lock=False)
    with environment.begin(write=True) as transaction:
        for i, image in enumerate(IMAGES):
            datum = caffe_pb2.Datum(channels=3, height=6, width=5, data=image.tobytes(), label=10 + i)
            transaction.put(b"%08d" % i, datum.SerializeToString())
    environment.close()
    return tmp_path / "images"


def net(
    backend,
    database,
    fields="",
    more="",
    phase=caffe_pb2.TEST,
    tops=2,
    dtype="float32",
    seed=2,
    readers="",
    share_memory=False,
    **options,
):
    names = ['top: "data"', 'top: "label"'][:tops]
    fields = fields if "batch_size" in fields else f"batch_size: 3 {fields}"
    fields = fields if "backend" in fields else f"backend: LMDB {fields}"
    text = f"""layer {{ name: "d" type: "Data" {" ".join(names)} {more}
        data_param {{ source: "{database}" {fields} }} }} {readers}"""
    return Net(
        parse_net(text, "n.prototxt"),
        phase,
        get_backend(backend, dtype),
        seed=seed,
        share_memory=share_memory,
        data=DataOptions(**options),
    )


def passes(made, count):
    """Data and labels of some passes, joined."""
    found = []
    for _ in range(count):
        made.forward()
        found.append([np.array(blob.backend.to_host(blob.data)) for blob in made.blobs.values()])
    return [np.concatenate(values) for values in zip(*found, strict=True)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", [0, 1, 3])
def test_records_in_order_and_round_again(backend, database, dtype, threads):
    with net(backend, database, dtype=dtype, threads=threads) as made:
        assert made.blobs["data"].shape == (3, *SHAPE)
        assert made.blobs["label"].shape == (3,)
        data, label = passes(made, 5)
    order = np.arange(15) % COUNT
    assert data.dtype == dtype
    assert (data == IMAGES[order]).all()
    assert (label == 10 + order).all()


def test_labels_are_optional(backend, database):
    with net(backend, database, tops=1) as made:
        assert (passes(made, 1)[0] == IMAGES[:3]).all()


def test_the_batch_is_that_of_the_pass(backend, database):
    with net(backend, database) as made:
        made.counter.value = 4
        assert (passes(made, 2)[1] == 10 + np.arange(12, 18) % COUNT).all()
        made.counter.value = 0
        assert (passes(made, 1)[1] == [10, 11, 12]).all()


def test_transform_param(backend, database):
    more = "transform_param { crop_size: 4 mean_value: 1 mean_value: 2 mean_value: 3 scale: 0.5 }"
    with net(backend, database, more=more) as made:
        assert made.blobs["data"].shape == (3, 3, 4, 4)
        expected = (IMAGES[:3, :, 1:5, 0:4] - np.array([1.0, 2, 3])[:, None, None]) * 0.5
        np.testing.assert_allclose(passes(made, 1)[0], expected, rtol=1e-6)


def test_training_crops_at_random_by_the_seed(backend, database):
    results = []
    for seed in (2, 2, 3):
        with net(backend, database, more="transform_param { crop_size: 3 mirror: true }", phase=0, seed=seed) as made:
            results.append(passes(made, 4)[0])
    assert (results[0] == results[1]).all()
    assert (results[0] != results[2]).any()


def test_a_phase_of_the_layer_s_own(backend, database):
    more = "transform_param { crop_size: 3 } phase: TEST"
    with net(backend, database, more=more, phase=caffe_pb2.TRAIN) as made:
        assert (passes(made, 1)[0] == IMAGES[:3, :, 1:4, 1:4]).all()


def test_shuffle_is_for_training(backend, database):
    with net(backend, database, shuffle=True) as made:
        assert (passes(made, 1)[1] == [10, 11, 12]).all()
    with net(backend, database, "batch_size: 7", phase=caffe_pb2.TRAIN, shuffle=True) as made:
        first, second = passes(made, 1)[1], passes(made, 1)[1]
    assert sorted(first) == sorted(second) == list(range(10, 17))
    assert (first != second).any()


def test_rand_skip(backend, database):
    starts = set()
    for seed in range(12):
        with net(backend, database, "rand_skip: 4", seed=seed) as made:
            starts.add(int(passes(made, 1)[1][0]))
    assert len(starts) > 1
    assert starts <= {10, 11, 12, 13}


def test_colour_noise_is_for_training(backend, database, tmp_path):
    def batch(phase, **options):
        with net(backend, database, phase=phase, **options) as made:
            return passes(made, 1)[0]

    plain = batch(caffe_pb2.TRAIN)
    assert (batch(caffe_pb2.TEST, colour_noise=0.1) == plain).all()
    noisy = batch(caffe_pb2.TRAIN, colour_noise=0.1)
    shift = noisy - plain
    # One number for each channel of each image.
    np.testing.assert_allclose(shift, np.broadcast_to(shift[:, :, :1, :1], shift.shape), atol=1e-4)
    assert (shift != 0).all()
    source = open_source(database)
    write_colour_noise(tmp_path / "pca.npz", compute_colour_noise(source))
    source.close()
    again = batch(caffe_pb2.TRAIN, colour_noise=0.1, colour_pca=str(tmp_path / "pca.npz"))
    np.testing.assert_allclose(again, noisy, rtol=1e-6)
    twice = batch(caffe_pb2.TRAIN, colour_noise=0.2, colour_pca=str(tmp_path / "pca.npz"))
    np.testing.assert_allclose(twice - plain, 2 * shift, rtol=1e-3, atol=1e-3)


def encode(image, kind):
    memory = io.BytesIO()
    Image.fromarray(image).save(memory, kind)
    return caffe_pb2.Datum(encoded=True, data=memory.getvalue()).SerializeToString()


def write(folder, values):
    environment = lmdb.open(str(folder), map_size=1 << 20, lock=False)
    with environment.begin(write=True) as transaction:
        for i, value in enumerate(values):
            transaction.put(b"%08d" % i, value)
    environment.close()
    return folder


def test_force_encoded_color(backend, tmp_path):
    grey = IMAGES[0, 0]
    folder = write(tmp_path / "grey", [encode(grey, "PNG")])
    with net(backend, folder, "batch_size: 1") as made:
        assert made.blobs["data"].shape == (1, 1, 6, 5)
    with net(backend, folder, "batch_size: 1 force_encoded_color: true") as made:
        assert (passes(made, 1)[0] == grey).all()
        assert made.blobs["data"].shape == (1, 3, 6, 5)


def test_bad_records(backend, tmp_path):
    values = [encode(IMAGES[i, 0], "PNG") for i in range(4)]
    values[2] = values[2][:30]
    folder = write(tmp_path / "damaged", values)
    with net(backend, folder, max_bad_records=1) as made:
        assert (passes(made, 1)[0][:, 0] == IMAGES[[0, 1, 3], 0]).all()
        assert made.layers[0].bad_records == 1
    with net(backend, folder) as made, pytest.raises(DataError, match="00000002"):
        made.forward()


def test_waiting_is_measured(backend, database):
    with net(backend, database) as made:
        assert made.layers[0].wait_seconds == 0
        made.forward()
        waited = made.layers[0].wait_seconds
        assert 0 < waited < 30
    # A run's last line is written when all is closed.
    assert made.layers[0].wait_seconds == waited


def test_a_batch_is_given_back_only_after_it_was_copied(backend, database, monkeypatch):
    made = net(backend, database)
    layer, events = made.layers[0], []
    for upload in layer.uploads:
        monkeypatch.setattr(upload, "wait", lambda: events.append("wait"), raising=False)
    get = layer.reader.get
    monkeypatch.setattr(layer.reader, "get", lambda step: events.append("get") or get(step))
    made.forward()
    assert events == ["wait", "wait", "get"]


READERS = """
    layer { name: "flat" type: "Flatten" bottom: "data" top: "flat" }
    layer { name: "rows" type: "Reshape" bottom: "data" top: "rows" reshape_param { shape { dim: -1 dim: 5 } } }
    layer { name: "twice" type: "Power" bottom: "data" top: "twice" power_param { scale: 2 } }
"""


def test_all_that_read_the_top_see_the_batch_of_the_pass(backend, database):
    """The top may lie elsewhere in each pass, and what shares its memory with it."""
    for options in ({}, {"share_memory": True}):
        with net(backend, database, readers=READERS, threads=2, **options) as made:
            host = made.backend.to_host
            for step in range(7):
                made.forward()
                expected = IMAGES[np.arange(3 * step, 3 * step + 3) % COUNT]
                for name, factor in (("flat", 1), ("rows", 1), ("twice", 2), ("data", 1)):
                    if options and name == "data":
                        continue
                    values = host(made.blobs[name].data).reshape(expected.shape)
                    assert (values == factor * expected.astype(np.float32)).all()


def test_the_top_stays_as_it_is_until_the_next_pass(backend, database):
    """However far ahead the threads are; what a caller writes into it stays too."""
    made = net(backend, database, readers=READERS, fields="batch_size: 3 prefetch: 2", threads=3)
    for step in range(4):
        made.forward()
        time.sleep(0.05)
        order = np.arange(3 * step, 3 * step + 3) % COUNT
        assert (made.backend.to_host(made.blobs["data"].data) == IMAGES[order]).all()
        made.blobs["data"].data[...] = step
        made.forward(start="twice")
        assert (made.backend.to_host(made.blobs["twice"].data) == 2 * step).all()
    made.close()
    assert (made.backend.to_host(made.blobs["data"].data) == 3).all()


def test_a_top_is_the_memory_of_its_batch_on_the_cpu(database):
    with net("cpu", database, threads=1) as made:
        reader = made.layers[0].reader
        get, batches = reader.get, []
        reader.get = lambda step: batches.append(get(step)) or batches[-1]
        for _ in range(4):
            made.forward()
            assert np.shares_memory(made.blobs["data"].data, batches[-1].pixels)
        # One batch is counted as the top.
        assert reader.held_bytes == 3 * made.blobs["data"].data.nbytes


def test_close_ends_threads_and_reading(backend, database):
    before = data_threads()
    made = net(backend, database, threads=2)
    made.forward()
    assert data_threads() == before + 2
    made.close()
    made.close()
    assert data_threads() == before
    with pytest.raises(LayerError, match=r"layer 'd' .Data.: the layer is closed"):
        made.forward()


@pytest.mark.parametrize(
    ("fields", "more", "match"),
    [
        ("batch_size: 0", "", r"batch_size must be positive \(Check failed: batch_size > 0\)"),
        ("backend: LEVELDB", "", r"layer 'd' \(Data\): .*is an LMDB, not a LevelDB\. Write 'backend: LMDB'"),
        ("", "transform_param { crop_size: 6 }", r"layer 'd'.*Check failed: datum_width >= crop_size \(5 vs\. 6\)"),
        ("", "transform_param { force_gray: true force_color: true }", "layer 'd': cannot set both force_color"),
        (
            "force_encoded_color: true",
            "transform_param { force_gray: true }",
            "cannot set both force_color and force_gray",
        ),
    ],
)
def test_refusals_leave_nothing_open(backend, database, fields, more, match):
    before, opened = data_threads(), set(lmdb_source._environments)
    with pytest.raises(CaffepyError, match=match):
        net(backend, database, fields, more)
    assert data_threads() == before
    assert lmdb_source._environments.keys() == opened


def test_no_database_names_layer_and_line(backend, tmp_path):
    with pytest.raises(DataError, match=r"n.prototxt:1: layer 'd' \(Data\): there is no database .*mdb_status == 0"):
        net(backend, tmp_path / "nowhere")


def test_no_colour_noise_of_grey_images(backend, tmp_path):
    folder = write(tmp_path / "grey", [encode(IMAGES[0, 0], "PNG")])
    with pytest.raises(DataError, match=r"layer 'd' \(Data\): colour noise needs images of 3 channels"):
        net(backend, folder, phase=caffe_pb2.TRAIN, colour_noise=0.1)
    net(backend, folder, phase=caffe_pb2.TEST, colour_noise=0.1).close()


def test_backward_does_nothing(backend, database):
    with net(backend, database) as made:
        made.forward()
        entry = made.entries[0]
        before = [top.data.copy() for top in entry.top]
        for top in entry.top:
            top.diff[...] = 7
        entry.layer.backward(entry.top, [], [])
        for top, data in zip(entry.top, before, strict=True):
            assert (top.data == data).all()
            assert (top.diff == 7).all()


@pytest.mark.parametrize("kind", ["LMDB", "LEVELDB"])
@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"resize_height": 8, "resize_width": 9},
        {"encoded": True},
        {"encode_type": "png"},
        {"encode_type": "jpg"},
        {"encoded": True, "resize_height": 8, "resize_width": 9},
        {"encode_type": "jpg", "resize_height": 8, "resize_width": 9},
    ],
    ids=lambda settings: "-".join(f"{name}={value}" for name, value in settings.items()) or "raw",
)
def test_databases_of_convert_imageset_in_all_variants(backend, tmp_path, kind, gray, settings):
    smooth = [np.add.outer(np.add.outer([0, 9, 30], np.arange(16) * (i + 1)), np.arange(12) * 3) for i in range(5)]
    smooth = [image.astype(np.uint8) for image in smooth]
    entries = [Entry(f"{i}.png", 10 + i) for i in range(5)]
    for entry, image in zip(entries, smooth, strict=True):
        Image.fromarray(image[::-1].transpose(1, 2, 0)).save(tmp_path / entry.name)
    convert_images(entries, tmp_path, tmp_path / "db", ConversionSettings(gray=gray, **settings), backend=kind)
    # Without a backend Caffe reads a LevelDB.
    fields = "batch_size: 5" + (" backend: LMDB" if kind == "LMDB" else "")
    with Net(
        parse_net(f'layer {{ type: "Data" top: "d" top: "l" data_param {{ source: "{tmp_path}/db" {fields} }} }}'),
        caffe_pb2.TEST,
        get_backend(backend),
    ) as made:
        data, label = passes(made, 1)
    expected = [decode_image((tmp_path / e.name).read_bytes(), "", color="gray" if gray else "color") for e in entries]
    if "resize_height" in settings:
        expected = [resize(image, 8, 9) for image in expected]
    assert label.tolist() == [10, 11, 12, 13, 14]
    assert data.shape == (5, *expected[0].shape)
    assert np.abs(data - np.stack(expected)).max() <= (8 if settings.get("encode_type") == "jpg" else 0)


def test_two_nets_read_one_leveldb(backend, tmp_path):
    with new_database(tmp_path / "db", "LEVELDB") as writer:
        for i, image in enumerate(IMAGES):
            datum = caffe_pb2.Datum(channels=3, height=6, width=5, data=image.tobytes(), label=10 + i)
            writer.put(b"%08d" % i, datum.SerializeToString())
    fields = "batch_size: 3 backend: LEVELDB"
    with (
        net(backend, tmp_path / "db", fields) as one,
        net(backend, tmp_path / "db", fields, shuffle=True, phase=0) as two,
    ):
        assert (passes(one, 5)[1] == 10 + np.arange(15) % COUNT).all()
        assert sorted(passes(two, 7)[1]) == sorted([*range(10, 17)] * 3)
