"""ImageData: what the layer adds to the reader, whose own tests are in tests/data."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from caffepy.data.colour_noise import ColourNoise, write_colour_noise
from caffepy.data.resize import resize
from caffepy.errors import CaffepyError, DataError, LayerError
from caffepy.proto import caffe_pb2
from caffepy.proto.ignored import ignored_note
from caffepy.proto.read import parse_net
from tests.layers.data_nets import data_net, data_threads, equal, limit_memory, passes

COUNT = 7
IMAGES = np.random.default_rng(1).integers(0, 256, (COUNT, 3, 6, 5), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Seven PNGs of 6 x 5 pixels labelled 10 to 16, the third with a blank in its name, and their list."""
    (tmp_path / "png").mkdir()
    names = ["two words.png" if i == 2 else f"{i}.png" for i in range(COUNT)]
    for name, image in zip(names, IMAGES, strict=True):
        Image.fromarray(image[::-1].transpose(1, 2, 0)).save(tmp_path / "png" / name)
    (tmp_path / "list.txt").write_text("".join(f"{name} {10 + i}\n" for i, name in enumerate(names)))
    return tmp_path


def net(backend, folder, fields="batch_size: 3", more="", source="list.txt", root="png/", **settings):
    text = f"""layer {{ name: "d" type: "ImageData" top: "data" top: "label" {more}
        image_data_param {{ source: "{folder}/{source}" root_folder: "{folder}/{root}" {fields} }} }}"""
    return data_net(backend, text, **settings)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", [0, 1, 3])
def test_images_in_the_order_of_the_list(backend, folder, dtype, threads):
    with net(backend, folder, dtype=dtype, threads=threads) as made:
        assert (made.blobs["data"].shape, made.blobs["label"].shape) == ((3, 3, 6, 5), (3,))
        data, label = passes(made, 5)
    order = np.arange(15) % COUNT
    assert data.dtype == dtype
    assert (data == IMAGES[order]).all()
    assert (label == 10 + order).all()


def test_batch_size_is_1_unless_given(backend, folder):
    with net(backend, folder, "") as made:
        assert (passes(made, 9)[1] == 10 + np.arange(9) % COUNT).all()


def test_grey(backend, folder):
    with net(backend, folder, "is_color: false batch_size: 2") as made:
        data = passes(made, 1)[0]
    blue, green, red = IMAGES[:2].transpose(1, 0, 2, 3).astype(np.uint32)
    # As libpng weighs them.
    assert (data[:, 0] == (red * 9797 + green * 19234 + blue * 3737) >> 15).all()


def test_resize_then_transform(backend, folder):
    more = "transform_param { crop_size: 6 mean_value: 1 mean_value: 2 mean_value: 3 scale: 0.5 }"
    with net(backend, folder, "batch_size: 2 new_height: 9 new_width: 8", more) as made:
        data = passes(made, 1)[0]
    resized = np.stack([resize(image, 9, 8) for image in IMAGES[:2]])
    expected = (resized[:, :, 1:7, 1:7] - np.array([1.0, 2, 3])[:, None, None]) * 0.5
    np.testing.assert_allclose(data, expected, rtol=1e-6)


def test_one_image_a_batch_may_have_any_size(backend, folder):
    tall = np.random.default_rng(2).integers(0, 256, (3, 11, 4), dtype=np.uint8)
    Image.fromarray(tall[::-1].transpose(1, 2, 0)).save(folder / "png" / "1.png")
    with net(backend, folder, "") as made:
        passes(made, 1)
        assert (passes(made, 1)[0] == tall).all()
        assert (passes(made, 1)[0] == IMAGES[2]).all()
    said = r"image '.*/1.png' of '.*list.txt' has another size: 3 x 11 x 4, the first record 3 x 6 x 5"
    with net(backend, folder) as made, pytest.raises(DataError, match=said):
        made.forward()


def test_shuffle_shows_each_image_once_an_epoch(backend, folder):
    with net(backend, folder, "batch_size: 7 shuffle: true") as made:
        epochs = [passes(made, 1)[1].tolist() for _ in range(3)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10, 17))] * 3
    assert len({tuple(epoch) for epoch in epochs}) == 3
    with net(backend, folder, "batch_size: 7", shuffle=True, phase=caffe_pb2.TRAIN) as made:
        assert passes(made, 1)[1].tolist() == epochs[0]
    with net(backend, folder, "batch_size: 7", shuffle=True) as made:
        assert passes(made, 1)[1].tolist() == list(range(10, 17))


def test_rand_skip(backend, folder):
    starts = set()
    for seed in range(12):
        with net(backend, folder, "rand_skip: 4", seed=seed) as made:
            starts.add(int(passes(made, 1)[1][0]))
    assert len(starts) > 1
    assert starts <= {10, 11, 12, 13}


TRAINING = {
    "fields": "batch_size: 3 shuffle: true rand_skip: 5 new_height: 8 new_width: 9",
    "more": "transform_param { crop_size: 6 mirror: true }",
    "phase": caffe_pb2.TRAIN,
}


def test_threads_and_where_a_run_begins_change_nothing(backend, folder):
    with net(backend, folder, threads=1, **TRAINING) as made:
        expected = passes(made, 9)
    for threads in (2, 4):
        with net(backend, folder, threads=threads, **TRAINING) as made:
            assert equal(passes(made, 9), expected)
            for step in (5, 1, 8):
                rest = [values[3 * step :] for values in expected]
                assert equal(passes(made, 9 - step, start=step), rest)
    with net(backend, folder, seed=3, **TRAINING) as made:
        assert not equal(passes(made, 9), expected)


def test_root_folder_as_the_beginning_of_a_path(backend, folder, monkeypatch):
    for root in ("png/", "png", ""):
        (folder / "short.txt").write_text("/0.png 1" if root else "/png/0.png 1")
        with net(backend, folder, "", source="short.txt", root=root) as made:
            assert (passes(made, 1)[0] == IMAGES[0]).all()
    (folder / "short.txt").write_text("g/0.png 1")
    with net(backend, folder, "", source="short.txt", root="pn") as made:
        assert (passes(made, 1)[0] == IMAGES[0]).all()
    (folder / "short.txt").write_text("0.png 1")
    with net(backend, folder, "", source="short.txt", root="png") as made:
        assert (passes(made, 1)[0] == IMAGES[0]).all()
    monkeypatch.chdir(folder / "png")
    text = 'layer { type: "ImageData" top: "a" top: "b" image_data_param { source: "../short.txt" } }'
    with data_net(backend, text) as made:
        assert (passes(made, 1)[0] == IMAGES[0]).all()


def test_bad_images(backend, folder):
    (folder / "png" / "1.png").write_bytes((folder / "png" / "1.png").read_bytes()[:50])
    (folder / "png" / "3.png").unlink()
    with net(backend, folder, max_bad_records=2) as made:
        assert (passes(made, 1)[1] == [10, 12, 12]).all()
        assert (passes(made, 1)[1] == [14, 14, 15]).all()
        assert made.layers[0].bad_records == 2
    with net(backend, folder) as made, pytest.raises(DataError, match=r"image '.*1.png' cannot be decoded"):
        made.forward()
    with net(backend, folder, max_bad_records=1) as made:
        made.forward()
        with pytest.raises(DataError, match=r"Could not open or find file .*/3.png: No such file"):
            made.forward()


def test_replaced_fields_have_no_effect(backend, folder):
    fields = 'batch_size: 3 scale: 2 mean_file: "none" crop_size: 2 mirror: true'
    text = f'layer {{ type: "ImageData" image_data_param {{ {fields} }} }}'
    note = ignored_note(*parse_net(text, "n"))
    assert all(f"ImageDataParameter.{name}" in note for name in ("scale", "mean_file", "crop_size", "mirror"))
    with net(backend, folder, fields) as made:
        assert (passes(made, 1)[0] == IMAGES[:3]).all()


def test_they_act_in_layers_of_the_old_form(backend, folder):
    text = f"""layers {{ name: "d" type: IMAGE_DATA top: "data" top: "label" image_data_param {{
        source: "{folder}/list.txt" root_folder: "{folder}/png/" batch_size: 2 scale: 2 crop_size: 4 }} }}"""
    with data_net(backend, text) as made:
        assert (passes(made, 1)[0] == 2.0 * IMAGES[:2, :, 1:5, 0:4]).all()


def test_prefetch_is_that_of_data_param(backend, folder):
    with net(backend, folder, more="data_param { prefetch: 9 }") as made:
        assert made.layers[0].reader.depth == 9


def test_colour_noise_needs_given_directions(backend, folder):
    settings = {"phase": caffe_pb2.TRAIN, "colour_noise": 0.1}
    with pytest.raises(DataError, match=r"layer 'd' \(ImageData\): colour noise of a list .* --colour-pca FILE"):
        net(backend, folder, **settings)
    write_colour_noise(folder / "pca.npz", ColourNoise(np.eye(3), np.array([10.0, 20.0, 30.0])))
    with net(backend, folder, colour_pca=f"{folder}/pca.npz", **settings) as made:
        shift = passes(made, 1)[0] - IMAGES[:3]
    np.testing.assert_allclose(shift, np.broadcast_to(shift[:, :, :1, :1], shift.shape), atol=1e-4)
    assert (shift != 0).all()


@pytest.mark.parametrize(
    ("fields", "more", "match"),
    [
        ("batch_size: 0", "", r"n.prototxt:1: layer 'd' \(ImageData\): Positive batch size required"),
        ("new_height: 9", "", r"layer 'd' .*new_height 9 and new_width 0: Current implementation requires new_height"),
        ("new_width: 9", "", "new_height 0 and new_width 9"),
        ("new_height: 100000 new_width: 100000", "", r"layer 'd' .*100000 exceed the 67,108,864 pixels"),
        ("", "transform_param { crop_size: 6 }", r"layer 'd'.*Check failed: datum_width >= crop_size \(5 vs\. 6\)"),
        ("", "transform_param { mean_value: 1 mean_value: 2 }", "2 mean_value for the first image '.*0.png' of"),
        ("", 'transform_param { mean_file: "nowhere" }', "layer 'd': mean_file: there is no mean file 'nowhere'"),
        ("batch_size: 4000000000", "", "blob size exceeds INT_MAX"),
        (
            "batch_size: 100",
            "data_param { prefetch: 4000000000 }",
            r"4000000000 batches made ahead needs .* out of memory",
        ),
    ],
)
def test_refusals_leave_no_threads(backend, folder, fields, more, match):
    before = data_threads()
    with pytest.raises(CaffepyError, match=match):
        net(backend, folder, fields, more)
    assert data_threads() == before


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (None, r"n.prototxt:1: layer 'd' \(ImageData\): cannot read the list of images '.*hostile.txt': No such file"),
        (b"", "the list of images '.*' is empty"),
        (b"0.png", "hostile.txt:1: expected 'name label', got '0.png'"),
        (b"0.png 1\n1.png 2.5", "hostile.txt:2: the label must be an integer, got 2.5"),
        (b"0.png 99999999999", "label 99999999999 does not fit 32 bits"),
        (b"\xff\xfe\x00 1", "Could not open or find file"),
        (b"\x00 1", "Could not open or find file"),
        (b". 1", r"Could not open or find file .*: (it is a folder|Is a directory)"),
        (b"fifo 1", r"Could not open or find file .*/fifo: it is a folder or a device, no file"),
        (b"../list.txt 1", r"cannot be decoded: expected JPEG, PNG or BMP, got \d+ bytes"),
        (b"huge.png 1", r"huge.png' has 2,147,483,648 bytes; at most 1,073,741,824 are read"),
    ],
)
def test_hostile_lists(backend, folder, content, match):
    if content is not None:
        (folder / "hostile.txt").write_bytes(content)
    os.mkfifo(folder / "png" / "fifo")
    with open(folder / "png" / "huge.png", "wb") as file:
        file.truncate(1 << 31)
    with pytest.raises(DataError, match=match):
        net(backend, folder, source="hostile.txt")


def test_memory_that_larger_images_would_take(backend, folder, monkeypatch):
    Image.fromarray(np.zeros((90, 90, 3), np.uint8)).save(folder / "png" / "1.png")
    with net(backend, folder, "") as made:
        limit_memory(monkeypatch, backend, 4 * 90 * 90 - 1)
        made.forward()
        # On the CPU a batch is what the top will hold; to a GPU go words of a colour each.
        batch = {"cpu": "1 x 3 x 90 x 90 is 97,200", "gpu": "1 x 90 x 90 is 32,400"}[backend[:3]]
        with pytest.raises(DataError, match=rf"layer 'd' \(ImageData\): out of memory: a batch of {batch} bytes"):
            made.forward()


def test_closing(backend, folder):
    before = data_threads()
    made = net(backend, folder, threads=2)
    made.forward()
    assert made.layers[0].wait_seconds > 0
    assert data_threads() == before + 2
    made.close()
    made.close()
    assert data_threads() == before
    with pytest.raises(LayerError, match=r"layer 'd' .ImageData.: the layer is closed"):
        made.forward()
    entry = made.entries[0]
    entry.layer.backward(entry.top, [], [])
