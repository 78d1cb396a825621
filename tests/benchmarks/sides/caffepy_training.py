"""caffepy: one forward pass, backward pass and update."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from caffepy.backend import Backend
from caffepy.devices import get_backend
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from caffepy.solver import get_solver
from tests.benchmarks.nets import benchmark_net, inputs, without
from tests.benchmarks.sides import CHECK_BATCH, RATE, WEIGHTS
from tests.benchmarks.worker import peak_memory

__all__ = ["Side", "fill", "write_first_pass"]


class Side:
    """A solver on ``batch`` images of noise, the same in each step.

    Args:
        model: a folder of ``models/``.
        batch: images.
        drop: types of layers to leave out.
        folder: where to leave the first weights for other sides; none where nothing is to be compared.
        threads: of the backend.
        share: let blobs share memory, as `caffepy train` does.
    """

    def __init__(
        self,
        model: str,
        batch: int,
        threads: int,
        drop: Collection[str] = (),
        folder: str | None = None,
        share: bool = True,
    ) -> None:
        backend = get_backend("cpu", threads=threads)
        self.facts: dict[str, Any] = {"before": peak_memory()}
        if folder is not None:
            self.facts |= write_first_pass(backend, model, drop, folder)
        param = benchmark_net(model, batch, drop=drop)
        self.solver = get_solver(
            caffe_pb2.SolverParameter(
                net_param=param, type="SGD", base_lr=RATE, lr_policy="fixed", momentum=0.9, weight_decay=5e-4,
                random_seed=1, snapshot_after_train=False, max_iter=1_000_000,
            ),
            backend, share_memory=share,
        )  # fmt: skip
        fill(self.solver.net, param)
        for _ in range(2):
            self.step()

    def step(self) -> None:
        """One iteration."""
        self.solver.step(1)


def write_first_pass(backend: Backend, model: str, drop: Collection[str], folder: str) -> dict[str, Any]:
    """Leave the first weights in ``folder``; gives loss and norms of gradients of two images, without dropout."""
    param = without(benchmark_net(model, CHECK_BATCH, drop=drop), ["Dropout"])
    with Net(param, caffe_pb2.TRAIN, backend, seed=1) as net:
        fill(net, param)
        net.forward()
        net.backward()
        blobs = {f"{name}|{i}": blob.data for name, own in net.params.items() for i, blob in enumerate(own)}
        np.savez(Path(folder) / WEIGHTS, **blobs)
        return {"loss": net.loss(), "gradients": _gradients(net)}


def fill(net: Net, param: caffe_pb2.NetParameter) -> None:
    """Write the noise and labels of `inputs` into the net."""
    for name, value in inputs(param).items():
        net.blobs[name].data[...] = value


def _gradients(net: Net) -> dict[str, float]:
    return {
        f"{name} {i}": float(np.linalg.norm(blob.diff.astype(np.float64)))
        for name, own in net.params.items()
        if net.layer_dict[name].type != "BatchNorm"
        for i, blob in enumerate(own)
    }
