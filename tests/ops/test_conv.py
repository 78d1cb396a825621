"""caffepy.cpu.conv against the definition, through every way in which it goes through images."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.testing import poisoned
from tests.reference.conv import conv, conv_gradients, output_size


def ones(axes):
    return (1,) * axes


def setting(x, num_output, kernel, stride=None, pad=None, dilation=None, group=1):
    axes = len(kernel)
    return x, num_output, kernel, stride or ones(axes), pad or (0,) * axes, dilation or ones(axes), group


SETTINGS = {
    "plain": setting((2, 3, 7, 6), 4, (3, 3)),
    "odd sizes": setting((3, 5, 9, 7), 3, (5, 3), (2, 3), (1, 2)),
    "stride above kernel": setting((2, 2, 11, 10), 3, (2, 1), (4, 3)),
    "stride above kernel, pad": setting((2, 2, 8, 8), 3, (2, 2), (5, 3), (1, 1)),
    "pad above kernel": setting((1, 2, 3, 4), 2, (2, 2), (1, 1), (4, 3)),
    "pad and stride 2": setting((2, 3, 7, 8), 4, (3, 3), (2, 2), (1, 1)),
    "dilation": setting((2, 3, 9, 11), 2, (3, 2), (1, 2), (2, 1), (2, 3)),
    "groups": setting((3, 6, 6, 5), 4, (3, 3), (1, 1), (1, 1), None, 2),
    "depthwise": setting((2, 5, 7, 7), 5, (3, 3), (2, 1), (1, 1), None, 5),
    "depthwise, two each": setting((2, 3, 5, 5), 6, (3, 3), None, (1, 1), None, 3),
    "1x1": setting((3, 5, 4, 6), 7, (1, 1)),
    "1x1 groups": setting((3, 6, 4, 5), 4, (1, 1), None, None, None, 2),
    "1x1 stride 2": setting((2, 3, 5, 6), 4, (1, 1), (2, 2)),
    "1x1 pad": setting((2, 3, 4, 4), 2, (1, 1), None, (1, 1)),
    "1x1 on 1x1": setting((4, 3, 1, 1), 5, (1, 1)),
    "kernel is the image": setting((5, 3, 4, 3), 6, (4, 3)),
    "kernel is the image, groups": setting((3, 4, 3, 3), 6, (3, 3), (2, 2), None, None, 2),
    "kernel is the image, pad": setting((3, 2, 3, 3), 4, (3, 3), (3, 3), (1, 1)),
    "kernel is the padded image": setting((2, 3, 3, 3), 4, (5, 5), None, (1, 1)),
    "one place, window inside": setting((3, 2, 4, 4), 3, (3, 3), (2, 2)),
    "window larger than the image": setting((2, 3, 2, 3), 2, (3, 3), (2, 2)),
    "dilated window larger than the image": setting((2, 3, 2, 2), 2, (2, 2), (2, 2), None, (2, 2)),
    "1-D": setting((3, 4, 13), 5, (3,), (2,), (1,), (2,)),
    "1-D groups": setting((2, 4, 9), 6, (4,), (3,), (2,), None, 2),
    "3-D": setting((2, 2, 5, 4, 6), 3, (3, 2, 3), (2, 1, 2), (1, 0, 1), (1, 2, 1)),
    "3-D groups": setting((2, 4, 3, 4, 3), 2, (2, 2, 2), None, None, None, 2),
    "3-D 1x1x1": setting((2, 3, 2, 3, 2), 4, (1, 1, 1)),
    "4-D": setting((1, 2, 3, 2, 3, 4), 2, (2, 1, 2, 3), (1, 1, 2, 1), (0, 1, 1, 0)),
    "no axis": setting((4, 5), 3, ()),
    "no axis, groups": setting((4, 6), 4, (), group=2),
    "batch 1": setting((1, 3, 8, 9), 5, (3, 3), (2, 2), (1, 1)),
    "batch 1 groups": setting((1, 4, 5, 5), 6, (3, 3), None, (1, 1), None, 2),
    "batch 1, one output": setting((1, 3, 5, 5), 1, (3, 3)),
    "batch 1 1x1": setting((1, 5, 4, 4), 6, (1, 1)),
    "batch 1, more places than filters": setting((1, 5, 9, 11), 6, (3, 3), None, (1, 1)),
    "batch 1 groups, more places than filters": setting((1, 6, 15, 11), 4, (3, 2), (1, 1), (1, 1), None, 2),
    "batch 1 1x1, more places than filters": setting((1, 5, 8, 9), 6, (1, 1)),
    "batch 1 whole": setting((1, 5, 4, 4), 6, (4, 4)),
    "batch 7": setting((7, 2, 6, 6), 3, (3, 3), None, (1, 1)),
}
NAMES = list(SETTINGS)


def arrays(name, dtype="float32", batch=None, seed=0):
    """x, w, b and dy of a setting."""
    x_shape, num_output, kernel, stride, pad, dilation, group = SETTINGS[name]
    random = np.random.default_rng(seed)
    output = [output_size(*each) for each in zip(x_shape[2:], kernel, stride, pad, dilation, strict=True)]
    batch = batch or x_shape[0]
    shapes = (
        (batch, *x_shape[1:]),
        (num_output, x_shape[1] // group, *kernel),
        (num_output,),
        (batch, num_output, *output),
    )
    return [random.standard_normal(shape).astype(dtype) for shape in shapes]


def make(name, dtype="float32", threads=2):
    backend = poisoned(get_backend("cpu", dtype, threads))
    _, *window = SETTINGS[name]
    return backend.ops.Conv(backend, *window)


def passes(op, x, w, b, dy, start=0.0):
    """y, dx, dw, db; outputs begin as NaN, gradients of parameters at ``start``."""
    op.plan(x.shape, dy.shape)
    y, dx = np.full_like(dy, np.nan), np.full_like(x, np.nan)
    dw, db = np.full_like(w, start), np.full_like(b, start)
    op.forward(x, w, b, y)
    op.backward_bias(dy, db)
    op.backward_filter(x, dy, dw)
    op.backward_data(dy, w, dx)
    return y, dx, dw, db


def check(name, results, x, w, b, dy):
    rest = SETTINGS[name][3:]
    near = {"rtol": 1e-4, "atol": 2e-5} if x.dtype == np.float32 else {"rtol": 1e-11, "atol": 1e-12}
    x, w, b, dy = (a.astype(np.float64) for a in (x, w, b, dy))
    expected = conv(x, w, b, *rest), *conv_gradients(x, w, dy, *rest)
    for got, want, what in zip(results, expected, ("y", "dx", "dw", "db"), strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, **near, err_msg=what)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("dtype", "threads"), [("float32", 1), ("float32", 2), ("float32", 3), ("float64", 2)])
def test_definition(name, dtype, threads):
    values = arrays(name, dtype)
    check(name, passes(make(name, dtype, threads), *values), *values)


@pytest.mark.parametrize("name", NAMES)
def test_without_bias(name):
    x, w, _b, dy = arrays(name, "float64")
    op = make(name, "float64")
    op.plan(x.shape, dy.shape)
    y = np.full_like(dy, np.nan)
    op.forward(x, w, None, y)
    np.testing.assert_allclose(y, conv(x, w, None, *SETTINGS[name][3:]), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ["pad and stride 2", "groups", "1x1", "kernel is the image", "3-D", "1-D"])
@pytest.mark.parametrize("batch", [1, 2, 5, 33])
@pytest.mark.parametrize("threads", [2, 3])
def test_batches_that_threads_do_not_divide(name, batch, threads):
    values = arrays(name, "float64", batch)
    check(name, passes(make(name, "float64", threads), *values), *values)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_parameters_accumulate(name):
    values = arrays(name, "float64")
    op = make(name, "float64")
    _, _, dw, db = passes(op, *values)
    _, _, more_dw, more_db = passes(op, *values, start=100.0)
    np.testing.assert_allclose(more_dw, dw + 100, rtol=1e-12)
    np.testing.assert_allclose(more_db, db + 100, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_other_shapes_and_back(name):
    values = arrays(name)
    op = make(name)
    first = passes(op, *values)
    for batch in (1, 6):
        others = arrays(name, batch=batch, seed=1)
        check(name, passes(op, *others), *others)
    for again, before in zip(passes(op, *values), first, strict=True):
        assert (again == before).all()


def test_another_image_size():
    op = make("pad and stride 2", "float64")
    for height, width in ((7, 8), (12, 5), (3, 3), (7, 8)):
        x = np.random.standard_normal((2, 3, height, width))
        _, w, b, _ = arrays("pad and stride 2", "float64")
        y_shape = conv(x, w, b, (2, 2), (1, 1), (1, 1), 1).shape
        dy = np.random.standard_normal(y_shape)
        check("pad and stride 2", passes(op, x, w, b, dy), x, w, b, dy)


def test_many_images_in_one_product():
    # Small images share products of the weights' gradient; 200 of them need several, the last not full.
    name = "batch 7"
    values = arrays(name, "float64", 203)
    op = make(name, "float64", 3)
    x, w, b, dy = values
    y, dx, dw, db = passes(op, *values)
    parts = [passes(make(name, "float64", 1), x[n : n + 1], w, b, dy[n : n + 1]) for n in range(203)]
    np.testing.assert_allclose(y, np.concatenate([part[0] for part in parts]), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(dx, np.concatenate([part[1] for part in parts]), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(dw, sum(part[2] for part in parts), rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(db, sum(part[3] for part in parts), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", ["dilation", "groups", "1x1", "kernel is the image", "no axis", "3-D"])
def test_gradients_are_differences_of_forward(name):
    x, w, b, dy = arrays(name, "float64")
    op = make(name, "float64")
    _, *grads = passes(op, x, w, b, dy)
    y = np.empty_like(dy)

    def loss():
        op.forward(x, w, b, y)
        return float(np.vdot(y, dy))

    for values, grad in zip((x, w, b), grads, strict=True):
        for flat in np.random.default_rng(3).choice(values.size, min(values.size, 12), replace=False):
            place = np.unravel_index(flat, values.shape)
            kept = values[place]
            values[place] = kept + 1e-3
            above = loss()
            values[place] = kept - 1e-3
            below = loss()
            values[place] = kept
            assert (above - below) / 2e-3 == pytest.approx(grad[place], rel=1e-7, abs=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_each_run_gives_the_same_bits(name):
    values = arrays(name, batch=5)
    op = make(name, threads=3)
    for left, right in zip(passes(op, *values), passes(op, *values), strict=True):
        assert (left == right).all()


def test_nan_and_infinity_of_one_image_stay_there():
    x, w, b, dy = arrays("plain")
    x[1, 0, 0, 0] = np.inf
    y, *_ = passes(make("plain"), x, w, b, dy)
    assert np.isfinite(y[0]).all()
    assert not np.isfinite(y[1, :, 0, 0]).any()
