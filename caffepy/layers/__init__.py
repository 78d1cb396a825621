"""The layers, one prototxt type a file; `caffepy.layer` finds them by walking this folder.

A file whose name begins with an underscore is no type, but what several have in common.

pycaffe's name for its layer functions is the same: after ``from caffepy import layers as L``, ``L.Convolution(bottom,
num_output=20, kernel_size=5)`` is a layer of a net that is written in Python, see `caffepy.pycaffe.net_spec`. Names of
modules have small letters, those of types begin with a capital.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__: list[str] = []


def __getattr__(name: str) -> Any:
    if not name[:1].isupper():
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'.")
    # By name: layers know nothing of pycaffe.
    return getattr(importlib.import_module("caffepy.pycaffe.net_spec").layers, name)
