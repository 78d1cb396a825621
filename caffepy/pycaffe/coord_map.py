"""Where a pixel of one layer's output lies in another's, and Crop layers made from that: pycaffe's ``caffe.coord_map``.

A map (axis, scale, shift) says that coordinate x of what a layer reads is ``scale * x + shift`` of what it makes; axis
is the last one before the coordinates, None where any will do. Fully convolutional nets crop their output by it to the
size of their input.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from caffepy.errors import NetError
from caffepy.pycaffe.net_spec import Function, Top, layers

__all__ = [
    "PASS_THROUGH_LAYERS",
    "AxisMismatchException",
    "CropError",
    "UndefinedMapException",
    "compose",
    "conv_params",
    "coord_map",
    "coord_map_from_to",
    "crop",
    "crop_params",
    "inverse",
]

#: Types of layers that leave coordinates alone.
PASS_THROUGH_LAYERS = [
    "AbsVal", "BatchNorm", "Bias", "BNLL", "Clip", "Dropout", "ELU", "Eltwise", "Exp", "LRN", "Log", "MVN", "PReLU",
    "Power", "ReLU", "Scale", "Sigmoid", "Split", "Swish", "TanH", "Threshold",
]  # fmt: skip
_LEGACY = ("pad_h", "pad_w", "kernel_h", "kernel_w", "stride_h", "stride_w")

Map: TypeAlias = tuple["int | None", Any, Any]


class UndefinedMapException(NetError):
    """A layer of this type has no map."""


class AxisMismatchException(NetError):
    """Two maps are of different axes."""


class CropError(NetError, AssertionError):
    """Two tops that cannot be cropped to each other."""


def conv_params(fn: Function) -> tuple[int, Any, Any, Any]:
    """Axis, stride, extent of the dilated kernel, and pad of a Convolution, Deconvolution, Im2col or Pooling.

    Raises:
        CropError: given by ``kernel_h`` and the like, or without kernel_size.
    """
    params = fn.params.get("convolution_param", fn.params.get("pooling_param", fn.params))
    if old := sorted({*_LEGACY} & {*params}):
        raise CropError(f"{fn.type_name}: cropping does not support legacy _h/_w params; got {', '.join(old)}.")
    if "kernel_size" not in params:
        raise CropError(f"{fn.type_name}: kernel_size is not given.")
    kernel, dilation, stride, pad = (
        np.array(params.get(name, default), ndmin=1)
        for name, default in (("kernel_size", 1), ("dilation", 1), ("stride", 1), ("pad", 0))
    )
    return params.get("axis", 1), stride, (kernel - 1) * dilation + 1, pad


def crop_params(fn: Function) -> tuple[int, Any]:
    """Axis and offset of a Crop."""
    params = fn.params.get("crop_param", fn.params)
    return params.get("axis", 2), np.array(params.get("offset", 0), ndmin=1)


def coord_map(fn: Function) -> Map:
    """The map of a layer, from what it reads to what it makes.

    Raises:
        UndefinedMapException: a type that has none, InnerProduct for one.
    """
    if fn.type_name in ("Convolution", "Pooling", "Im2col"):
        axis, stride, extent, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (extent - 1) / 2) / stride
    if fn.type_name == "Deconvolution":
        axis, stride, extent, pad = conv_params(fn)
        return axis, stride, (extent - 1) / 2 - pad
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, 1, -offset
    if fn.type_name in PASS_THROUGH_LAYERS:
        return None, 1, 0
    raise UndefinedMapException(f"Coordinates of what a {fn.type_name} layer makes are not those of what it reads.")


def compose(base_map: Map, next_map: Map) -> Map:
    """The map of ``next_map`` and then ``base_map``.

    Raises:
        AxisMismatchException: they are of different axes.
    """
    base_axis, base_scale, base_shift = base_map
    next_axis, next_scale, next_shift = next_map
    if base_axis is not None and next_axis is not None and base_axis != next_axis:
        raise AxisMismatchException(f"A map of axis {base_axis} does not fit one of axis {next_axis}.")
    axis = next_axis if base_axis is None else base_axis
    return axis, base_scale * next_scale, base_scale * next_shift + base_shift


def inverse(coord_map: Map) -> Map:
    """The map in the other direction."""
    axis, scale, shift = coord_map
    return axis, 1 / scale, -shift / scale


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """The map from ``top_from`` to ``top_to``, by way of a top that both are made from.

    Raises:
        NetError: there is none, or only through layers without a map.
    """
    from_maps = dict(_maps(top_from))
    for top, to_map in _maps(top_to):
        if top in from_maps:
            return compose(to_map, inverse(from_maps[top]))
    raise NetError("Could not compute map between tops; are they connected by spatial layers?")


def _maps(top: Top) -> Iterator[tuple[Top, Map]]:
    """The maps to ``top`` from all that it is made from, nearest first."""
    maps: dict[Top, Map] = {top: (None, 1, 0)}
    waiting = [top]
    while waiting:
        current = waiting.pop(0)
        yield current, maps[current]
        try:
            step = coord_map(current.fn)
        except UndefinedMapException:
            continue
        # The second bottom of a Crop gives a size and no pixels.
        for bottom in current.fn.inputs[: 1 if current.fn.type_name == "Crop" else None]:
            if bottom not in maps:
                maps[bottom] = compose(maps[current], step)
                waiting.append(bottom)


def crop(top_from: Top, top_to: Top) -> Top:
    """A Crop layer that cuts ``top_from`` to the size and place of ``top_to``.

    Raises:
        CropError: they differ in scale, or by a fraction of a pixel, or ``top_from`` lacks pixels that ``top_to`` has;
            NetError: no map leads from one to the other.
    """
    axis, scale, shift = coord_map_from_to(top_from, top_to)
    shift = np.array(shift, ndmin=1)
    if (np.asarray(scale) != 1).any():
        raise CropError(f"scale mismatch on crop (a = {scale}): strides must multiply to those of what is cropped to.")
    if (shift > 0).any():
        raise CropError(f"cannot crop negative offset (b = {shift}): what is to be cropped begins further in.")
    if (np.round(shift) != shift).any():
        raise CropError(f"cannot crop noninteger offset (b = {shift}): kernels of odd extent have a middle pixel.")
    made: Top = layers.Crop(
        top_from,
        top_to,
        crop_param={"axis": 1 + (1 if axis is None else axis), "offset": [int(value) for value in -np.round(shift)]},
    )
    return made
