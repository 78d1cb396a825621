"""AlexNet's colour noise, from its definition."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from caffepy.data.colour_noise import ColourNoise, compute_colour_noise, read_colour_noise, write_colour_noise
from caffepy.data.datum import encode
from caffepy.data.source import open_source
from caffepy.errors import DataError
from caffepy.random import Stream
from tests.data.images import noise_image, raw_datum


def test_shifts_are_the_paper_s_sum():
    vectors = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    deviations = np.array([50.0, 9.0, 3.0])
    stream = Stream(7, "data", "colour")
    ordinals = np.array([0, 5, 2**40])
    shifts = ColourNoise(vectors, deviations, 0.2).shifts(stream, ordinals)
    assert shifts.dtype == np.float32
    for row, ordinal in zip(shifts, ordinals, strict=True):
        a = 0.2 * stream.normal(3, int(ordinal)).astype(np.float64)
        expected = sum(vectors[:, i] * a[i] * deviations[i] for i in range(3))
        np.testing.assert_allclose(row, expected, rtol=1e-5)


def test_shifts_do_not_depend_on_the_batch():
    noise = ColourNoise(np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0], np.array([50.0, 9.0, 3.0]))
    stream = Stream(1, "data", "colour")
    together = noise.shifts(stream, np.arange(256))
    for i in (0, 1, 100, 255):
        assert np.array_equal(noise.shifts(stream, np.array([i]))[0], together[i])


def test_shifts_have_the_covariance_of_the_colours():
    vectors = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    deviations = np.array([50.0, 20.0, 10.0])
    shifts = ColourNoise(vectors, deviations, 0.1).shifts(Stream(1, "data", "colour"), np.arange(40_000))
    covariance = np.cov(shifts.T.astype(np.float64))
    np.testing.assert_allclose(covariance, 0.01 * vectors @ np.diag(deviations**2) @ vectors.T, atol=0.4)
    assert np.abs(shifts.mean(axis=0)).max() < 0.1


def test_computed_directions_are_those_of_all_pixels(make_lmdb):
    images = [noise_image((3, 4 + i, 5), i) // (1, 2, 3)[i % 3] for i in range(6)]
    images = [np.stack([image[0], image[0] // 2 + image[1] // 4, image[2]]) for image in images]
    source = open_source(make_lmdb([encode(image, 0, "png") for image in images]))
    seen = []
    noise = compute_colour_noise(source, sigma=0.3, progress=lambda *now: seen.append(now))
    pixels = np.concatenate([image.reshape(3, -1) for image in images], axis=1).astype(np.float64)
    covariance = np.cov(pixels, bias=True)
    rebuilt = noise.vectors @ np.diag(noise.deviations**2) @ noise.vectors.T
    np.testing.assert_allclose(rebuilt, covariance, rtol=1e-9)
    assert (np.diff(noise.deviations) < 0).all()
    assert noise.sigma == 0.3
    assert seen == [(i, 6) for i in range(1, 7)]


def test_a_limit_takes_records_evenly(make_lmdb):
    images = [np.full((3, 2, 2), 10 * i, np.uint8) for i in range(10)]
    read = []
    source = open_source(make_lmdb([raw_datum(image) for image in images]))
    real = source.read
    source.read = lambda ordinal: (read.append(ordinal), real(ordinal))[1]
    noise = compute_colour_noise(source, limit=4)
    assert read == [0, 2, 5, 7]
    # All colours are gray: one direction, and the deviation of (0, 20, 50, 70) along it.
    np.testing.assert_allclose(noise.deviations, [np.std([0, 20, 50, 70]) * 3**0.5, 0, 0], atol=1e-5)
    np.testing.assert_allclose(np.abs(noise.vectors[:, 0]), 3**-0.5)


def test_kept_in_a_file(tmp_path):
    noise = ColourNoise(np.eye(3)[::-1], np.array([5.0, 3.0, 1.0]), 0.7)
    write_colour_noise(tmp_path / "colours.npz", noise)
    again = read_colour_noise(tmp_path / "colours.npz", 0.2)
    assert np.array_equal(again.vectors, noise.vectors)
    assert np.array_equal(again.deviations, noise.deviations)
    assert again.sigma == 0.2
    assert [file.name for file in tmp_path.iterdir()] == ["colours.npz"]


def test_what_is_no_colour_noise(tmp_path, make_lmdb):
    with pytest.raises(DataError, match=r"needs vectors \(3, 3\) and deviations \(3,\), got \(2, 3\)"):
        ColourNoise(np.zeros((2, 3)), np.zeros(3))
    for sigma in (-1.0, np.nan, np.inf):
        with pytest.raises(DataError, match="numbers must be finite and sigma at least 0"):
            ColourNoise(np.eye(3), np.ones(3), sigma)
    with pytest.raises(DataError, match="numbers must be finite"):
        ColourNoise(np.eye(3), np.array([np.nan, 1, 1]))
    with pytest.raises(DataError, match=r"cannot read colour noise from '.*none.npz'"):
        read_colour_noise(tmp_path / "none.npz")
    file = tmp_path / "bad.npz"
    np.savez(file, vectors=np.eye(3))
    with pytest.raises(DataError, match=r"cannot read colour noise from '.*bad.npz'.*deviations"):
        read_colour_noise(file)
    np.savez(file, vectors=np.array([None], dtype=object), deviations=np.ones(3))
    with pytest.raises(DataError, match="cannot read colour noise"):
        read_colour_noise(file)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("vectors.npy", bytes((1 << 20) + 1))
    assert file.stat().st_size < 3000
    with pytest.raises(DataError, match=r"vectors.npy is larger than 1048576 bytes"):
        read_colour_noise(file)
    np.savez(file, vectors=np.eye(3), deviations=np.ones(3))
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"cannot read colour noise from '.*bad.npz': File is not a zip file"):
        read_colour_noise(file)
    file.write_bytes(bytes(2 << 20))
    with pytest.raises(DataError, match="larger than 1048576 bytes"):
        read_colour_noise(file)
    for image in (raw_datum(noise_image((1, 2, 2))),):
        with pytest.raises(
            DataError, match=r"needs images of 3 channels of bytes; record '00000000' .*\(1, 2, 2\), uint8"
        ):
            compute_colour_noise(open_source(make_lmdb([image])))
