"""How near two results must be: one table by kind of arithmetic and dtype.

==============  ===========================================  ====================================================
kind            what differs                                 used for
==============  ===========================================  ====================================================
``copy``        nothing: values are moved                    Concat, Slice, Flatten, Reshape, ...
``elementwise`` the last bits of one function                ReLU, Sigmoid, Power, Dropout, Split, Scale, ...
``sum``         the order in which products are added        Convolution, InnerProduct, LRN, losses, ... and others
``winograd``    sums of transformed inputs                   3x3 convolutions where that algorithm computes them
``gradient``    a central difference and the derivative      `caffepy.testing.check_gradient`
==============  ===========================================  ====================================================

float64 rows are no tighter than 1e-7 relative: a setting in a prototxt, such as 0.1, is a float32 there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from caffepy.errors import CaffepyError

__all__ = ["KINDS", "TOLERANCES", "Tolerance", "kind_of", "tolerance"]


@dataclass(frozen=True)
class Tolerance:
    """``|got - expected| <= atol + rtol * |expected|`` is near enough."""

    rtol: float
    atol: float


TOLERANCES: dict[tuple[str, str], Tolerance] = {
    ("copy", "float32"): Tolerance(0.0, 0.0),
    ("copy", "float64"): Tolerance(0.0, 0.0),
    ("elementwise", "float32"): Tolerance(1e-5, 1e-6),
    ("elementwise", "float64"): Tolerance(2e-7, 1e-8),
    ("sum", "float32"): Tolerance(1e-4, 1e-5),
    ("sum", "float64"): Tolerance(2e-7, 1e-8),
    ("winograd", "float32"): Tolerance(5e-4, 1e-4),
    ("winograd", "float64"): Tolerance(2e-7, 1e-8),
    ("gradient", "float64"): Tolerance(1e-6, 1e-8),
}

#: The kind of each prototxt type; "sum" where it is not listed.
KINDS: dict[str, str] = {
    "Concat": "copy",
    "Crop": "copy",
    "Filter": "copy",
    "Flatten": "copy",
    "Reshape": "copy",
    "Silence": "copy",
    "Slice": "copy",
    "AbsVal": "elementwise",
    "BatchReindex": "elementwise",
    "Bias": "elementwise",
    "BNLL": "elementwise",
    "Clip": "elementwise",
    "Dropout": "elementwise",
    "ELU": "elementwise",
    "Eltwise": "elementwise",
    "Exp": "elementwise",
    "Im2col": "elementwise",
    "Log": "elementwise",
    "Power": "elementwise",
    "PReLU": "elementwise",
    "ReLU": "elementwise",
    "Scale": "elementwise",
    "Sigmoid": "elementwise",
    "Split": "elementwise",
    "Swish": "elementwise",
    "TanH": "elementwise",
    "Threshold": "elementwise",
}


def kind_of(layer_type: str) -> str:
    """The row of the table for layers of ``layer_type``: its entry in `KINDS`, else "sum"."""
    return KINDS.get(layer_type, "sum")


def tolerance(kind: str, dtype: Any) -> Tolerance:
    """The entry for ``kind`` and ``dtype``.

    Raises:
        CaffepyError: the table has no such row.
    """
    key = (kind, np.dtype(dtype).name)
    if key not in TOLERANCES:
        known = ", ".join(f"{kind} {name}" for kind, name in TOLERANCES)
        raise CaffepyError(f"No tolerance for {key[0]!r} in {key[1]}. The table has: {known}.")
    return TOLERANCES[key]
