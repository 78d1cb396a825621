"""PyTorch: one forward pass, backward pass and update, eager or compiled, in one of its two memory layouts."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from caffepy.net import Net
from caffepy.proto import caffe_pb2
from tests.benchmarks.nets import benchmark_net, inputs, without
from tests.benchmarks.sides import CHECK_BATCH, RATE, WEIGHTS
from tests.benchmarks.torch_net import TorchNet

__all__ = ["Side", "build", "read_weights", "tensors"]


class Side:
    """The same net, weights, images and update rule as `caffepy_training`.

    Args:
        model, batch, threads, drop: as there.
        folder: where the weights are.
        channels_last: the memory layout.
        compiled: run the net through torch.compile.
    """

    def __init__(
        self,
        model: str,
        batch: int,
        threads: int,
        folder: str,
        drop: Collection[str] = (),
        channels_last: bool = False,
        compiled: bool = False,
    ) -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(1)
        check = without(benchmark_net(model, CHECK_BATCH, drop=drop), ["Dropout"])
        net = build(check, folder, channels_last)
        loss = net(tensors(check, channels_last))
        loss.backward()
        self.facts: dict[str, Any] = {
            "loss": float(loss.detach()), "gradients": net.gradients(), "version": torch.__version__,
        }  # fmt: skip
        param = benchmark_net(model, batch, drop=drop)
        net = build(param, folder, channels_last)
        self.optimizer = torch.optim.SGD(net.groups(RATE, 5e-4, param), momentum=0.9, foreach=True)
        self.net = torch.compile(net) if compiled else net
        self.values = tensors(param, channels_last)
        for _ in range(2):
            self.step()

    def step(self) -> None:
        """One iteration, as PyTorch's users write it."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.net(self.values)
        loss.backward()
        self.optimizer.step()
        loss.item()


def read_weights(folder: str) -> dict[str, list[NDArray[np.float32]]]:
    """Parameters by layer, as `caffepy_training` left them."""
    params: dict[str, list[NDArray[np.float32]]] = {}
    with np.load(Path(folder) / WEIGHTS, allow_pickle=False) as file:
        for key in file.files:
            params.setdefault(key.rsplit("|", 1)[0], []).append(file[key])
    return params


def build(param: caffe_pb2.NetParameter, folder: str, channels_last: bool, phase: int = caffe_pb2.TRAIN) -> TorchNet:
    """The net with the weights of ``folder``."""
    with Net(param, phase, fill_params=False, check_memory=False) as shaped:
        shapes = {name: blob.shape for name, blob in shaped.blobs.items()}
    net = TorchNet(param, shapes)
    net.load(read_weights(folder))
    net.train(phase == caffe_pb2.TRAIN)
    return net.to(memory_format=torch.channels_last) if channels_last else net


def tensors(param: caffe_pb2.NetParameter, channels_last: bool) -> dict[str, torch.Tensor]:
    """The input as torch takes it: labels are whole numbers."""
    values = {}
    for name, array in inputs(param).items():
        value = torch.from_numpy(array)
        if value.dim() != 4:
            value = value.long()
        elif channels_last:
            value = value.contiguous(memory_format=torch.channels_last)
        values[name] = value
    return values
