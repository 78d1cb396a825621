"""Whole batches: which records, in which order, bad ones among them, and the numbers Caffe computes."""

from __future__ import annotations

import gc
import logging
import threading

import numpy as np
import pytest
from google.protobuf import text_format

from caffepy.data.colour_noise import ColourNoise
from caffepy.data.datum import decode, decode_image, encode
from caffepy.data.images import RecordImages
from caffepy.data.order import Order
from caffepy.data.pixels import planes, words
from caffepy.data.reader import RecordReader
from caffepy.data.source import open_source
from caffepy.data.transform import Transform
from caffepy.devices import get_backend
from caffepy.errors import DataError
from caffepy.proto import caffe_pb2
from caffepy.random import Stream
from tests.data.images import file_bytes, noise_image, raw_datum
from tests.reference.transform import transform as transform_crop

TRAIN, TEST = caffe_pb2.TRAIN, caffe_pb2.TEST


@pytest.fixture
def make_reader():
    made, sources = [], []

    def build(path, phase=TEST, colour_noise=None, seed=1, **options):
        names = ("crop_size", "mirror", "scale", "mean_value", "mean_file", "force_gray", "force_color")
        fields = {name: options.pop(name) for name in names if name in options}
        param = caffe_pb2.TransformationParameter(**fields)
        transform = Transform(param, phase, seed, "data", "net.prototxt:3", colour_noise=colour_noise)
        options = {"batch_size": 4, "threads": 2, **options}
        source = open_source(path)
        sources.append(source)
        images = RecordImages(source, transform.color)
        reader = RecordReader(images, transform, seed=seed, layer_name="data", **options)
        made.append(reader)
        return reader

    yield build
    for reader in made:
        reader.close()
    for source in sources:
        source.close()


@pytest.fixture
def ten(make_lmdb):
    """Ten records of 2 x 6 x 5 random bytes; record i has label 10 i."""
    images = [noise_image((2, 6, 5), seed) for seed in range(10)]
    return make_lmdb([raw_datum(image, 10 * i) for i, image in enumerate(images)]), images


def floats(reader, batch):
    """What a layer makes of the batch."""
    settings, out = reader._filler.transform, []
    for i, crop in enumerate(batch.pixels):
        crop = batch.others.get(i, planes(crop) if crop.ndim == 2 else crop)
        shift = None if batch.shift is None else batch.shift[i]
        place = batch.h_off[i], batch.w_off[i], batch.mirror[i]
        out.append(transform_crop(crop, *place, settings.mean, settings.scale, shift))
    return np.stack(out)


def take(reader, steps):
    """Data, labels and records of some batches."""
    out = []
    for step in steps:
        batch = reader.get(step)
        out.append((floats(reader, batch), batch.label.copy(), batch.records.tolist()))
    return out


def same(one, other):
    return all(
        np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1]) and a[2] == b[2]
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize(
    "name",
    [
        "raw_plain",
        "raw_wraps_round",
        "raw_mean_values",
        "raw_mean_file_crop",
        "png_mean_file",
        "png_force_gray",
        "jpg_crop",
    ],
)
def test_equals_caffe_bit_for_bit(oracle, monkeypatch, name):
    monkeypatch.chdir(oracle)
    with np.load(f"{name}.npz", allow_pickle=False) as stored:
        expected = {key: stored[key] for key in stored.files}
    layer = text_format.Parse(str(expected["prototxt"]), caffe_pb2.NetParameter()).layer[0]
    transform = Transform(layer.transform_param, TEST, 1, layer.name)
    source = open_source(layer.data_param.source, "LMDB")
    images = RecordImages(source, transform.color)
    reader = RecordReader(
        images, transform, batch_size=layer.data_param.batch_size, seed=1, layer_name=layer.name, threads=2
    )
    batches = take(reader, range(int(expected["batches"])))
    reader.close()
    source.close()
    assert np.array_equal(np.concatenate([batch[1] for batch in batches]), expected["out/label"])
    data = np.concatenate([batch[0] for batch in batches])
    assert data.dtype == np.float32
    if name.startswith("jpg"):
        # JPEG decoders may differ; that of Pillow's wheels does not differ at all from Caffe's.
        assert np.abs(data - expected["out/data"]).max() <= 2
    else:
        assert np.array_equal(data, expected["out/data"])


def test_records_come_in_order_and_wrap_round(make_reader, ten):
    path, images = ten
    reader = make_reader(path)
    assert reader.shape == (4, 2, 6, 5)
    for step in range(6):
        batch = reader.get(step)
        expected = [(step * 4 + i) % 10 for i in range(4)]
        assert batch.records.tolist() == expected
        assert batch.label.tolist() == [10.0 * i for i in expected]
        assert batch.label.dtype == np.float32
        assert np.array_equal(floats(reader, batch), np.stack([images[i] for i in expected]).astype(np.float32))


@pytest.mark.parametrize("shuffle", [False, True])
def test_content_does_not_depend_on_threads_depth_or_where_a_run_begins(make_reader, make_lmdb, smooth_jpeg, shuffle):
    images = [noise_image((3, 20 + i, 30 - i), i) for i in range(7)]
    values = [encode(image, i, "png") for i, image in enumerate(images)] + [encode(smooth_jpeg, 7)]
    path = make_lmdb(values)
    noise = ColourNoise(np.eye(3), np.array([10.0, 20.0, 30.0]))
    options = {"phase": TRAIN, "colour_noise": noise, "crop_size": 16, "mirror": True, "shuffle": shuffle}
    options["mean_value"] = [104, 117, 123]
    expected = take(make_reader(path, threads=1, prefetch=1, **options), range(12))
    assert not same(expected[:4], expected[4:8])
    for threads in (1, 2, 4):
        for prefetch in (1, 2, 4):
            reader = make_reader(path, threads=threads, prefetch=prefetch, **options)
            assert same(take(reader, range(12)), expected)
            for begin in (3, 9, 0, 5):
                assert same(take(reader, range(begin, 12)), expected[begin:])
    assert not same(take(make_reader(path, seed=2, **options), range(12)), expected)


def test_crops_and_noise_are_those_of_the_ordinal(make_reader, make_lmdb):
    images = [noise_image((3, 12, 15), i) for i in range(3)]
    path = make_lmdb([encode(image, i, "png") for i, image in enumerate(images)])
    noise = ColourNoise(np.eye(3), np.array([10.0, 20.0, 30.0]))
    reader = make_reader(path, phase=TRAIN, colour_noise=noise, crop_size=8, mirror=True, batch_size=5)
    transform = reader._filler.transform
    for step in range(4):
        batch = reader.get(step)
        ordinals = np.arange(5 * step, 5 * step + 5)
        placed = transform.placements(ordinals, 12, 15)
        shifts = transform.shifts(ordinals)
        for i, ordinal in enumerate(ordinals):
            h, w = placed.h_off[i], placed.w_off[i]
            crop = images[ordinal % 3][:, h : h + 8, w : w + 8]
            crop = crop[:, :, ::-1] if placed.mirror[i] else crop
            np.testing.assert_allclose(floats(reader, batch)[i], crop + shifts[i][:, None, None], rtol=0, atol=1e-4)


def test_gray_images_get_no_colour_noise(make_reader, ten):
    path, images = ten
    noise = ColourNoise(np.eye(3), np.array([10.0, 20.0, 30.0]))
    batch = make_reader(path, phase=TRAIN, colour_noise=noise).get(0)
    assert batch.shift is None
    assert np.array_equal(batch.pixels[0], images[0])


def test_shuffling_shows_each_record_once_an_epoch_in_another_order(make_reader, ten):
    reader = make_reader(ten[0], batch_size=5, shuffle=True)
    epochs = [reader.get(2 * e).records.tolist() + reader.get(2 * e + 1).records.tolist() for e in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert epochs[1] == Stream(1, "data", "shuffle").permutation(10, 1).tolist()


def test_rand_skip_moves_the_beginning(make_reader, ten):
    skip = int(Stream(1, "data", "rand_skip").bits(1)[0]) % 7
    assert skip > 0
    reader = make_reader(ten[0], rand_skip=7)
    assert reader.get(0).records.tolist() == [(skip + i) % 10 for i in range(4)]
    order = Order(10, 1, "data", rand_skip=7, shuffle=True)
    shown = [order.record(i) for i in range(10 - skip)]
    assert shown == Stream(1, "data", "shuffle").permutation(10, 0).tolist()[skip:]


def test_order_from_many_threads_and_many_epochs():
    order = Order(50, 3, "data", shuffle=True)
    expected = [Order(50, 3, "data", shuffle=True).record(i) for i in range(0, 1000, 37)]
    seen = []

    def look():
        seen.append([order.record(i) for i in range(0, 1000, 37)])

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [expected] * 4
    assert len(order._epochs) <= 4


def test_memory_of_batches_may_be_given(make_reader, ten):
    shapes = []

    def allocate(shape, dtype):
        shapes.append((shape, dtype))
        return np.empty(shape, dtype)

    reader = make_reader(ten[0], allocate=allocate, prefetch=2)
    for step in range(5):
        reader.get(step)
    assert shapes == [((4, 2, 6, 5), np.uint8)] * 2
    assert reader.held_bytes == 2 * 4 * 2 * 6 * 5
    reader = make_reader(ten[0], crop_size=3)
    reader.start(0)
    assert reader.get(0).shape == reader.shape == (4, 2, 3, 3)
    assert reader.wait_seconds >= 0


def test_threads_end_when_the_reader_is_forgotten(make_lmdb):
    before = threading.active_count()
    source = open_source(make_lmdb([raw_datum(noise_image((1, 2, 2)))]))
    transform = Transform(caffe_pb2.TransformationParameter(), TEST, 1, "data")
    reader = RecordReader(RecordImages(source), transform, batch_size=2, seed=1, layer_name="data", threads=3)
    reader.get(0)
    assert threading.active_count() == before + 3
    del reader
    gc.collect()
    assert threading.active_count() == before


@pytest.fixture
def holed(make_lmdb):
    """Ten records, of which 3, 4 and 8 are no images."""
    good = [raw_datum(noise_image((2, 6, 5), seed), seed) for seed in range(10)]
    bad = raw_datum(noise_image((2, 6, 5)))
    bad.data = bad.data[:-1]
    return make_lmdb([bad if i in (3, 4, 8) else datum for i, datum in enumerate(good)])


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_bad_records_are_replaced_by_the_next_good_one(make_reader, holed, caplog, threads):
    reader = make_reader(holed, max_bad_records=3, threads=threads)
    with caplog.at_level(logging.WARNING, "caffepy"):
        batches = take(reader, range(5))
    records = [record for batch in batches for record in batch[2]]
    expected = [5 if i % 10 in (3, 4) else 9 if i % 10 == 8 else i % 10 for i in range(20)]
    assert records == expected
    assert [label for batch in batches for label in batch[1]] == expected
    assert reader.bad_records == 3
    messages = [record.getMessage() for record in caplog.records]
    for number, (key, message) in enumerate(zip(("00000003", "00000004", "00000008"), messages, strict=True), 1):
        where = f"bad record {number} of 3 allowed: net.prototxt:3: layer 'data': record '{key}': "
        assert message.startswith(where + "Incorrect data field size 59")
        assert message.endswith(f"It is in '{holed}'.")


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize(("allowed", "step", "key"), [(0, 0, "00000003"), (1, 0, "00000004"), (2, 2, "00000008")])
def test_one_bad_record_too_many_ends_the_run_at_its_batch(make_reader, holed, threads, allowed, step, key):
    reader = make_reader(holed, max_bad_records=allowed, threads=threads)
    for good in range(step):
        reader.get(good)
    said = (
        f"record '{key}': Incorrect data field size.*One bad record more than the {allowed} allowed; --max-bad-records"
    )
    with pytest.raises(DataError, match=said):
        reader.get(step)


def test_a_database_of_nothing_good(make_reader, make_lmdb):
    path = make_lmdb([b"\xff\xff"] * 3)
    with pytest.raises(DataError, match=r"is not a Datum.*more than the 99 allowed"):
        make_reader(path, max_bad_records=99)
    with pytest.raises(DataError, match="record '00000000' is not a Datum"):
        make_reader(path)


def test_a_bad_first_record_is_passed_over_too(make_reader, make_lmdb):
    path = make_lmdb([b"\xff\xff", raw_datum(noise_image((1, 3, 4)), 6)])
    reader = make_reader(path, max_bad_records=1)
    assert reader.shape == (4, 1, 3, 4)
    assert reader.get(0).records.tolist() == [1] * 4
    assert reader.bad_records == 1


def test_a_truncated_jpeg_is_named(make_reader, make_lmdb, smooth_jpeg):
    path = make_lmdb([encode(smooth_jpeg, 0), encode(smooth_jpeg[:-200], 1)])
    with pytest.raises(DataError, match=r"record '00000001' cannot be decoded: .*truncated"):
        make_reader(path).get(0)


def test_without_crop_all_records_have_the_size_of_the_first(make_reader, make_lmdb):
    path = make_lmdb([raw_datum(noise_image((3, 4, 5))), raw_datum(noise_image((3, 5, 5)))])
    said = r"record '00000001' of '.*' has another size: 3 x 5 x 5, the first record 3 x 4 x 5. Set crop_size"
    with pytest.raises(DataError, match=said):
        make_reader(path).get(0)
    batch = make_reader(path, crop_size=4).get(0)
    assert batch.records.tolist() == [0, 1, 0, 1]


def test_a_batch_without_crop_has_the_size_of_its_first_record(make_reader, make_lmdb):
    sizes = [(3, 4, 5), (3, 6, 5), (3, 4, 5)]
    images = [noise_image(shape, seed) for seed, shape in enumerate(sizes)]
    path = make_lmdb([raw_datum(image, i) for i, image in enumerate(images)])
    for threads in (1, 3):
        reader = make_reader(path, batch_size=1, threads=threads, mean_value=[1])
        assert reader.shape == (1, 3, 4, 5)
        for step in (0, 1, 2, 3, 4, 1, 7):
            assert np.array_equal(floats(reader, reader.get(step)), images[step % 3][None] - np.float32(1))
    pairs = make_lmdb([raw_datum(images[i // 2]) for i in range(6)], name="pairs")
    assert [make_reader(pairs, batch_size=2).get(step).shape for step in range(3)] == [(2, *s) for s in sizes]


def test_no_record_of_a_batch_is_decoded_twice(make_reader, ten):
    reader = make_reader(ten[0], prefetch=1)
    loaded = []
    load = reader._filler.images.load
    reader._filler.images.load = lambda number: loaded.append(number) or load(number)
    reader.get(0)
    reader.get(1)
    assert sorted(loaded) == list(range(8))


def test_one_odd_size_does_not_make_the_rest_of_its_batch_bad(make_reader, make_lmdb):
    path = make_lmdb([raw_datum(noise_image((1, 5, 5) if i == 4 else (1, 4, 4), i), i) for i in range(8)])
    reader = make_reader(path, max_bad_records=1)
    assert [reader.get(step).records.tolist() for step in range(2)] == [[0, 1, 2, 3], [5, 5, 6, 7]]
    assert reader.bad_records == 1


def test_a_batch_of_too_many_elements(make_reader, make_lmdb, monkeypatch):
    monkeypatch.setattr("caffepy.data.reader._MAX_COUNT", 2 * 3 * 4 * 5)
    path = make_lmdb([raw_datum(noise_image((3, 4, 5))), raw_datum(noise_image((3, 4, 6)))])
    reader = make_reader(path, batch_size=1)
    reader.get(1)
    monkeypatch.setattr("caffepy.data.reader._MAX_COUNT", 3 * 4 * 5)
    with pytest.raises(DataError, match=r"layer 'data': blob size exceeds INT_MAX: a batch of 1 x 3 x 4 x 6"):
        make_reader(path, batch_size=1).get(1)


def test_channels_never_differ(make_reader, make_lmdb):
    color = encode(noise_image((3, 4, 4)), 0, "png")
    gray = encode(noise_image((1, 4, 4)), 0, "png")
    path = make_lmdb([color, gray])
    with pytest.raises(
        DataError, match=r"has another channels: 1 x 4 x 4, the first record 3 x 4 x 4. Set force_color"
    ):
        make_reader(path, crop_size=2).get(0)
    assert make_reader(path, force_color=True).get(0).shape == (4, 3, 4, 4)
    assert make_reader(path, force_gray=True).get(0).shape == (4, 1, 4, 4)


def test_forcing_colours_of_raw_records_is_said_to_do_nothing(make_reader, ten, caplog):
    with caplog.at_level(logging.WARNING, "caffepy"):
        assert make_reader(ten[0], force_gray=True).shape == (4, 2, 6, 5)
    assert "layer 'data': force_color and force_gray are only for encoded records" in caplog.text


def test_a_later_record_that_is_too_small_for_the_crop(make_reader, make_lmdb):
    path = make_lmdb([raw_datum(noise_image((3, 9, 9))), raw_datum(noise_image((3, 9, 7)))])
    said = r"record '00000001' of .*too small for crop_size 8. Check failed: datum_width >= crop_size \(7 vs. 8\)"
    with pytest.raises(DataError, match=said):
        make_reader(path, crop_size=8).get(0)


def test_the_first_record_is_checked_at_the_start(make_reader, ten):
    said = r"the first record '00000000' of '.*' is 2 x 6 x 5, too small for crop_size 224"
    with pytest.raises(DataError, match=said) as caught:
        make_reader(ten[0], crop_size=224)
    # No record is bad here: the setting is, and passing over records would not help.
    assert "max-bad-records" not in str(caught.value)
    with pytest.raises(DataError, match="3 mean_value for the first record"):
        make_reader(ten[0], mean_value=[1, 2, 3])


def test_batch_size_of_nothing(make_reader, ten):
    with pytest.raises(DataError, match=r"net.prototxt:3: layer 'data': batch_size must be at least 1, got 0"):
        make_reader(ten[0], batch_size=0)


def test_decoded_images_are_whole_while_threads_work(make_reader, make_lmdb):
    # Pixels are shared with Pillow; were they let go too early, another image would show.
    images = [np.full((3, 40, 40), i, np.uint8) for i in range(64)]
    path = make_lmdb([encode(image, i, "png") for i, image in enumerate(images)])
    reader = make_reader(path, batch_size=64, threads=4)
    for step in range(20):
        batch = reader.get(step)
        data = floats(reader, batch)
        assert np.array_equal(data.min(axis=(1, 2, 3)), np.arange(64))
        assert np.array_equal(data.max(axis=(1, 2, 3)), np.arange(64))


def test_jpegs_in_batches_equal_those_decoded_alone(make_reader, make_lmdb, smooth_jpeg):
    from PIL import Image

    other = file_bytes(Image.fromarray(noise_image((60, 50, 3), 9)), "JPEG")
    values = [encode(smooth_jpeg, 0).SerializeToString(), encode(other, 1).SerializeToString()]
    reader = make_reader(make_lmdb(values))
    batch = reader.get(0)
    assert batch.pixels.dtype == np.uint32
    for i in range(4):
        assert np.array_equal(floats(reader, batch)[i], decode(values[i % 2], b"").array.astype(np.float32))


def test_a_batch_holds_what_its_first_record_is_and_others_too(make_reader, make_lmdb, smooth_jpeg):
    image, floating = noise_image((3, 40, 50), 2), noise_image((3, 40, 50), 3).astype(np.float32) / 7
    raw, float_datum = raw_datum(image), caffe_pb2.Datum(channels=3, height=40, width=50)
    float_datum.float_data.extend(floating.ravel().tolist())
    gray = encode(noise_image((1, 40, 50), 4), 0, "png")
    values = {"jpeg": encode(smooth_jpeg, 0), "gray": gray, "raw": raw, "float": float_datum}
    expected = {"raw": image.astype(np.float32), "float": floating}
    for name in ("jpeg", "gray"):
        decoded = decode(values[name].SerializeToString(), b"", color="color").array
        expected[name] = decoded[:, :40, :50].astype(np.float32)
    for number, first in enumerate(values):
        names = [first, *(name for name in values if name != first)]
        path = make_lmdb([values[name] for name in names], name=f"mixed{number}")
        reader = make_reader(path, crop_size=30, force_color=True)
        batch = reader.get(0)
        assert batch.pixels.dtype == {"raw": np.uint8, "float": np.float32}.get(first, np.uint32)
        assert list(batch.others) == ([] if first == "float" else [names.index("float")])
        for made, name in zip(floats(reader, batch), names, strict=True):
            height, width = decode(values[name].SerializeToString(), b"").array.shape[1:]
            top, left = (height - 30) // 2, (width - 30) // 2
            whole = expected[name] if name != "jpeg" else decode(values[name].SerializeToString(), b"").array
            assert np.array_equal(made, whole[:, top : top + 30, left : left + 30])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("first", ["raw", "float", "png", "jpeg", "gray"])
def test_finished_by_the_threads_that_decode(make_reader, make_lmdb, smooth_jpeg, first, dtype):
    """To the bit what a layer makes of the crops, whatever kinds of records there are beside the first."""
    floating = caffe_pb2.Datum(channels=3, height=40, width=50)
    floating.float_data.extend((noise_image((3, 40, 50), 3) / np.float32(7)).ravel().tolist())
    values = {
        "jpeg": encode(smooth_jpeg, 0),
        "gray": encode(noise_image((1, 40, 50), 4), 1, "png"),
        "png": encode(noise_image((3, 33, 41), 5), 2, "png"),
        "raw": raw_datum(noise_image((3, 40, 50), 2), 3),
        "float": floating,
    }
    path = make_lmdb([values[first], *(value for name, value in values.items() if name != first)])
    settings = {"crop_size": 30, "mirror": True, "force_color": True, "mean_value": [104, 117, 123], "scale": 0.017}
    backend = get_backend("cpu", dtype)
    op = backend.ops.Transform(backend, np.float32([104, 117, 123]), 0.017)
    for noise in (None, ColourNoise(np.float32([[3, 1, 2], [0, 2, 1], [1, 1, 4]]), np.float32([9, 5, 2]), 0.7)):
        plain = make_reader(path, phase=TRAIN, colour_noise=noise, batch_size=5, **settings)
        reader = make_reader(
            path, phase=TRAIN, colour_noise=noise, batch_size=5, finish=op.finish, dtype=dtype, threads=3, **settings
        )
        assert reader.shape == (5, 3, 30, 30)
        # The one in use is the top's own memory.
        assert reader.held_bytes == 3 * 5 * 3 * 30 * 30 * np.dtype(dtype).itemsize
        for step in range(6):
            batch, crops = reader.get(step), plain.get(step)
            assert batch.finished
            assert not crops.finished
            assert not batch.others
            assert batch.pixels.dtype == dtype
            expected = floats(plain, crops)
            np.testing.assert_allclose(batch.pixels, expected, rtol=0, atol=0 if noise is None else 2e-6)
            assert np.array_equal(batch.label, crops.label)


def test_decoded_images_are_taken_word_by_word(smooth_jpeg):
    image = decode_image(smooth_jpeg, "")
    assert np.array_equal(planes(words(image)), image)
    assert words(np.ascontiguousarray(image)) is None
    assert words(image[:, 1:]) is None
    assert words(image[::-1]) is None
    assert words(image[:2]) is None
    # The same strides, but bytes of who knows what order.
    for memory in (np.zeros(13 * 17 * 4, np.uint8), np.zeros(13 * 17, np.int32)):
        view = memory.view(np.uint8).reshape(13, 17, 4)[:, :, :0:-1].transpose(2, 0, 1)
        assert view.strides == (-1, 4 * 17, 4)
        assert words(view) is None


@pytest.mark.parametrize(("mode", "kind"), [("RGBA", "PNG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("P", "PNG")])
def test_of_other_images_only_palettes_become_words(mode, kind):
    from PIL import Image

    image = decode_image(file_bytes(Image.fromarray(noise_image((13, 17, 3), 9)).convert(mode), kind), "")
    assert (words(image) is not None) == (mode == "P")
    if mode == "P":
        assert np.array_equal(planes(words(image)), image)
