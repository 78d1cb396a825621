"""caffepy.filler: each filler against its formula; equal draws from equal streams; every refusal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffepy.errors import LayerError
from caffepy.filler import FILLERS, fill
from caffepy.proto.caffe_pb2 import FillerParameter
from caffepy.random import Stream

ORACLE = Path(__file__).parents[1] / ".." / "shared" / "oracle" / "layers" / "deconv_bilinear_filler.npz"
SHAPE = (64, 32, 5, 3)
COUNT = 64 * 32 * 5 * 3
STREAM = Stream(1, "conv1", "blob", 0)


def filled(shape=SHAPE, stream=STREAM, step=0, **settings):
    return fill(FillerParameter(**settings), shape, stream, step)


def assert_moments(values, mean, std, kurtosis):
    """Mean and standard deviation within five standard errors; kurtosis is E(x - mean)^4 / std^4."""
    values = values.astype(np.float64)
    assert abs(values.mean() - mean) < 5 * std / np.sqrt(values.size)
    assert abs(values.var() - std**2) < 5 * std**2 * np.sqrt((kurtosis - 1) / values.size)


def assert_uniform(values, low, high):
    assert values.min() >= low
    assert values.max() <= high
    # The ends are nearly reached.
    assert values.min() < low + (high - low) * 1e-3
    assert values.max() > high - (high - low) * 1e-3
    assert_moments(values, (low + high) / 2, (high - low) / np.sqrt(12), 1.8)


@pytest.mark.parametrize("kind", sorted(set(FILLERS) - {"bilinear"}))
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 4), (2, 3, 4, 5), (2, 3, 1, 2, 2)])
def test_every_filler_gives_float32_of_the_shape(kind, shape):
    values = filled(shape, type=kind)
    assert values.shape == shape
    assert values.dtype == np.float32
    assert np.isfinite(values).all()


@pytest.mark.parametrize("kind", sorted(set(FILLERS) - {"bilinear", "constant"}))
def test_draws_depend_on_stream_and_step_alone(kind):
    base = filled(type=kind)
    assert (filled(type=kind) == base).all()
    assert (filled(type=kind, stream=Stream(1, "conv1", "blob", 0)) == base).all()
    assert (filled(type=kind, stream=Stream(1, "conv1", "blob", 1)) != base).any()
    assert (filled(type=kind, step=1) != base).any()


def test_constant():
    assert (filled(type="constant", value=0.25) == np.float32(0.25)).all()
    assert (filled() == 0).all()


def test_uniform():
    assert_uniform(filled(type="uniform", min=-0.5, max=2), -0.5, 2)
    assert_uniform(filled(type="uniform"), 0, 1)


def test_gaussian():
    assert_moments(filled(type="gaussian", mean=3, std=0.1), 3, 0.1, 3)
    assert_moments(filled(type="gaussian"), 0, 1, 3)


def test_sparse_gaussian_keeps_about_sparse_inputs_of_each_unit():
    dense = filled((50, 2000), type="gaussian", std=2)
    values = filled((50, 2000), type="gaussian", std=2, sparse=5)
    kept = values != 0
    # Caffe keeps each weight with probability sparse / num_output.
    share = 5 / 50
    assert abs(kept.mean() - share) < 5 * np.sqrt(share * (1 - share) / kept.size)
    assert (values[kept] == dense[kept]).all()
    assert (filled((50, 2000), type="gaussian", sparse=0) == 0).all()


def test_positive_unitball():
    values = filled(type="positive_unitball")
    assert values.min() >= 0
    np.testing.assert_allclose(values.reshape(64, -1).astype(np.float64).sum(axis=1), 1, rtol=1e-5)
    # Uniform before they are divided by their sum: the largest is about twice the mean.
    assert 1.9 < values.max() * (COUNT / 64) < 2.2


FANS = [("FAN_IN", 32 * 15), ("FAN_OUT", 64 * 15), ("AVERAGE", 48 * 15)]


@pytest.mark.parametrize(("norm", "n"), FANS)
def test_xavier(norm, n):
    limit = np.sqrt(3 / n)
    assert_uniform(filled(type="xavier", variance_norm=norm), np.float32(-limit), np.float32(limit))


@pytest.mark.parametrize(("norm", "n"), FANS)
def test_msra(norm, n):
    assert_moments(filled(type="msra", variance_norm=norm), 0, np.sqrt(2 / n), 3)


@pytest.mark.parametrize("size", range(1, 8))
def test_bilinear(size):
    values = filled((2, 3, size, size), type="bilinear")
    factor = (size + 1) // 2
    centre = (size - 1) / (2 * factor)
    for y in range(size):
        for x in range(size):
            expected = (1 - abs(x / factor - centre)) * (1 - abs(y / factor - centre))
            np.testing.assert_allclose(values[:, :, y, x], expected, rtol=1e-6)
    # A kernel is symmetric, or it would move the image that it enlarges.
    np.testing.assert_allclose(values, values[:, :, ::-1, ::-1], rtol=1e-6)


def test_bilinear_is_that_of_caffe():
    if not ORACLE.is_file():
        pytest.skip("no ../shared/oracle beside the checkout: BVLC Caffe's recorded results are not compared")
    with np.load(ORACLE, allow_pickle=False) as file:
        expected = file["param/l/0"]
    np.testing.assert_allclose(filled(expected.shape, type="bilinear"), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "shape", "match"),
    [
        ({"type": "gausian"}, SHAPE, r"Unknown filler name: 'gausian'\. Did you mean 'gaussian'\?.*xavier"),
        ({"type": "xavier", "sparse": 3}, SHAPE, r"Sparsity not supported by this Filler.*'xavier'"),
        ({"type": "uniform", "min": 1, "max": 0.5}, SHAPE, r"Check failed: a <= b.*got 1\.0 and 0\.5"),
        ({"type": "gaussian", "std": -1}, SHAPE, r"std must not be negative, and finite; got -1"),
        ({"type": "gaussian", "std": float("nan")}, SHAPE, "std must not be negative, and finite; got nan"),
        ({"type": "uniform", "max": float("nan")}, SHAPE, "must be a finite number; got 0 and nan"),
        ({"type": "uniform", "min": -3e38, "max": 3e38}, SHAPE, "must be a finite number; got -3e"),
        ({"type": "gaussian", "sparse": -2}, SHAPE, r"Check failed: sparse >= -1\); got -2"),
        ({"type": "xavier"}, (3, 0), r"Check failed: blob->count\(\)\); got shape \(3, 0\)"),
        ({"type": "bilinear"}, (2, 3, 4), r"Blob must be 4 dim; got shape \(2, 3, 4\)"),
        ({"type": "bilinear"}, (2, 3, 4, 5), r"Filter must be square; got 4 x 5"),
    ],
)
def test_refusals(settings, shape, match):
    with pytest.raises(LayerError, match=match):
        filled(shape, **settings)
