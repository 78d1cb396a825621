"""Layers that multiply and add by channel, and what their numbers make of the weights of a layer beside them.

All arithmetic is in float64; weights are of the shapes that Caffe stores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.proto import caffe_pb2

__all__ = ["AFFINE", "WEIGHTED", "Affine", "Inexact", "affine", "channels_out", "fold_after", "fold_before"]

Values = NDArray[np.float64]

#: Layers that can be folded, and those that they can be folded into.
AFFINE = ("BatchNorm", "Scale", "Bias")
WEIGHTED = ("Convolution", "InnerProduct", "Deconvolution")


class Inexact(Exception):
    """Why a layer is not what can be folded; its text goes on after "layer 'x' ... is kept: "."""


@dataclass(frozen=True)
class Affine:
    """``y = factor * x + shift`` for each channel, ``(C,)``; or for all alike, ``(1,)``."""

    factor: Values
    shift: Values


def affine(
    layer: caffe_pb2.LayerParameter, blobs: Sequence[NDArray[Any]], shape: tuple[int, ...], channels: int
) -> Affine:
    """What a BatchNorm, Scale or Bias layer of a net in TEST does to its bottom.

    Args:
        blobs: the layer's.
        shape: of its bottom.
        channels: how many there are along axis 1, as the layer that it is folded into knows them.

    Raises:
        Inexact: it does something else.
    """
    values = [np.asarray(blob, np.float64) for blob in blobs]
    if len(layer.bottom) > 1:
        raise Inexact(
            f"what it {'multiplies by' if layer.type == 'Scale' else 'adds'} is computed, '{layer.bottom[1]}'"
        )
    if len(shape) < 2:
        raise Inexact(f"its bottom of shape {shape} has no channels")
    if layer.type == "BatchNorm":
        param = layer.batch_norm_param
        if param.HasField("use_global_stats") and not param.use_global_stats:
            raise Inexact("use_global_stats is false: it takes mean and variance from each batch, in TEST too")
        mean, variance, weight = values
        # Before the first training pass the weight is 0, and mean and variance count as 0.
        share = 0.0 if not weight[0] else 1.0 / weight[0]
        factor = 1.0 / np.sqrt(variance * share + param.eps)
        return Affine(factor, -mean * share * factor)
    settings = layer.scale_param if layer.type == "Scale" else layer.bias_param
    axis = settings.axis + len(shape) if settings.axis < 0 else settings.axis
    wanted = values[0].shape
    if math.prod(wanted) == 1:
        values = [value.reshape(1) for value in values]
    elif axis == 1 and math.prod(wanted) == wanted[0] == channels:
        values = [value.reshape(-1) for value in values]
    else:
        raise Inexact(f"its numbers of shape {wanted}, laid from axis {axis}, are not one for each channel")
    if layer.type == "Bias":
        return Affine(np.ones(1), values[0])
    return Affine(values[0], values[1] if len(values) > 1 else np.zeros(1))


def _settings(layer: caffe_pb2.LayerParameter) -> tuple[int, int]:
    """A weighted layer's axis and num_output."""
    if layer.type == "InnerProduct":
        return layer.inner_product_param.axis, layer.inner_product_param.num_output
    return layer.convolution_param.axis, layer.convolution_param.num_output


def channels_out(layer: caffe_pb2.LayerParameter, dimensions: int) -> int:
    """How many channels a weighted layer makes along axis 1 of a top of so many axes.

    Raises:
        Inexact: they are along another axis.
    """
    axis, outputs = _settings(layer)
    # The top of an InnerProduct has the axes before its own, and one of outputs.
    if dimensions != 2 if layer.type == "InnerProduct" else axis not in (1, 1 - dimensions):
        raise Inexact(f"the outputs of {layer.type} '{layer.name}' are not along axis 1")
    return int(outputs)


def fold_after(layer: caffe_pb2.LayerParameter, blobs: Sequence[Values], after: Affine) -> list[Values]:
    """Weight and bias with which ``layer`` makes what ``after`` makes of its top now: ``w * factor``, and so on."""
    weight = blobs[0]
    _, outputs = _settings(layer)
    factor = np.broadcast_to(after.factor, (outputs,))
    if layer.type == "Deconvolution":
        # (C_in, num_output / group, ...): the inputs of a group make its part of the outputs.
        groups = layer.convolution_param.group
        each = factor.reshape(groups, 1, outputs // groups)
        split = weight.reshape(groups, len(weight) // groups, outputs // groups, -1)
        folded = (split * each[..., None]).reshape(weight.shape)
    elif layer.type == "InnerProduct" and layer.inner_product_param.transpose:
        folded = weight * factor
    else:
        folded = weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
    if len(blobs) > 1:
        return [folded, blobs[1].reshape(-1) * factor + after.shift]
    return [folded, np.broadcast_to(after.shift, (outputs,))] if np.any(after.shift) else [folded]


def fold_before(
    layer: caffe_pb2.LayerParameter, blobs: Sequence[Values], before: Affine, channels: int
) -> list[Values]:
    """Weight and bias with which ``layer`` makes of ``x`` what it makes now of ``factor * x + shift``.

    Args:
        channels: of ``x``.

    Raises:
        Inexact: there are none: zeros are padded after the shift, or not every output sums over all of the window.
    """
    weight = blobs[0]
    shifts = bool(np.any(before.shift))
    factor, shift = (np.broadcast_to(values, (channels,)) for values in (before.factor, before.shift))
    _, outputs = _settings(layer)
    if layer.type == "InnerProduct":
        transposed = layer.inner_product_param.transpose
        rows = weight.T if transposed else weight
        split = rows.reshape(outputs, channels, -1)
        added = (split * shift[:, None]).sum((1, 2))
        folded = (split * factor[:, None]).reshape(rows.shape)
        folded = np.ascontiguousarray(folded.T) if transposed else folded
    elif layer.type == "Deconvolution":
        if shifts:
            raise Inexact(
                f"Deconvolution '{layer.name}' sums over fewer values at the borders, so its shift is no bias there"
            )
        folded, added = weight * factor.reshape(-1, *[1] * (weight.ndim - 1)), np.zeros(outputs)
    else:
        param = layer.convolution_param
        if shifts and (any(param.pad) or param.pad_h or param.pad_w):
            raise Inexact(f"Convolution '{layer.name}' pads with zeros, which would have to be shifted too")
        grouped = weight.reshape(param.group, outputs // param.group, channels // param.group, -1)
        by_group = (param.group, 1, channels // param.group, 1)
        added = (grouped * shift.reshape(by_group)).sum((2, 3)).reshape(-1)
        folded = (grouped * factor.reshape(by_group)).reshape(weight.shape)
    if len(blobs) > 1:
        return [folded, blobs[1].reshape(-1) + added]
    return [folded, added] if shifts else [folded]
