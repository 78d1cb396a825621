"""The check of layers that are for images alone."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer

__all__ = ["check_images"]


def check_images(layer: Layer, bottom: Blob) -> None:
    """Check that ``bottom`` is (N, C, H, W).

    Raises:
        LayerError: it has other than four axes.
    """
    if len(bottom.shape) != 4:
        raise layer.error(
            f"Input must have 4 axes, corresponding to (num, channels, height, width); got shape {bottom.shape_string}."
        )
