"""caffepy.cpu.arg_max against sorting, with ties and NaN."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from tests.reference.arg_max import arg_max


def run(x, top_k, threads=None):
    backend = get_backend("cpu", x.dtype.name, threads)
    op = backend.ops.ArgMax(backend, top_k)
    op.plan(x.shape)
    found = (x.shape[0], top_k, x.shape[2])
    places, values = np.full(found, np.nan, x.dtype), np.full(found, np.nan, x.dtype)
    op.forward(x, places, values)
    return places, values


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(2, 7, 3), (1, 1, 1), (5, 4, 1), (3, 20, 2)])
@pytest.mark.parametrize("ties", [False, True])
def test_every_top_k(shape, ties, dtype):
    x = np.random.standard_normal(shape).astype(dtype)
    if ties:
        x = np.round(x)
    for top_k in range(1, shape[1] + 1):
        places, values = run(x, top_k, 2)
        want_places, want_values = arg_max(x, top_k)
        assert (places == want_places).all()
        assert (values == want_values).all()


def test_the_last_of_equals_is_first():
    assert run(np.array([[[1], [3], [3], [2], [3]]], np.float32), 4)[0].ravel().tolist() == [4, 2, 1, 3]


def test_nan_is_the_largest():
    places, values = run(np.array([[[1], [np.nan], [np.inf], [-np.inf]]], np.float32), 3)
    assert places.ravel().tolist() == [1, 2, 0]
    assert np.isnan(values[0, 0, 0])
    assert run(np.array([[[np.nan], [2], [1]]], np.float32), 2)[0].ravel().tolist() == [0, 1]


def test_one_output_at_a_time_and_another_shape():
    backend = get_backend("cpu", "float32")
    op = backend.ops.ArgMax(backend, 1)
    for shape in ((2, 3, 4), (3, 5, 1)):
        x = np.random.standard_normal(shape).astype(np.float32)
        op.plan(shape)
        places, values = np.empty((shape[0], 1, shape[2]), np.float32), np.empty((shape[0], 1, shape[2]), np.float32)
        op.forward(x, places, None)
        op.forward(x, None, values)
        assert (places[:, 0] == x.argmax(1)).all()
        assert (values[:, 0] == x.max(1)).all()
