"""PyTorch: the update of `caffepy_update` by torch.optim.SGD."""

from __future__ import annotations

from typing import Any

import torch

from caffepy.net import Net
from caffepy.proto import caffe_pb2
from tests.benchmarks.nets import benchmark_net
from tests.benchmarks.sides import RATE
from tests.benchmarks.torch_net import TorchNet

__all__ = ["Side"]


class Side:
    """Arguments as there; ``fused``: one kernel for all of a parameter's update, else foreach."""

    def __init__(self, model: str, threads: int, fused: bool = False) -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(1)
        param = benchmark_net(model, 1)
        with Net(param, caffe_pb2.TRAIN, fill_params=False) as shaped:
            net = TorchNet(param, {name: blob.shape for name, blob in shaped.blobs.items()})
        for p in net.parameters():
            p.data.normal_(0, 0.01)
            p.grad = 1e-4 * torch.randn_like(p)
        kind = {"fused": True} if fused else {"foreach": True}
        self.optimizer = torch.optim.SGD(net.groups(RATE, 5e-4, param), momentum=0.9, **kind)
        self.facts: dict[str, Any] = {"count": sum(p.numel() for p in net.parameters()), "version": torch.__version__}
        self.step()

    def step(self) -> None:
        """One update."""
        self.optimizer.step()
