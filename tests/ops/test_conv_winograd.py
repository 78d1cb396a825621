"""caffepy.cpu._winograd against the definition, and when caffepy.cpu.conv takes it."""

from __future__ import annotations

import functools
from fractions import Fraction

import numpy as np
import pytest

import caffepy.cpu._winograd as winograd
from caffepy.cpu._conv_choice import Convolution, choose, columns_cost, winograd_cost
from caffepy.cpu._winograd import Winograd
from caffepy.cpu._winograd_matrices import MOST_POINTS, POINTS, SIZES, TAPS, matrix
from caffepy.cpu._winograd_tiles import positions, span, tiles_of
from caffepy.devices import get_backend
from caffepy.testing import poisoned
from tests.reference.conv import conv, conv_gradients, output_size

# x, num_output, kernel, stride, pad, group, results of a tile
SETTINGS = {
    "3x3": ((3, 8, 13, 13), 16, 3, 1, (1, 1), 1, (5, 5)),
    "3x3, one tile": ((2, 8, 6, 6), 8, 3, 1, (1, 1), 1, (6, 6)),
    "3x3, one result": ((2, 3, 3, 3), 5, 3, 1, (0, 0), 1, (1, 1)),
    "3x3, tiles of one": ((2, 4, 5, 6), 3, 3, 1, (1, 0), 1, (1, 2)),
    "3x3, no pad": ((2, 9, 11, 8), 7, 3, 1, (0, 0), 1, (4, 3)),
    "3x3, pads 2 and 3": ((2, 5, 7, 6), 4, 3, 1, (2, 3), 1, (4, 5)),
    "3x3, pad above kernel": ((1, 3, 4, 5), 8, 3, 1, (5, 4), 1, (3, 6)),
    "3x3, image narrower than a panel": ((2, 8, 2, 3), 8, 3, 1, (1, 1), 1, (2, 3)),
    "3x3, groups": ((2, 32, 5, 7), 48, 3, 1, (1, 1), 2, (4, 4)),
    "3x3, odd groups": ((2, 15, 8, 7), 21, 3, 1, (1, 1), 3, (5, 2)),
    "3x3, channels that fill no panel": ((2, 10, 8, 8), 6, 3, 1, (1, 1), 2, (6, 4)),
    "3x3, more channels than a block": ((1, 272, 5, 4), 17, 3, 1, (1, 1), 1, (4, 4)),
    "3x3, images that blocks do not divide": ((7, 3, 10, 6), 5, 3, 1, (1, 1), 1, (3, 4)),
    "4x4": ((3, 6, 12, 9), 10, 4, 1, (1, 2), 1, (5, 3)),
    "5x5": ((2, 8, 11, 15), 24, 5, 1, (2, 2), 1, (4, 4)),
    "5x5, groups": ((2, 12, 9, 10), 16, 5, 1, (2, 0), 2, (3, 2)),
    "5x5, tiles of one": ((1, 4, 7, 6), 8, 5, 1, (2, 2), 1, (1, 1)),
    "11x11 stride 4": ((2, 3, 43, 31), 8, 11, 4, (0, 0), 1, (6, 6)),
    "11x11 stride 4, pads": ((2, 3, 31, 28), 24, 11, 4, (2, 5), 1, (4, 3)),
    "10x10 stride 4, pad 4": ((1, 2, 24, 31), 8, 10, 4, (4, 4), 1, (5, 6)),
    "12x12 stride 4, groups": ((2, 4, 40, 21), 6, 12, 4, (3, 1), 2, (4, 4)),
    "7x7 stride 2": ((3, 3, 20, 21), 9, 7, 2, (3, 3), 1, (5, 4)),
    "5x5 stride 2, groups": ((2, 4, 30, 19), 10, 5, 2, (1, 2), 2, (4, 4)),
    "8x8 stride 3": ((2, 3, 26, 30), 8, 8, 3, (1, 2), 1, (4, 6)),
}


@functools.cache
def values(name):
    """x, w, b, dy of a setting, in float32."""
    x_shape, num_output, kernel, stride, pad, group, _ = SETTINGS[name]
    random = np.random.default_rng(0)
    output = [output_size(size, kernel, stride, p, 1) for size, p in zip(x_shape[2:], pad, strict=True)]
    shapes = (
        x_shape,
        (num_output, x_shape[1] // group, kernel, kernel),
        (num_output,),
        (x_shape[0], num_output, *output),
    )
    return [random.standard_normal(shape).astype(np.float32) for shape in shapes]


def arrays(name, dtype="float32"):
    return [a.astype(dtype) for a in values(name)]


def tiles(name):
    x, _, _, dy = arrays(name)
    _, _, kernel, stride, pad, group, sizes = SETTINGS[name]
    return tiles_of(x.shape, dy.shape, kernel, stride, pad, group, sizes)


def turned_tiles(name):
    """Of the convolution that is the gradient of x."""
    x, _, _, dy = arrays(name)
    _, _, kernel, _, pad, group, sizes = SETTINGS[name]
    sizes = tuple(min(size, most) for size, most in zip(sizes, x.shape[2:], strict=True))
    return tiles_of(dy.shape, x.shape, kernel, 1, tuple(kernel - 1 - p for p in pad), group, sizes)


def backend(dtype="float32", threads=2):
    return poisoned(get_backend("cpu", dtype, threads))


@functools.cache
def expected(name):
    """y, dx, dw in float64."""
    _, _, _, stride, pad, group, _ = SETTINGS[name]
    x, w, b, dy = arrays(name, "float64")
    rest = (stride, stride), pad, (1, 1), group
    return conv(x, w, b, *rest), *conv_gradients(x, w, dy, *rest)[:2]


def assert_near(got, want, what):
    # Rounding grows with the points of a tile: see POINTS. In float64 nothing but the algorithm could be wrong.
    error = np.abs(got - want).max() / np.abs(want).max()
    assert error < (3e-5 if got.dtype == np.float32 else 1e-13), what


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize(("dtype", "threads"), [("float32", 1), ("float32", 2), ("float32", 3), ("float64", 2)])
def test_definition(name, dtype, threads):
    x, w, b, dy = arrays(name, dtype)
    y, dx, dw = expected(name)
    op = Winograd(backend(dtype, threads), tiles(name))
    got = np.full_like(dy, np.nan)
    op.forward(x, w, False, b, got)
    assert_near(got, y, "y")
    got = np.full_like(w, 3)
    op.backward_filter(x, dy, got)
    assert_near(got - 3, dw, "dw")
    _, _, kernel, stride, pad, *_ = SETTINGS[name]
    if stride == 1 and max(pad) < kernel:
        got = np.full_like(x, np.nan)
        Winograd(backend(dtype, threads), turned_tiles(name)).forward(dy, w, True, None, got)
        assert_near(got, dx, "dx")


@pytest.mark.parametrize(
    "name", ["3x3, groups", "3x3, images that blocks do not divide", "5x5", "11x11 stride 4, pads"]
)
@pytest.mark.parametrize("block", [1, 2, 3, 5])
@pytest.mark.parametrize(("few", "chunk"), [(False, 3), (True, 1), (True, 2)])
def test_blocks_of_any_length(name, block, few, chunk):
    x, w, b, dy = arrays(name, "float64")
    y, _, dw = expected(name)
    op = Winograd(backend("float64"), tiles(name))
    op._block, op._long_block, op._few, op._chunk = block, block, few, chunk
    got = np.full_like(dy, np.nan)
    op.forward(x, w, False, b, got)
    assert_near(got, y, "y")
    got = np.zeros_like(w)
    op.backward_filter(x, dy, got)
    assert_near(got, dw, "dw")


@pytest.mark.parametrize("name", ["3x3", "3x3, odd groups"])
def test_slope_below_zero(name):
    x, w, b, dy = arrays(name, "float64")
    y, *_ = expected(name)
    got = np.full_like(dy, np.nan)
    for slope in (0.0, 0.25):
        Winograd(backend("float64"), tiles(name)).forward(x, w, False, b, got, slope=slope)
        assert_near(got, np.where(y > 0, y, slope * y), f"slope {slope}")


@pytest.mark.parametrize("name", ["3x3", "3x3, odd groups"])
def test_a_factor_for_each_filter(name):
    x, w, b, dy = arrays(name, "float64")
    scale = np.linspace(-2, 3, len(b))
    y, *_ = expected(name)
    got = np.full_like(dy, np.nan)
    Winograd(backend("float64"), tiles(name)).forward(x, w, False, b, got, scale)
    plane = [scale.reshape(1, -1, 1, 1), b.reshape(1, -1, 1, 1)]
    assert_near(got, (y - plane[1]) * plane[0] + plane[1], "scale")


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_each_run_gives_the_same_bits(threads):
    name = "5x5, groups"
    x, w, b, dy = arrays(name)
    results = []
    for _ in range(2):
        op = Winograd(backend(threads=threads), tiles(name))
        y, dw = np.empty_like(dy), np.zeros_like(w)
        op.forward(x, w, False, b, y)
        op.backward_filter(x, dy, dw)
        results.append((y, dw))
    for left, right in zip(*results, strict=True):
        assert (left == right).all()


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", ["3x3, odd groups", "3x3, more channels than a block", "5x5", "7x7 stride 2"])
def test_few_tiles_give_the_bits_of_many(name, threads):
    x, w, b, dy = arrays(name)
    scale = np.linspace(-2, 3, len(b), dtype=np.float32)
    results = []
    for few in (False, True):
        op = Winograd(backend(threads=threads), tiles(name))
        op._few = few
        results.append(np.full_like(dy, np.nan))
        op.forward(x, w, False, b, results[-1], scale, 0.25)
    np.testing.assert_array_equal(*results)


def test_tiles_are_few_where_filters_are_more_to_read():
    def few(images, size, filters):
        shapes = (images, 64, size, size), (images, filters, size, size)
        return Winograd(get_backend("cpu", "float32", 2), tiles_of(*shapes, 3, 1, (1, 1), 1, (4, 4)))._few

    assert few(1, 14, 256)
    assert not few(1, 56, 256)
    assert not few(64, 14, 256)
    assert not few(1, 14, 8)


def test_nan_stays_in_its_image():
    name = "3x3"
    x, w, b, dy = arrays(name)
    x[1, 3, 5, 5] = np.nan
    y = np.empty_like(dy)
    Winograd(backend(), tiles(name)).forward(x, w, False, b, y)
    assert np.isfinite(y[[0, 2]]).all()
    assert np.isnan(y[1, :, 4:7, 4:7]).all()


def test_memory_is_bounded():
    # AlexNet's dearest, batch 64, and VGG's largest images.
    largest = []
    for x, filters, kernel, pad, group in (
        ((64, 256, 13, 13), 384, 3, 1, 1),
        ((64, 384, 13, 13), 384, 3, 1, 2),
        ((64, 96, 27, 27), 256, 5, 2, 2),
        ((64, 64, 224, 224), 64, 3, 1, 1),
    ):
        asked = []

        class Counting(type(get_backend("cpu", "float32", 2))):
            def scratch(self, shape, dtype=None, asked=asked):
                asked.append(np.prod(shape) * 4)
                return super().scratch(shape, dtype)

        y = (x[0], filters, *x[2:])
        size = 4 if kernel == 5 else 5
        Winograd(Counting("float32", 2), tiles_of(x, y, kernel, 1, (pad, pad), group, (size, size)))
        largest.append(max(asked))
    assert max(largest) <= 64 << 20, largest


@pytest.mark.parametrize("taps", TAPS)
def test_matrices_are_exact(taps):
    random = np.random.default_rng(0)
    for points in range(taps, MOST_POINTS + 1):
        results = points - taps + 1
        taps_, numbers = (np.array([Fraction(int(v)) for v in random.integers(-9, 9, n)]) for n in (taps, points))
        values = np.array(matrix("values", points, taps)) @ taps_
        products = values * (np.array(matrix("numbers", points, points)) @ numbers)
        y = np.array(matrix("results", points, results)) @ products
        assert list(y) == [(taps_ * numbers[i : i + taps]).sum() for i in range(results)]
        assert {(points, taps), (points, results)} <= set(SIZES)


def test_points_differ():
    assert len(set(POINTS)) == len(POINTS) == MOST_POINTS


@pytest.mark.parametrize(
    "name", ["3x3", "3x3, one tile", "3x3, no pad", "3x3, images that blocks do not divide", "5x5"]
)
def test_tiles_of_a_block_have_places_of_their_own(name):
    t = tiles(name)
    strips = t.images * t.rows
    for first in range(strips):
        for last in range(first + 1, strips + 1):
            places = {}
            for strip in range(first, last):
                inner, edge = positions(t, first, last, strip)
                for column in range(t.columns):
                    places[strip, column] = edge if column == t.columns - 1 else inner + column
            assert sorted(places.values()) == list(range((last - first) * t.columns))
            for i in (0, t.last_h + t.taps - 2, t.points_h - 1):
                for j in (0, t.last_w + t.taps - 2, t.points_w - 1):
                    having = {
                        place
                        for (strip, column), place in places.items()
                        if (i < t.last_h + t.taps - 1 or strip % t.rows < t.rows - 1)
                        and (j < t.last_w + t.taps - 1 or column < t.columns - 1)
                    }
                    begin, end = span(t, first, last, i, j)
                    assert having == set(range(begin, end))


def test_products_are_those_of_the_tiles():
    t = tiles("3x3, no pad")
    # 9 results of 4 + 4 + 1, 6 of 3 + 3: 6 + 6 + 3 and 5 + 5 points.
    assert t.products == 15 * 10


def alexnet(images, **changes):
    shape = {
        "x_shape": (images, 256, 13, 13),
        "y_shape": (images, 384, 13, 13),
        "kernel": (3, 3),
        "stride": (1, 1),
        "pad": (1, 1),
        "dilation": (1, 1),
        "group": 1,
    }
    return Convolution(**(shape | changes))


def test_it_is_taken_where_it_saves():
    forward, data, filters = choose(alexnet(64), get_backend("cpu", "float32", 2))
    assert (filters.images, filters.channels, filters.filters) == (64, 256, 384)
    assert (forward.images, forward.channels, forward.filters) == (64, 256, 384)
    assert (data.images, data.channels, data.filters, data.pad_height) == (64, 384, 256, 1)
    assert winograd_cost(forward) < columns_cost(alexnet(64))


@pytest.mark.parametrize(
    "changes",
    [
        {"kernel": (3, 4), "y_shape": (64, 384, 13, 12)},
        {"stride": (2, 1), "y_shape": (64, 384, 7, 13)},
        {"dilation": (2, 2), "pad": (2, 2)},
        {"kernel": (1, 1), "pad": (0, 0)},
        {"kernel": (9, 9), "pad": (4, 4)},
        {"x_shape": (64, 1, 13, 13), "y_shape": (64, 1, 13, 13)},
        {"x_shape": (64, 384, 13, 13), "group": 384},
        {"x_shape": (0, 256, 13, 13), "y_shape": (0, 384, 13, 13)},
        {"kernel": (3,), "stride": (1,), "pad": (1,), "dilation": (1,), "x_shape": (64, 256, 169)}
        | {"y_shape": (64, 384, 169)},
    ],
    ids=str,
)
def test_it_is_not_taken(changes):
    assert choose(alexnet(64, **changes), get_backend("cpu", "float32", 2)) == (None, None, None)


def test_it_is_not_taken_for_few_multiplications():
    small = alexnet(2, x_shape=(2, 3, 6, 5), y_shape=(2, 4, 6, 5))
    assert choose(small, get_backend("cpu", "float32", 2)) == (None, None, None)


def test_one_image_is_worth_transforming_filters_but_not_their_gradients():
    forward, data, filters = choose(alexnet(1), get_backend("cpu", "float32", 2))
    assert forward is not None
    assert data is not None
    assert filters is None


def test_it_is_not_taken_in_float64():
    assert choose(alexnet(64), get_backend("cpu", "float64", 2)) == (None, None, None)


def test_a_strided_convolutions_data_gradient_and_that_of_a_large_pad_are_not():
    strided = alexnet(64, kernel=(11, 11), stride=(4, 4), x_shape=(64, 64, 59, 59), pad=(2, 2))
    forward, data, filters = choose(strided, get_backend("cpu", "float32", 2))
    assert forward is not None
    assert filters is not None
    assert data is None
    padded = alexnet(64, pad=(3, 3), y_shape=(64, 384, 17, 17))
    assert choose(padded, get_backend("cpu", "float32", 2))[1] is None


@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "group"), [(3, 1, 1, 1), (3, 1, 0, 2), (5, 1, 2, 2), (11, 4, 2, 1), (3, 1, 3, 1)]
)
@pytest.mark.parametrize("batch", [1, 3])
def test_the_op_computes_the_same_by_either(kernel, stride, pad, group, batch, monkeypatch):
    made = []

    class Noted(Winograd):
        def __init__(self, *arguments):
            made.append(self)
            super().__init__(*arguments)

    monkeypatch.setattr("caffepy.cpu.conv.Winograd", Noted)
    monkeypatch.setattr("caffepy.cpu._conv_choice._PASS", -1e15)
    random = np.random.default_rng(2)
    x = random.standard_normal((batch, 4, 13, 15)).astype(np.float32)
    w = random.standard_normal((6, 4 // group, kernel, kernel)).astype(np.float32)
    b = random.standard_normal(6).astype(np.float32)
    rest = (stride, stride), (pad, pad), (1, 1), group
    y = conv(*(a.astype(np.float64) for a in (x, w, b)), *rest)
    dy = random.standard_normal(y.shape).astype(np.float32)
    dx, dw, db = conv_gradients(*(a.astype(np.float64) for a in (x, w, dy)), *rest)
    op = backend().ops.Conv(backend(), 6, (kernel, kernel), *rest)
    op.plan(x.shape, y.shape)
    assert len(made) == (3 if stride == 1 and pad < kernel else 2)
    results = [np.full_like(dy, np.nan), np.full_like(x, np.nan), np.zeros_like(w), np.zeros_like(b)]
    op.forward(x, w, b, results[0])
    op.backward_data(dy, w, results[1])
    op.backward_filter(x, dy, results[2])
    op.backward_bias(dy, results[3])
    for got, want, what in zip(results, (y, dx, dw, db), ("y", "dx", "dw", "db"), strict=True):
        assert_near(got, want, what)


def test_steps_between_points_fall_into_different_sets():
    for count in (1, 15, 16, 17, 1024, 5000, 49 * 384 * 9):
        step = winograd._step(count)
        assert count <= step < count + 1040
        assert step // 16 % 64 == 1
