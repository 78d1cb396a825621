"""caffepy: SGD's update of a net's parameters, alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffepy.devices import get_backend
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from tests.benchmarks.nets import benchmark_net
from tests.benchmarks.sides import RATE

__all__ = ["Side"]


class Side:
    """Momentum 0.9, decay 0.0005, the model's lr_mult and decay_mult; parameters and gradients are noise.

    Args:
        model: a folder of ``models/``.
        threads: of the backend.
    """

    def __init__(self, model: str, threads: int) -> None:
        backend = get_backend("cpu", threads=threads)
        with Net(benchmark_net(model, 1), caffe_pb2.TRAIN, backend, fill_params=False) as net:
            bounds, begin = [], 0
            for param in net.learnable_params:
                bounds.append((begin, begin + param.blob.count, param.lr_mult, param.decay_mult))
                begin += param.blob.count
        rng = np.random.default_rng(1)
        self.w = 0.01 * rng.standard_normal(begin, np.float32)
        self.dw = 1e-4 * rng.standard_normal(begin, np.float32)
        self.history = np.zeros(begin, np.float32)
        self.sgd = backend.ops.SGD(backend, 0.9)
        self.sgd.plan(bounds)
        self.facts: dict[str, Any] = {"count": begin}
        self.step()

    def step(self) -> None:
        """One update. Gradients become the step that was taken, as in Caffe; those of the next update are that."""
        self.sgd.update(self.w, self.dw, self.history, RATE, 5e-4, False, 1.0)
