"""caffepy: a forward pass of a deploy net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from caffepy.backend import Backend
from caffepy.devices import get_backend
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from tests.benchmarks.nets import benchmark_net
from tests.benchmarks.sides import CAFFEMODEL, PROBABILITIES, WEIGHTS
from tests.benchmarks.sides.caffepy_training import fill

__all__ = ["Side"]

# Images whose statistics BatchNorm stores.
_STATISTICS = 8


class Side:
    """A net in TEST, with first weights and, where it has BatchNorm, the statistics of a few images.

    Args:
        model: a folder of ``models/``.
        batch: images.
        threads: of the backend.
        folder: where to leave the weights and the result for other sides.
    """

    def __init__(self, model: str, batch: int, threads: int, folder: str) -> None:
        backend = get_backend("cpu", threads=threads)
        weights = Path(folder) / CAFFEMODEL
        if not weights.exists():
            _write_weights(backend, model, weights)
        param = benchmark_net(model, batch, train=False)
        self.net = Net(param, caffe_pb2.TEST, backend, weights=weights, share_memory=True)
        blobs = {f"{name}|{i}": blob.data for name, own in self.net.params.items() for i, blob in enumerate(own)}
        np.savez(Path(folder) / WEIGHTS, **blobs)
        fill(self.net, param)
        self.step()
        np.save(Path(folder) / PROBABILITIES, self.net.blobs[self.net.outputs[0]].data)
        self.facts: dict[str, Any] = {"difference": 0.0}

    def step(self) -> None:
        """One pass."""
        self.net.forward()


def _write_weights(backend: Backend, model: str, path: Path) -> None:
    """Those that the fillers of the net to train give, and what its BatchNorms see in one pass."""
    param = benchmark_net(model, _STATISTICS)
    with Net(param, caffe_pb2.TRAIN, backend, seed=1) as net:
        fill(net, param)
        net.forward()
        net.save(path)
