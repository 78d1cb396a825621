"""caffepy.cpu._unfold: where each value of an image goes, and that folding is the transpose of unfolding."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.cpu._unfold import (
    fold_2d,
    fold_images_2d,
    fold_images_nd,
    fold_nd,
    pack,
    unfold_2d,
    unfold_images_2d,
    unfold_images_nd,
    unfold_nd,
    unpack,
)
from tests.reference.conv import output_size

# (C, H, W), then kernel, stride, pad and dilation of both axes
WINDOWS = [
    ((3, 6, 7), (3, 3), (1, 1), (0, 0), (1, 1)),
    ((1, 6, 7), (3, 2), (2, 3), (1, 2), (1, 1)),
    ((2, 5, 5), (2, 2), (1, 1), (3, 4), (1, 1)),
    ((2, 9, 8), (3, 3), (1, 2), (2, 1), (3, 2)),
    ((2, 7, 9), (1, 1), (3, 2), (0, 0), (1, 1)),
    ((2, 1, 12), (1, 5), (1, 2), (0, 3), (1, 2)),
    ((2, 4, 2), (2, 3), (1, 4), (0, 0), (1, 1)),
    ((1, 3, 3), (3, 3), (7, 7), (6, 6), (1, 1)),
    ((2, 20, 40), (5, 5), (1, 1), (2, 2), (1, 1)),
    ((1, 20, 70), (11, 11), (4, 4), (0, 5), (1, 1)),
]


def places(shape, kernel, stride, pad, dilation):
    """(row, column of cols, place in x or None) for each tap and position."""
    output = [output_size(*each) for each in zip(shape[1:], kernel, stride, pad, dilation, strict=True)]
    for row, (c, *tap) in enumerate(np.ndindex(shape[0], *kernel)):
        for column, position in enumerate(np.ndindex(*output)):
            place = [p * s - q + t * d for p, s, q, t, d in zip(position, stride, pad, tap, dilation, strict=True)]
            inside = all(0 <= i < size for i, size in zip(place, shape[1:], strict=True))
            yield row, column, (c, *place) if inside else None


def expected(x, window):
    table = list(places(x.shape, *window))
    cols = np.zeros((table[-1][0] + 1, table[-1][1] + 1), x.dtype)
    for row, column, place in table:
        if place is not None:
            cols[row, column] = x[place]
    return cols


def transposed(cols, shape, window):
    x = np.zeros(shape)
    for row, column, place in places(shape, *window):
        if place is not None:
            x[place] += cols[row, column]
    return x


def two_ways(shape, window):
    """unfold(x, cols) and fold(cols, x) of both kinds of kernels."""
    numbers = np.array(window, np.int64)
    output = [output_size(*each) for each in zip(shape[1:], *window, strict=True)]
    sizes = np.array(shape[1:], np.int64), np.array(output, np.int64)
    return [
        (
            lambda x, cols: unfold_2d(x, numbers, *output, 0, cols),
            lambda cols, x: fold_2d(cols, numbers, *output, x),
        ),
        (
            lambda x, cols: unfold_nd(x.reshape(len(x), -1), *sizes, numbers, 0, cols),
            lambda cols, x: fold_nd(cols, *sizes, numbers, x.reshape(len(x), -1)),
        ),
    ]


@pytest.mark.parametrize("way", [0, 1], ids=["two axes", "any number"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "window"), [(w[0], w[1:]) for w in WINDOWS])
def test_unfold_and_fold(shape, window, dtype, way):
    x = np.random.standard_normal(shape).astype(dtype)
    unfold, fold = two_ways(shape, window)[way]
    want = expected(x, window)
    cols = np.full_like(want, np.nan)
    unfold(x, cols)
    assert (cols == want).all()

    values = np.random.standard_normal(want.shape).astype(dtype)
    back = np.full_like(x, np.nan)
    fold(values, back)
    near = 1e-5 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(back, transposed(values, shape, window), rtol=near, atol=near)


@pytest.mark.parametrize("way", [0, 1], ids=["two axes", "any number"])
def test_images_side_by_side(way):
    shape, *window = WINDOWS[1]
    images = np.random.standard_normal((4, *shape))
    want = [expected(image, window) for image in images]
    width = want[0].shape[1]
    numbers = np.array(window, np.int64)
    output = [output_size(*each) for each in zip(shape[1:], *window, strict=True)]
    cols = np.full((len(want[0]), 3 * width + 2), 7.0)
    back = np.full_like(images, 5.0)
    if way == 0:
        unfold_images_2d(images, 1, 4, numbers, *output, cols)
        fold_images_2d(cols, 1, 4, numbers, *output, back)
    else:
        sizes = np.array(shape[1:], np.int64), np.array(output, np.int64)
        unfold_images_nd(images.reshape(4, len(images[0]), -1), 1, 4, *sizes, numbers, width, cols)
        fold_images_nd(cols, 1, 4, *sizes, numbers, width, back.reshape(4, len(images[0]), -1))
    assert (cols[:, : 3 * width] == np.concatenate(want[1:], axis=1)).all()
    assert (cols[:, 3 * width :] == 7).all()
    np.testing.assert_allclose(back[1:], [transposed(each, shape, window) for each in want[1:]], rtol=1e-13)
    assert (back[0] == 5).all()


def test_pack_and_unpack():
    images = np.random.standard_normal((4, 3, 5))
    packed = np.full((3, 11), 7.0)
    pack(images, 1, 3, packed)
    np.testing.assert_array_equal(packed, np.concatenate([images[1], images[2], np.full((3, 1), 7.0)], axis=1))
    back = np.full_like(images, 5.0)
    unpack(packed, 1, 3, back)
    assert (back[1:3] == images[1:3]).all()
    assert (back[[0, 3]] == 5).all()


def test_three_axes():
    shape, window = (2, 4, 3, 5), ((2, 3, 2), (1, 2, 2), (1, 1, 0), (2, 1, 3))
    numbers = np.array(window, np.int64)
    output = np.array([output_size(*each) for each in zip(shape[1:], *window, strict=True)], np.int64)
    x = np.random.standard_normal(shape)
    want = expected(x, window)
    cols = np.full_like(want, np.nan)
    sizes = np.array(shape[1:], np.int64)
    unfold_nd(x.reshape(2, -1), sizes, output, numbers, 0, cols)
    assert (cols == want).all()
    back = np.full((2, 60), np.nan)
    fold_nd(want, sizes, output, numbers, back)
    np.testing.assert_allclose(back.reshape(shape), transposed(want, shape, window), rtol=1e-13)
