"""How Scale and Bias lay a small blob along some axes of a large one."""

from __future__ import annotations

import math

from caffepy.blob import Blob
from caffepy.layer import Layer

__all__ = ["learned_shape", "outer_middle_inner"]


def learned_shape(layer: Layer, bottom: Blob, axis: int, num_axes: int, what: str) -> tuple[int, ...]:
    """The shape of a learned blob: ``num_axes`` sizes of ``bottom`` from ``axis`` on, all of them where that is -1.

    Raises:
        LayerError: the bottom has no such axes; ``what`` is "scale" or "bias".
    """
    begin = layer.axis(bottom, axis)
    if num_axes < -1:
        raise layer.error(f"num_axes must be non-negative, or -1 to extend to the end of bottom[0]; got {num_axes}.")
    end = len(bottom.shape) if num_axes == -1 else begin + num_axes
    if end > len(bottom.shape):
        raise layer.error(
            f"{what} blob's shape extends past bottom[0]'s shape when applied starting with bottom[0] axis = {begin}: "
            f"num_axes {num_axes}, bottom[0] {bottom.shape_string}."
        )
    return bottom.shape[begin:end]


def outer_middle_inner(layer: Layer, bottom: Blob, small: Blob, axis: int, what: str) -> tuple[int, int, int]:
    """``bottom`` as three axes, the middle one being what ``small`` covers; a scalar covers an axis of 1.

    Raises:
        LayerError: the shapes do not fit.
    """
    # Where a scalar is laid does not matter, so its axis need not exist.
    begin = layer.axis(bottom, axis) if small.shape else 0
    end = begin + len(small.shape)
    if end > len(bottom.shape):
        raise layer.error(
            f"{what} blob's shape extends past bottom[0]'s shape when applied starting with bottom[0] axis = {begin}: "
            f"{what} {small.shape_string}, bottom[0] {bottom.shape_string}."
        )
    if bottom.shape[begin:end] != small.shape:
        raise layer.error(
            f"dimension mismatch between bottom[0]->shape({begin}) and {what}->shape(0) or later ones: "
            f"bottom[0] {bottom.shape_string}, {what} {small.shape_string}."
        )
    return math.prod(bottom.shape[:begin]), small.count, math.prod(bottom.shape[end:])
