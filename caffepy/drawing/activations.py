"""Pictures of what blobs hold for one record of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.drawing.panels import Panel, Tiles, Values, stretched
from caffepy.errors import DataError

__all__ = ["activations_panel"]

_NAMED = 5


def activations_panel(
    name: str, values: NDArray[Any], *, labels: list[str] | None = None, most: int = 256, each: bool = False
) -> Panel:
    """A panel of the values (C, H, W) of a record as gray images of its channels, or of (K,) as bars.

    Args:
        labels: names of the K classes, written beside the largest values; their numbers unless given.
        most: channels in the picture.
        each: let every channel have its own range of gray, and not all one.

    Raises:
        DataError: other axes.
    """
    x = np.asarray(values, np.float64)
    while x.ndim > 1 and x.shape[-1] == 1:
        x = x[..., 0]
    if x.ndim not in (1, 3) or not x.size:
        raise DataError(f"{name}: a record of shape {np.shape(values)} is no image and no row of values.")
    shape = "x".join(map(str, x.shape))
    # Adding 0 makes 0 of -0.
    spread = f"{x.min() + 0.0:.4g} to {x.max() + 0.0:.4g}"
    if x.ndim == 1:
        best = np.argsort(-np.nan_to_num(x, nan=-np.inf), kind="stable")[:_NAMED].tolist()
        known = labels if labels is not None and len(labels) == len(x) else [str(i) for i in range(len(x))]
        named = [(i, known[i]) for i in best] if len(x) > _NAMED or labels else []
        return Values(f"{name}: {shape}, {spread}", x, named)
    count = min(len(x), most)
    part = f", the first {count} of {len(x)} channels" if count < len(x) else ""
    return Tiles(f"{name}: {shape}, {spread}{part}", stretched(x[:count], each=each))
