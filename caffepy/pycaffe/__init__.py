"""pycaffe's interface: what ``import caffepy as caffe`` gives beside nets and layers of our own."""

from __future__ import annotations

import importlib

__all__: list[str] = []


def __getattr__(name: str) -> object:
    # Scripts say caffe.pycaffe.Net too.
    root = importlib.import_module("caffepy")
    if name in root.__all__:
        return getattr(root, name)
    raise AttributeError(f"module 'caffepy.pycaffe' has no attribute '{name}'.")
