"""Caffe as a Python library: nets from prototxt, solvers, layers; on NumPy or CuPy.

::

    import caffepy

    solver = caffepy.get_solver("models/lenet/solver.prototxt")
    solver.solve()
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from caffepy.backend import Backend
    from caffepy.blob import Blob
    from caffepy.devices import get_backend
    from caffepy.errors import CaffepyError
    from caffepy.layer import Layer, layer_types, register_layer
    from caffepy.net import Net
    from caffepy.proto.caffe_pb2 import TEST, TRAIN
    from caffepy.solver import Observer, Solver, get_solver

__version__ = "0.1.0"

__all__ = [
    "TEST",
    "TRAIN",
    "Backend",
    "Blob",
    "CaffepyError",
    "Layer",
    "Net",
    "Observer",
    "Solver",
    "__version__",
    "get_backend",
    "get_solver",
    "layer_types",
    "register_layer",
]

# Where each name comes from. Looked up at first use (PEP 562): `caffepy --help` waits for neither NumPy nor protobuf.
_HOME = {
    "TEST": "caffepy.proto.caffe_pb2",
    "TRAIN": "caffepy.proto.caffe_pb2",
    "Backend": "caffepy.backend",
    "Blob": "caffepy.blob",
    "CaffepyError": "caffepy.errors",
    "Layer": "caffepy.layer",
    "Net": "caffepy.net",
    "Observer": "caffepy.solver",
    "Solver": "caffepy.solver",
    "get_backend": "caffepy.devices",
    "get_solver": "caffepy.solver",
    "layer_types": "caffepy.layer",
    "register_layer": "caffepy.layer",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'caffepy' has no attribute '{name}'. It has: {', '.join(__all__)}.")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
