"""Nets of one data layer, and what some passes of them give."""

from __future__ import annotations

import threading

import numpy as np

from caffepy.data.options import DataOptions
from caffepy.devices import get_backend
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net


def data_net(backend, text, phase=caffe_pb2.TEST, dtype="float32", seed=2, **options):
    """The net of prototxt ``text``, named n.prototxt in messages; ``options`` are those of DataOptions."""
    return Net(
        parse_net(text, "n.prototxt"), phase, get_backend(backend, dtype), seed=seed, data=DataOptions(**options)
    )


def limit_memory(monkeypatch, backend, size):
    """Let the device ``backend``, and the host, have ``size`` bytes that may be taken."""
    for name in ("available_memory", "available_host_memory"):
        monkeypatch.setattr(type(get_backend(backend)), name, lambda self: size)


def data_threads():
    """How many threads make batches; those that compute are the backend's, and stay."""
    return sum(thread.name.startswith("caffepy-data") for thread in threading.enumerate())


def passes(net, count, start=None):
    """The tops of ``count`` passes, each joined; from pass ``start`` where one is given."""
    if start is not None:
        net.counter.value = start
    found = []
    for _ in range(count):
        net.forward()
        found.append([np.array(blob.backend.to_host(blob.data)) for blob in net.blobs.values()])
    return [np.concatenate(values) for values in zip(*found, strict=True)]


def equal(one, other):
    """Whether two results of `passes` are the same to the bit."""
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
