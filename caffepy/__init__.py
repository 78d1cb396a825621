"""Caffe as a Python library: nets from prototxt, solvers, layers; on NumPy or CuPy.

::

    import caffepy

    solver = caffepy.get_solver("models/lenet/solver.prototxt")
    solver.solve()
"""

from __future__ import annotations

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
