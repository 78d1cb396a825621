"""The resizing of cv::resize, against its definition and what Caffe stored."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffepy.data.datum import decode, decode_image
from caffepy.data.image_list import read_list
from caffepy.data.resize import resize
from caffepy.data.source import open_source
from caffepy.errors import DataError


def reference(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear from the definition, in real numbers."""
    channels, old_height, old_width = image.shape
    out = np.empty((channels, height, width))
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                v = min(max((y + 0.5) * old_height / height - 0.5, 0), old_height - 1)
                u = min(max((x + 0.5) * old_width / width - 0.5, 0), old_width - 1)
                top, left = math.floor(v), math.floor(u)
                bottom, right = min(top + 1, old_height - 1), min(left + 1, old_width - 1)
                fy, fx = v - top, u - left
                upper = image[c, top, left] * (1 - fx) + image[c, top, right] * fx
                lower = image[c, bottom, left] * (1 - fx) + image[c, bottom, right] * fx
                out[c, y, x] = upper * (1 - fy) + lower * fy
    return out


@pytest.mark.parametrize("size", [(7, 5), (20, 31), (13, 9), (1, 1), (26, 18), (5, 40)])
def test_equals_the_definition_to_one_level(size):
    image = np.random.default_rng(1).integers(0, 256, (3, 13, 9), dtype=np.uint8)
    assert np.abs(resize(image, *size) - reference(image, *size)).max() <= 1


def test_enlarging_rounds_as_opencv_does():
    """In its fixed point: outside columns are cut before weighing, outside rows are weighed and repeat the edge."""
    image = np.random.default_rng(5).integers(0, 256, (1, 3, 4), dtype=np.uint8)
    out = resize(image, 8, 9)
    for y in range(8):
        v = (y + 0.5) * 3 / 8 - 0.5
        b1 = round((v - math.floor(v)) * 2048)
        rows = [min(max(math.floor(v) + k, 0), 2) for k in (0, 1)]
        for x in range(9):
            u = min(max((x + 0.5) * 4 / 9 - 0.5, 0), 3)
            a1 = round((u - math.floor(u)) * 2048)
            columns = [math.floor(u), min(math.floor(u) + 1, 3)]
            lines = [int(image[0, r, columns[0]]) * (2048 - a1) + int(image[0, r, columns[1]]) * a1 for r in rows]
            parts = [(line >> 4) * weight >> 16 for line, weight in zip(lines, (2048 - b1, b1), strict=True)]
            assert out[0, y, x] == (sum(parts) + 2) >> 2


def test_exactly_one_half_averages_four():
    image = np.array([[[0, 1, 10, 20], [2, 3, 30, 41]]], np.uint8)
    assert resize(image, 1, 2).tolist() == [[[2, 25]]]


def test_the_same_size_is_the_same_image():
    image = np.arange(24, dtype=np.uint8).reshape(1, 4, 6)
    assert np.array_equal(resize(image, 4, 6), image)


def test_any_strides():
    image = np.random.default_rng(2).integers(0, 256, (3, 11, 8), dtype=np.uint8)
    interleaved = np.ascontiguousarray(image.transpose(1, 2, 0))[:, :, ::-1].transpose(2, 0, 1)
    assert np.array_equal(resize(interleaved, 6, 7), resize(np.ascontiguousarray(interleaved), 6, 7))


def test_a_size_of_nothing():
    with pytest.raises(DataError, match="cannot resize to 0 x 4"):
        resize(np.zeros((1, 3, 3), np.uint8), 0, 4)


def test_equals_what_caffe_stored(oracle):
    source = open_source(oracle / "raw_lmdb")
    entries = read_list(oracle / "list.txt")
    assert len(entries) == 6
    for ordinal, entry in enumerate(entries):
        image = decode_image((oracle / "images" / entry.name).read_bytes(), entry.name, color="color")
        key, value = source.read(ordinal)
        assert np.array_equal(resize(image, 40, 48), decode(value, key).array)


@pytest.mark.parametrize(("name", "color", "scale", "crop"), [("gray", "gray", 256, 0), ("resize", "color", 1, 30)])
def test_equals_caffes_image_data_layer(oracle, name, color, scale, crop):
    with np.load(oracle / f"imagedata_{name}.npz", allow_pickle=False) as stored:
        expected = stored["out/data"] * scale
    entries = read_list(oracle / "list.txt")
    for entry, want in zip(entries, expected, strict=False):
        image = resize(decode_image((oracle / "images" / entry.name).read_bytes(), "", color=color), 40, 36)
        if crop:
            image = image[:, 5 : 5 + crop, 3 : 3 + crop]
        assert np.array_equal(image, want)
