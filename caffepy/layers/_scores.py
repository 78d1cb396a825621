"""Scores of classes, and the labels that they are held against."""

from __future__ import annotations

import math

from caffepy.blob import Blob
from caffepy.layer import Layer

__all__ = ["scores_shape"]


def scores_shape(layer: Layer, scores: Blob, labels: Blob, axis: int, what: str) -> tuple[int, int, int]:
    """``scores`` as (outer, classes, inner), classes along ``axis``; ``labels`` are then (outer, inner).

    Raises:
        LayerError: no such axis, which the field ``what`` names, or another number of labels.
    """
    axis = layer.axis(scores, axis, what)
    outer, classes, inner = math.prod(scores.shape[:axis]), scores.shape[axis], math.prod(scores.shape[axis + 1 :])
    if outer * inner != labels.count:
        raise layer.error(
            f"Number of labels must match number of predictions: scores {scores.shape_string} with classes along axis "
            f"{axis} need {outer * inner} labels, got {labels.shape_string}. For scores (N, C, H, W) and axis 1, label "
            "count must be N*H*W, with integer values in {0, 1, ..., C-1}."
        )
    return outer, classes, inner
