"""What a look through a database finds."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from caffepy.data.check import check_data
from caffepy.data.datum import encode
from caffepy.data.in_order import in_order
from caffepy.data.source import open_source
from caffepy.proto import caffe_pb2
from tests.data.images import noise_image, raw_datum


@pytest.fixture
def check(make_lmdb):
    def run(values, **options):
        source = open_source(make_lmdb(values))
        try:
            return check_data(source, **options)
        finally:
            source.close()

    return run


def datums(labels, shape=(3, 8, 9)):
    return [raw_datum(noise_image(shape, i), label) for i, label in enumerate(labels)]


@pytest.mark.parametrize("threads", [1, 3])
def test_a_good_database(check, threads):
    seen = []
    report = check(datums([0, 1, 2, 1]), num_output=3, threads=threads, progress=lambda *now: seen.append(now))
    assert report.ok
    assert (report.records, report.scanned, report.bad_count) == (4, 4, 0)
    assert report.shapes == Counter({(3, 8, 9): 4})
    assert report.labels == Counter({1: 2, 0: 1, 2: 1})
    assert seen == [(i, 4) for i in range(1, 5)]


def test_some_records_taken_evenly(check):
    report = check(datums(range(10)), limit=4, num_output=10)
    assert report.scanned == 4
    assert report.labels == Counter([0, 2, 5, 7])
    assert report.ok


def test_bad_records_are_named_and_counted(check, smooth_jpeg):
    values = [encode(smooth_jpeg, 0), *[encode(smooth_jpeg[:-100], 0)] * 30, b"\xff\xff", encode(smooth_jpeg, 1)]
    report = check(values, num_output=2)
    assert report.bad_count == 31
    assert len(report.bad) == 20
    assert "record '00000001' cannot be decoded" in report.bad[0]
    assert not report.ok
    assert report.labels == Counter([0, 1])


def test_labels_outside(check):
    report = check(datums([0, 1, 10, -1]), num_output=10)
    assert report.bad == [
        "record '00000002': label 10 is outside 0..9.",
        "record '00000003': label -1 is outside 0..9.",
    ]
    report = check(datums([0, 1, 10, -1]))
    assert report.bad == ["record '00000003': label -1 is outside 0 or more."]


def test_labels_that_never_occur(check):
    report = check(datums([0, 1, 3]), num_output=50)
    assert report.warnings[0].startswith("no record has label 2, 4, 5,")
    assert report.warnings[0].endswith("...: 47 of 50 outputs are never taught.")


def test_an_unshuffled_database(check):
    small = (1, 1, 1)
    report = check(datums([4] * 1000 + [5] * 9, small))
    assert report.warnings == [
        "the first 1000 records all have label 4: the database is not shuffled. "
        "Convert with --shuffle, or train with --shuffle."
    ]
    assert check(datums([4] * 999 + [5] * 9, small)).ok
    assert check(datums([4] * 1010, small)).ok


def test_channels_last(check):
    report = check(datums([0, 1], (32, 32, 3)))
    assert (
        "2 records have channels x height x width = 32 x 32 x 3: probably (height, width, channels)"
        in report.warnings[0]
    )
    assert check(datums([0, 1], (32, 32, 5))).ok


def test_sizes_and_channels_that_differ(check):
    values = datums([0], (3, 8, 9)) + datums([1], (3, 9, 9))
    assert "records differ in size (2 sizes). Set crop_size" in check(values).warnings[0]
    assert check(values, crop_size=8).ok
    mixed = [encode(noise_image((3, 8, 8)), 0, "png"), encode(noise_image((1, 8, 8)), 1, "png")]
    assert "records differ in channels (1 of 1, 1 of 3). Set force_color" in check(mixed, crop_size=8).warnings[0]
    assert check(mixed, color="gray").ok


def test_images_smaller_than_the_crop(check):
    report = check(datums([0], (3, 8, 9)) + datums([1], (3, 9, 7)), crop_size=8)
    assert report.bad == [
        "record '00000001' is 3 x 9 x 7, too small for crop_size 8. Check failed: datum_width >= crop_size (7 vs. 8)."
    ]
    assert "datum_height >= crop_size (8 vs. 9)" in check(datums([0], (3, 8, 9)), crop_size=9).bad[0]


def test_numbers_that_are_none(check):
    values = [caffe_pb2.Datum(channels=1, height=1, width=1, float_data=[value]) for value in (1.0, np.nan, np.inf)]
    report = check(values)
    assert report.bad == [f"record '0000000{i}': its float_data holds NaN or infinity." for i in (1, 2)]


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_in_order(threads):
    taken = []

    def items():
        for i in range(100):
            taken.append(i)
            yield i

    results = in_order(lambda i: i * i, items(), threads)
    assert next(results) == 0
    # A little ahead, not all.
    assert len(taken) <= 4 * max(1, threads)
    assert list(results) == [i * i for i in range(1, 100)]


def test_in_order_raises_at_its_item():
    def fail(i):
        if i == 7:
            raise ValueError("item 7")
        return i

    results = in_order(fail, range(100), 3)
    assert [next(results) for _ in range(7)] == list(range(7))
    with pytest.raises(ValueError, match="item 7"):
        next(results)
