"""PyTorch: a forward pass of the net of `caffepy_inference`, in inference mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from caffepy.proto import caffe_pb2
from tests.benchmarks.nets import benchmark_net
from tests.benchmarks.sides import PROBABILITIES
from tests.benchmarks.sides.torch_training import build, tensors

__all__ = ["Side"]


class Side:
    """Arguments as those of `caffepy_inference`; ``channels_last`` is the memory layout."""

    def __init__(self, model: str, batch: int, threads: int, folder: str, channels_last: bool = False) -> None:
        torch.set_num_threads(threads)
        param = benchmark_net(model, batch, train=False)
        self.net = build(param, folder, channels_last, caffe_pb2.TEST)
        self.values = tensors(param, channels_last)
        self.step()
        wanted = np.load(Path(folder) / PROBABILITIES, allow_pickle=False)
        self.facts: dict[str, Any] = {"difference": float(np.abs(self.out.numpy() - wanted).max() / wanted.max())}

    def step(self) -> None:
        """One pass."""
        with torch.inference_mode():
            self.out = self.net(self.values)
