"""caffepy.random: published vectors, agreement of all ways to a number, and what the numbers are distributed like."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.cpu._stream import _normal
from caffepy.devices import get_backend
from caffepy.random import Stream, philox4x32
from tests.reference.philox import philox4x32 as reference
from tests.reference.philox import word

# Random123, tests/kat_vectors, the lines "philox4x32 10": counter, key, result.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(counter, key, expected):
    assert tuple(philox4x32(np.array(counter, np.uint64)[:, None], key)[0]) == expected
    assert reference(counter, key) == expected


def test_blocks_do_not_mix():
    counters = np.array([known[0] for known in KNOWN], np.uint64).T
    together = philox4x32(counters, (5, 7))
    for i in range(len(KNOWN)):
        assert (together[i] == philox4x32(counters[:, i : i + 1], (5, 7))[0]).all()


@pytest.mark.parametrize("step", [0, 1, 2**32 - 1, 2**32 + 5, 2**40])
@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 17])
def test_bits_are_the_words_of_the_counter(step, count):
    stream = Stream(1, "conv1", "dropout")
    assert stream.bits(count, step).tolist() == [word(stream.key, step, i) for i in range(count)]


def test_bits_beyond_one_chunk():
    stream = Stream(3, "x")
    bits = stream.bits(4 * (1 << 13) + 6, 2)
    for i in (0, 4 * (1 << 13) - 1, 4 * (1 << 13), 4 * (1 << 13) + 5):
        assert bits[i] == word(stream.key, 2, i)


def test_fewer_bits_are_the_first_of_more():
    stream = Stream(0, "a")
    assert (stream.bits(1001)[:10] == stream.bits(10)).all()


@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_bits_of_steps_equals_bits(count):
    stream = Stream(9, "data", "transform")
    steps = np.array([0, 7, 2**31, 2**32 + 1, 2**40 + 3], np.int64)
    together = stream.bits_of_steps(steps, count)
    assert together.shape == (5, count)
    assert together.dtype == np.uint32
    for row, step in zip(together, steps, strict=True):
        assert (row == stream.bits(count, int(step))).all()


def test_streams_differ_by_seed_and_by_each_name():
    keys = {
        Stream(seed, *names).key
        for seed in (0, 1)
        for names in [("a",), ("b",), ("a", "b"), ("ab",), ("a", 1), ("a", 11)]
    }
    assert len(keys) == 12
    assert Stream(0, "a", 1).key == Stream(0, "a", 1).key


def test_uniform():
    values = Stream(5, "u").uniform(200_000)
    assert values.dtype == np.float32
    assert values.min() >= 0
    assert values.max() < 1
    assert (values * 2**24 == np.floor(values * 2**24)).all()
    assert abs(values.mean() - 0.5) < 5 * np.sqrt(1 / 12 / len(values))
    assert abs(values.var() - 1 / 12) < 0.001
    counts = np.histogram(values, 20, (0, 1))[0]
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 50


def test_neighbours_are_independent():
    stream = Stream(5, "u")
    values = stream.uniform(200_000) - 0.5
    bound = 5 / 12 / np.sqrt(len(values))
    for lag in (1, 2, 3, 4, 8):
        assert abs((values[lag:] * values[:-lag]).mean()) < bound
    other = stream.uniform(200_000, 1) - 0.5
    assert abs((values * other).mean()) < bound


@pytest.mark.parametrize("count", [1, 2, 7, 40_001])
def test_normal_has_its_count_and_is_finite(count):
    values = Stream(2, "n").normal(count)
    assert values.shape == (count,)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()


def test_normal():
    values = Stream(2, "n").normal(200_000).astype(np.float64)
    error = 1 / np.sqrt(len(values))
    assert abs(values.mean()) < 5 * error
    assert abs(values.var() - 1) < 5 * error * np.sqrt(2)
    assert abs((values**3).mean()) < 5 * error * np.sqrt(15)
    assert abs((values**4).mean() - 3) < 5 * error * np.sqrt(96)
    assert abs((np.abs(values) < 1).mean() - 0.682689) < 5 * error / 2


def test_normal_of_another_mean_and_deviation_is_that_in_float32():
    plain, other = Stream(2, "n").normal(1001), Stream(2, "n").normal(1001, 0, 0.01, -2.5)
    np.testing.assert_array_equal(other, plain * np.float32(0.01) + np.float32(-2.5))


@pytest.mark.parametrize("count", [0, 1, 2, 100, 10_001])
def test_permutation_is_one(count):
    shuffled = Stream(4, "shuffle").permutation(count, 3)
    assert shuffled.dtype == np.int64
    assert sorted(shuffled.tolist()) == list(range(count))


def test_permutations_differ_by_step_and_reach_all_places():
    stream = Stream(4, "shuffle")
    seen = np.array([stream.permutation(5, step) for step in range(2000)])
    for place in range(5):
        counts = np.bincount(seen[:, place], minlength=5)
        assert ((counts - 400) ** 2 / 400).sum() < 30
    assert (stream.permutation(50, 1) != stream.permutation(50, 2)).any()
    assert (stream.permutation(50, 1) == stream.permutation(50, 1)).all()


def test_the_two_normal_numbers_of_a_pair_are_independent():
    pair = Stream(2, "n").normal(200_000).astype(np.float64).reshape(-1, 2)
    error = 1 / np.sqrt(len(pair))
    assert abs((pair[:, 0] * pair[:, 1]).mean()) < 5 * error
    assert abs(((pair[:, 0] ** 2 - 1) * (pair[:, 1] ** 2 - 1)).mean()) < 5 * error * 2


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_normal_of_steps_is_normal(count):
    stream, steps = Stream(5, "data", "colour"), np.array([0, 7, 2**40])
    numbers = stream.normal_of_steps(steps, count)
    assert numbers.shape == (3, count)
    for row, step in zip(numbers, steps, strict=True):
        assert np.array_equal(row.astype(np.float32), stream.normal(count, int(step)))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, (1 << 15) - 1, 3 * (1 << 15) + 2])
@pytest.mark.parametrize("step", [0, 2**33 + 1])
@pytest.mark.parametrize("threads", [1, 3])
def test_the_cpu_draws_the_same_bits(count, step, threads):
    slow, fast = Stream(3, "conv1", "blob", 0), get_backend("cpu", threads=threads).stream(3, "conv1", "blob", 0)
    assert type(fast) is not type(slow)
    for draw, *more in (("bits",), ("normal",), ("normal", 0.01, -2.5), ("uniform",)):
        ours, theirs = getattr(fast, draw)(count, step, *more), getattr(slow, draw)(count, step, *more)
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs), draw


@pytest.mark.parametrize("way", ["NumPy", "kernel"])
def test_normal_at_the_ends_of_its_words(way, monkeypatch):
    """Words 0 and 2^32 - 1, each quarter turn, and halfway between."""
    words = np.array([0, 1, 2, 2**31 - 1, 2**31, 3037000498, 3037000499, 2**32 - 2, 2**32 - 1], np.uint32)
    angles = np.array([k * (1 << 29) + d for k in range(8) for d in (0, 1, (1 << 29) - 1)], np.uint32)
    pairs = np.array([(word, angle) for word in words for angle in angles], np.uint32)
    if way == "NumPy":
        stream = Stream(0)
        monkeypatch.setattr(stream, "bits", lambda count, step=0: pairs.reshape(-1))
        numbers = stream.normal(pairs.size)
    else:
        numbers = np.empty(pairs.size, np.float32)
        _normal(pairs.reshape(-1), numbers)
    radius = np.sqrt(-2 * np.log((pairs[:, 0] + 1.0) * 2.0**-32))
    turn = pairs[:, 1] * (2 * np.pi * 2.0**-32)
    expected = np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1).reshape(-1)
    np.testing.assert_allclose(numbers, expected, rtol=1e-7, atol=1e-14)
