"""MemoryData: arrays by reset, images by add, and what pycaffe says of others."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from caffepy.errors import CaffepyError, LayerError
from caffepy.proto import caffe_pb2
from tests.data.images import file_bytes, noise_image, raw_datum
from tests.layers.data_nets import data_net, equal, passes

SHAPE = (3, 4, 5)
DATA = np.random.default_rng(6).normal(size=(9, *SHAPE)).astype(np.float32)
LABELS = np.arange(50, 59, dtype=np.float32)
SIZES = "batch_size: 3 channels: 3 height: 4 width: 5"


def net(backend, fields=SIZES, more="", **settings):
    text = f"""layer {{ name: "d" type: "MemoryData" top: "data" top: "label" {more}
        memory_data_param {{ {fields} }} }}"""
    return data_net(backend, text, **settings)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("labels", [LABELS, LABELS.reshape(-1, 1, 1, 1)])
def test_rows_in_order_and_round_again(backend, dtype, labels):
    made = net(backend, dtype=dtype)
    made.layers[0].reset(DATA, labels)
    data, label = passes(made, 5)
    order = np.arange(15) % 9
    assert data.dtype == dtype
    assert made.blobs["label"].shape == (3,)
    assert (data == DATA[order]).all()
    assert (label == LABELS[order]).all()


def test_a_net_of_doubles_takes_doubles(backend):
    made = net(backend, dtype="float64")
    made.layers[0].reset(DATA.astype(float) / 3, LABELS.astype(float) / 3)
    data, label = passes(made, 3)
    assert (data == DATA.astype(float) / 3).all()
    assert (label == LABELS.astype(float) / 3).all()


def test_arrays_are_kept_not_copied(backend):
    made = net(backend)
    data = DATA.copy()
    made.layers[0].reset(data, LABELS)
    made.forward()
    data[3:6] = 7
    assert (passes(made, 1)[0] == 7).all()


def test_each_reset_begins_at_its_first_row(backend):
    made = net(backend)
    made.layers[0].reset(DATA, LABELS)
    passes(made, 2)
    made.layers[0].reset(DATA[3:], LABELS[3:])
    assert (passes(made, 2)[1] == LABELS[3:]).all()


def test_a_resumed_run_goes_on_with_the_next_row(backend):
    made = net(backend)
    made.layers[0].reset(DATA, LABELS)
    expected = passes(made, 8)
    for step in (7, 1, 4):
        made = net(backend)
        made.layers[0].reset(DATA, LABELS)
        assert equal(passes(made, 8 - step, start=step), [values[3 * step :] for values in expected])


def test_reset_does_not_transform_and_says_so(backend, caplog):
    made = net(backend, more="transform_param { scale: 2 }")
    with caplog.at_level(logging.WARNING, "caffepy"):
        made.layers[0].reset(DATA, LABELS)
    assert "layer 'd': MemoryData does not transform array data on reset()" in caplog.text
    assert (passes(made, 3)[0] == DATA).all()
    made = net(backend)
    caplog.clear()
    made.layers[0].reset(DATA, LABELS)
    assert caplog.text == ""


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_images_that_are_added_are_transformed(backend, kind):
    images = [noise_image((3, 6, 5), i).astype(kind) for i in range(6)]
    more = "transform_param { crop_size: 4 mean_value: 10 scale: 0.5 }"
    made = net(backend, "batch_size: 3 channels: 3 height: 4 width: 4", more)
    made.layers[0].add(images, range(6))
    data, label = passes(made, 2)
    np.testing.assert_allclose(data, (np.stack(images)[:, :, 1:5, 0:4].astype(float) - 10) * 0.5, rtol=1e-6)
    assert label.tolist() == list(range(6))


def test_datums(backend):
    from PIL import Image

    pixels = noise_image(SHAPE, 2)
    png = file_bytes(Image.fromarray(pixels[::-1].transpose(1, 2, 0)), "PNG")
    datums = [raw_datum(noise_image(SHAPE, 1), 8), caffe_pb2.Datum(data=png, label=9, encoded=True)]
    made = net(backend, SIZES.replace("3", "2", 1))
    made.layers[0].add(datums)
    data, label = passes(made, 1)
    assert (data == [noise_image(SHAPE, 1), pixels]).all()
    assert label.tolist() == [8, 9]
    made.layers[0].add(datums, [0.5, 1.5])
    assert passes(made, 1)[1].tolist() == [0.5, 1.5]


def test_draws_go_by_the_pass(backend):
    images = [noise_image((3, 8, 9), 1)] * 9
    more = "transform_param { crop_size: 4 mirror: true }"
    settings = {"fields": "batch_size: 3 channels: 3 height: 4 width: 4", "more": more, "phase": caffe_pb2.TRAIN}
    made = net(backend, **settings)
    made.layers[0].add(images, range(9))
    expected = passes(made, 3)[0]
    assert len({image.tobytes() for image in expected}) > 4
    made = net(backend, **settings)
    made.counter.value = 1
    made.layers[0].add(images[:6], range(6))
    assert (passes(made, 2)[0] == expected[3:]).all()


def test_what_was_added_must_be_shown_first(backend):
    made = net(backend)
    layer = made.layers[0]
    images = list(DATA[:6])
    layer.add(images, range(6))
    for _ in range(2):
        with pytest.raises(LayerError, match=r"layer 'd' .*Can't add data until current data has been consumed"):
            layer.add(images, range(6))
        with pytest.raises(LayerError, match=r"Can't change batch_size until current data has been consumed"):
            layer.set_batch_size(2)
        made.forward()
    layer.add(images, range(10, 16))
    assert passes(made, 1)[1].tolist() == [10, 11, 12]
    layer.reset(DATA, LABELS)
    layer.add(images, range(6))


def test_batch_size_may_change(backend):
    made = net(backend)
    layer = made.layers[0]
    layer.set_batch_size(2)
    layer.set_batch_size(3)
    layer.reset(DATA, LABELS)
    made.forward()
    layer.set_batch_size(2)
    assert passes(made, 5)[1].tolist() == [53, 54, 55, 56, 57, 58, 50, 51, 52, 53]
    assert made.blobs["data"].shape == (2, *SHAPE)
    layer.set_batch_size(4)
    assert (passes(made, 2)[0] == DATA[[4, 5, 6, 7, 8, 0, 1, 2]]).all()
    with pytest.raises(LayerError, match=r"layer 'd' .*batch_size must be at least 1, got 0"):
        layer.set_batch_size(0)


@pytest.mark.parametrize("missing", ["batch_size: 3", "channels: 3", "height: 4", "width: 5"])
def test_sizes_must_be_given(backend, missing):
    said = r"n.prototxt:1: layer 'd' \(MemoryData\): batch_size, channels, height, and width must be specified"
    with pytest.raises(LayerError, match=said):
        net(backend, SIZES.replace(missing, ""))


def test_sizes_that_no_memory_holds(backend):
    with pytest.raises(CaffepyError, match="blob size exceeds INT_MAX"):
        net(backend, "batch_size: 4000000000 channels: 4000000000 height: 4 width: 5")


def test_a_pass_needs_rows(backend):
    made = net(backend)
    with pytest.raises(LayerError, match=r"layer 'd' .*MemoryDataLayer needs to be initialized by calling Reset"):
        made.forward()


@pytest.mark.parametrize(
    ("data", "labels", "match"),
    [
        (DATA.astype(np.float64), LABELS, "data array must be float32; got float64"),
        (DATA.astype(">f4"), LABELS, "data array must be float32; got >f4"),
        (np.array([{}]), LABELS, "data array must be float32; got object"),
        (DATA, LABELS.astype(int), "labels array must be float32; got int64"),
        (DATA, LABELS.astype(int).reshape(-1, 1, 1, 1), "labels array must be float32; got int64"),
        (DATA[:, 0].copy(), LABELS, r"data array must be 4-d; got shape \(9, 4, 5\)"),
        (DATA, LABELS.reshape(-1, 1), r"labels array must be 4-d; got shape \(9, 1\)"),
        (DATA[:, :, :, ::-1], LABELS, "data array must be C contiguous"),
        (DATA, np.repeat(LABELS, 2)[::2], "labels array must be C contiguous"),
        (DATA[:, :2].copy(), LABELS, r"data array has wrong number of channels: got shape \(9, 2, 4, 5\), expected"),
        (DATA[:, :, :3].copy(), LABELS, "data array has wrong height"),
        (DATA[..., :4].copy(), LABELS, "data array has wrong width"),
        (DATA, LABELS.reshape(1, 9, 1, 1), "labels array has wrong number of channels"),
        (DATA, LABELS[:8], "data and labels must have the same first dimension; got 9 rows and 8 labels"),
        (DATA[:8], LABELS[:8], "must be a multiple of batch size; got 8|n must be a multiple of batch size"),
        (DATA[:0], LABELS[:0], "got 0 rows for a batch size of 3"),
    ],
)
def test_arrays_that_do_not_fit(backend, data, labels, match):
    made = net(backend)
    with pytest.raises(LayerError, match=f"layer 'd' .*({match})"):
        made.layers[0].reset(data, labels)


@pytest.mark.parametrize(
    ("images", "labels", "match"),
    [
        ([], [], "There is no datum to add"),
        (list(DATA[:4]), range(4), "The added data must be a multiple of the batch size; got 4 images"),
        (list(DATA[:3]), range(2), "3 images need a label each; got 2"),
        (list(DATA[:3]), None, "3 images need a label each; got 0"),
        (list(DATA[:3, :2]), range(3), r"image 0 of shape \(2, 4, 5\) becomes \(2, 4, 5\); memory_data_param says"),
        ([DATA[0], DATA[1], DATA[2, 0]], range(3), r"image 2 must be an array .* got ndarray of shape \(4, 5\)"),
        (["a", "b", "c"], range(3), "image 0 must be an array .* got str"),
        (list(DATA[:3].astype(float)), range(3), "image 0 must be an array .*float64"),
        ([caffe_pb2.Datum(channels=3, height=4, width=5)] * 3, None, "record 'image 0': Incorrect data field size"),
    ],
)
def test_images_that_do_not_fit(backend, images, labels, match):
    made = net(backend)
    with pytest.raises(LayerError, match=f"layer 'd' .*{match}"):
        made.layers[0].add(images, labels)


def test_images_too_small_for_the_crop(backend):
    made = net(backend, "batch_size: 1 channels: 3 height: 9 width: 9", "transform_param { crop_size: 9 }")
    with pytest.raises(LayerError, match=r"image 0 is 3 x 4 x 5, too small for crop_size 9"):
        made.layers[0].add([DATA[0]], [0])


def test_backward_does_nothing(backend):
    made = net(backend)
    made.layers[0].reset(DATA, LABELS)
    made.forward()
    before = made.backend.to_host(made.entries[0].top[0].data).copy()
    made.layers[0].backward(made.entries[0].top, [], [])
    np.testing.assert_array_equal(made.backend.to_host(made.entries[0].top[0].data), before)
