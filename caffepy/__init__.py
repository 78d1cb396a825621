"""Caffe as a Python library: nets from prototxt, solvers, layers; on NumPy or CuPy.

::

    import caffepy as caffe

    solver = caffe.get_solver("models/lenet/solver.prototxt")
    solver.solve()

The names are pycaffe's, so scripts written for Caffe run: see docs/from_pycaffe.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from caffepy import aliases as _aliases

if TYPE_CHECKING:
    from caffepy.as_caffe import install_as_caffe
    from caffepy.backend import Backend
    from caffepy.blob import Blob
    from caffepy.devices import get_backend
    from caffepy.errors import CaffepyError
    from caffepy.layer import Layer, layer_types, register_layer
    from caffepy.layer import layer_types as layer_type_list
    from caffepy.proto.caffe_pb2 import TEST, TRAIN, NetState
    from caffepy.pycaffe.classifier import Classifier
    from caffepy.pycaffe.detector import Detector
    from caffepy.pycaffe.log import init_log, log
    from caffepy.pycaffe.mode import (
        has_nccl,
        set_device,
        set_mode_cpu,
        set_mode_gpu,
        set_multiprocess,
        set_random_seed,
        set_solver_count,
        set_solver_rank,
        solver_count,
        solver_rank,
    )
    from caffepy.pycaffe.nccl import NCCL
    from caffepy.pycaffe.net import Net
    from caffepy.pycaffe.net_spec import NetSpec, params, to_proto
    from caffepy.pycaffe.solver import (
        AdaDeltaSolver,
        AdaGradSolver,
        AdamSolver,
        NesterovSolver,
        RMSPropSolver,
        SGDSolver,
        Solver,
        get_solver,
    )
    from caffepy.pycaffe.timer import Timer
    from caffepy.solver import Observer

__version__ = "0.1.0"

__all__ = [
    "NCCL",
    "TEST",
    "TRAIN",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Backend",
    "Blob",
    "CaffepyError",
    "Classifier",
    "Detector",
    "Layer",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "NetState",
    "Observer",
    "RMSPropSolver",
    "SGDSolver",
    "Solver",
    "Timer",
    "__version__",
    "get_backend",
    "get_solver",
    "has_nccl",
    "init_log",
    "install_as_caffe",
    "layer_type_list",
    "layer_types",
    "log",
    "params",
    "register_layer",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
    "to_proto",
]

# Where each name comes from. Looked up at first use (PEP 562): `caffepy --help` waits for neither NumPy nor protobuf.
_HOME = {
    "NCCL": "caffepy.pycaffe.nccl",
    "TEST": "caffepy.proto.caffe_pb2",
    "TRAIN": "caffepy.proto.caffe_pb2",
    "AdaDeltaSolver": "caffepy.pycaffe.solver",
    "AdaGradSolver": "caffepy.pycaffe.solver",
    "AdamSolver": "caffepy.pycaffe.solver",
    "Backend": "caffepy.backend",
    "Blob": "caffepy.blob",
    "CaffepyError": "caffepy.errors",
    "Classifier": "caffepy.pycaffe.classifier",
    "Detector": "caffepy.pycaffe.detector",
    "Layer": "caffepy.layer",
    "NesterovSolver": "caffepy.pycaffe.solver",
    "Net": "caffepy.pycaffe.net",
    "NetSpec": "caffepy.pycaffe.net_spec",
    "NetState": "caffepy.proto.caffe_pb2",
    "Observer": "caffepy.solver",
    "RMSPropSolver": "caffepy.pycaffe.solver",
    "SGDSolver": "caffepy.pycaffe.solver",
    "Solver": "caffepy.pycaffe.solver",
    "Timer": "caffepy.pycaffe.timer",
    "get_backend": "caffepy.devices",
    "get_solver": "caffepy.pycaffe.solver",
    "has_nccl": "caffepy.pycaffe.mode",
    "init_log": "caffepy.pycaffe.log",
    "install_as_caffe": "caffepy.as_caffe",
    "layer_type_list": "caffepy.layer:layer_types",
    "layer_types": "caffepy.layer",
    "log": "caffepy.pycaffe.log",
    "params": "caffepy.pycaffe.net_spec",
    "register_layer": "caffepy.layer",
    "set_device": "caffepy.pycaffe.mode",
    "set_mode_cpu": "caffepy.pycaffe.mode",
    "set_mode_gpu": "caffepy.pycaffe.mode",
    "set_multiprocess": "caffepy.pycaffe.mode",
    "set_random_seed": "caffepy.pycaffe.mode",
    "set_solver_count": "caffepy.pycaffe.mode",
    "set_solver_rank": "caffepy.pycaffe.mode",
    "solver_count": "caffepy.pycaffe.mode",
    "solver_rank": "caffepy.pycaffe.mode",
    "to_proto": "caffepy.pycaffe.net_spec",
}
# Modules that scripts use without importing them: caffe.io.load_image, caffe.proto.caffe_pb2, caffe.layers.Data.
_MODULES = {"layers": "caffepy.layers", "proto": "caffepy.proto.caffe_pb2"} | {
    name: f"caffepy.pycaffe.{name}" for name in _aliases.HELPERS
}

_aliases.find_aliases()


def __getattr__(name: str) -> object:
    if name in _MODULES:
        module = importlib.import_module(_MODULES[name])
        # Importing caffepy.proto.caffe_pb2 has set caffepy.proto by itself.
        return globals().setdefault(name, module)
    if name not in _HOME:
        raise AttributeError(f"module 'caffepy' has no attribute '{name}'. It has: {', '.join(__all__)}.")
    module_name, _, there = _HOME[name].partition(":")
    value = getattr(importlib.import_module(module_name), there or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
