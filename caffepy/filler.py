"""Initial values of learnable blobs: constant, uniform, gaussian, positive_unitball, xavier, msra, bilinear.

Values are drawn on the host, from a stream of (seed, layer, blob), and then copied: all devices start from equal bits.
Source: Caffe's include/caffe/filler.hpp; Glorot and Bengio, AISTATS 2010 (xavier); He et al., arXiv 1502.01852 (msra).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from caffepy.errors import LayerError, did_you_mean
from caffepy.proto import caffe_pb2
from caffepy.random import Stream

__all__ = ["FILLERS", "fill"]

Values: TypeAlias = NDArray[Any]
Shape: TypeAlias = tuple[int, ...]


def fill(filler: caffe_pb2.FillerParameter, shape: Shape, stream: Stream, step: int = 0) -> Values:
    """Values of ``shape`` as ``filler`` says, float32, drawn from ``stream`` at ``step``.

    Raises:
        LayerError: an unknown type, no elements, or settings that its type does not have.
    """
    make = FILLERS.get(filler.type)
    if make is None:
        hint = did_you_mean(filler.type, list(FILLERS))
        raise LayerError(f"Unknown filler name: '{filler.type}'.{hint} Known fillers: {', '.join(sorted(FILLERS))}.")
    if filler.sparse != -1 and filler.type != "gaussian":
        raise LayerError(
            f"Sparsity not supported by this Filler: 'sparse' is for type gaussian; got type '{filler.type}'."
        )
    if _count(shape) == 0:
        raise LayerError(
            f"a blob to be filled has at least one element (Check failed: blob->count()); got shape {shape}."
        )
    return make(filler, shape, stream, step)


def _count(shape: Shape) -> int:
    return math.prod(shape)


def _fan(filler: caffe_pb2.FillerParameter, shape: Shape) -> float:
    """The n of xavier and msra: inputs of an output unit, outputs of an input unit, or their mean."""
    fan_in = _count(shape) / max(shape[0], 1) if shape else 1
    fan_out = _count(shape) / max(shape[1], 1) if len(shape) > 1 else _count(shape)
    kind = caffe_pb2.FillerParameter
    if filler.variance_norm == kind.AVERAGE:
        return (fan_in + fan_out) / 2
    return fan_out if filler.variance_norm == kind.FAN_OUT else fan_in


def _uniform(low: float, high: float, shape: Shape, stream: Stream, step: int) -> Values:
    values = stream.uniform(_count(shape), step)
    values *= np.float32(high - low)
    values += np.float32(low)
    return values.reshape(shape)


def constant(filler: caffe_pb2.FillerParameter, shape: Shape, stream: Stream, step: int) -> Values:
    """x = value (0 unless given)."""
    return np.full(shape, filler.value, np.float32)


def uniform(filler: caffe_pb2.FillerParameter, shape: Shape, stream: Stream, step: int) -> Values:
    """x ~ U[min, max)."""
    if filler.min > filler.max:
        raise LayerError(
            f"uniform filler: min must not exceed max (Check failed: a <= b); got {filler.min} and {filler.max}."
        )
    if not filler.max - filler.min <= float(np.finfo(np.float32).max):
        raise LayerError(
            f"uniform filler: from min to max must be a finite number; got {filler.min:g} and {filler.max:g}."
        )
    return _uniform(filler.min, filler.max, shape, stream, step)


def gaussian(filler: caffe_pb2.FillerParameter, shape: Shape, stream: Stream, step: int) -> Values:
    """x ~ N(mean, std^2); with ``sparse: s`` all but about s inputs of each output unit are zero."""
    if not 0 <= filler.std < math.inf:
        raise LayerError(f"gaussian filler: std must not be negative, and finite; got {filler.std}.")
    if filler.sparse < -1:
        raise LayerError(
            f"gaussian filler: sparse must be at least -1 (Check failed: sparse >= -1); got {filler.sparse}."
        )
    values = stream.normal(_count(shape), step, filler.std, filler.mean)
    if filler.sparse >= 0:
        keep = filler.sparse / max(shape[0] if shape else 1, 1)
        # The words after those that the normal numbers were made of.
        words = stream.bits(2 * len(values) + 1, step)[-len(values) :]
        values *= words < keep * 2.0**32
    return values.reshape(shape)


def positive_unitball(filler: caffe_pb2.FillerParameter, shape: Shape, stream: Stream, step: int) -> Values:
    """x in [0, 1], and the values of each output unit add up to 1."""
    rows = stream.uniform(_count(shape), step).reshape(shape[0] if shape else 1, -1)
    rows /= rows.sum(axis=1, keepdims=True)
    return rows.reshape(shape)


def xavier(filler: caffe_pb2.FillerParameter, shape: Shape, stream: Stream, step: int) -> Values:
    """x ~ U(-a, a), a = sqrt(3 / n), n = fan in, fan out, or their mean, as ``variance_norm`` says."""
    limit = math.sqrt(3 / _fan(filler, shape))
    return _uniform(-limit, limit, shape, stream, step)


def msra(filler: caffe_pb2.FillerParameter, shape: Shape, stream: Stream, step: int) -> Values:
    """x ~ N(0, 2 / n), n = fan in, fan out, or their mean, as ``variance_norm`` says."""
    return stream.normal(_count(shape), step, math.sqrt(2 / _fan(filler, shape))).reshape(shape)


def bilinear(filler: caffe_pb2.FillerParameter, shape: Shape, stream: Stream, step: int) -> Values:
    """The interpolation kernel of a Deconvolution that upsamples; square filters of four axes only."""
    if len(shape) != 4:
        raise LayerError(f"bilinear filler: Blob must be 4 dim; got shape {shape}.")
    if shape[2] != shape[3]:
        raise LayerError(f"bilinear filler: Filter must be square; got {shape[2]} x {shape[3]}.")
    factor = math.ceil(shape[3] / 2)
    centre = (shape[3] - 1) / (2 * factor)
    ramp = 1 - np.abs(np.arange(shape[3]) / factor - centre)
    return np.broadcast_to(np.outer(ramp, ramp).astype(np.float32), shape).copy()


FILLERS: dict[str, Callable[[caffe_pb2.FillerParameter, Shape, Stream, int], Values]] = {
    "bilinear": bilinear,
    "constant": constant,
    "gaussian": gaussian,
    "msra": msra,
    "positive_unitball": positive_unitball,
    "uniform": uniform,
    "xavier": xavier,
}
