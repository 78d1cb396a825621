"""Caffe's messages: the schema (caffe_pb2), prototxts with their lines (text, lines), files, old formats (upgrade)."""

from __future__ import annotations

import importlib
from types import ModuleType

__all__: list[str] = []


def __getattr__(name: str) -> ModuleType:
    # Scripts say caffe.proto.caffe_pb2 without importing it.
    if name == "caffe_pb2":
        return importlib.import_module("caffepy.proto.caffe_pb2")
    raise AttributeError(f"module 'caffepy.proto' has no attribute '{name}'.")
