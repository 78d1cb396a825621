"""PyTorch: a training pass, layer by layer, each with a graph of its own."""

from __future__ import annotations

import time
from typing import Any

import torch

from tests.benchmarks.nets import benchmark_net
from tests.benchmarks.sides.torch_training import build, tensors

__all__ = ["Side"]


class Side:
    """The net of `caffepy_layers`, with its weights; ``parts`` as there."""

    def __init__(
        self,
        model: str,
        batch: int,
        threads: int,
        folder: str,
        clock: str = "wall",
        channels_last: bool = False,
    ) -> None:
        torch.set_num_threads(threads)
        param = benchmark_net(model, batch)
        self.net = build(param, folder, channels_last)
        self.values = tensors(param, channels_last)
        self.facts: dict[str, Any] = {"version": torch.__version__}
        self.now = (lambda: time.process_time() / threads) if clock == "cpu" else time.perf_counter
        self.step()
        self.step()

    def step(self) -> None:
        """One pass forward, and for each layer a pass backward from a gradient of ones."""
        self.taken: dict[str, float] = {}
        blobs = dict(self.values)
        for name, module, bottoms, top in self.net.steps:
            # The input learns nothing; labels have no gradient. A copy, as ReLU in place may not change a leaf.
            leaves = [blobs[bottom].detach().requires_grad_(bottom not in self.values) for bottom in bottoms]
            copies = [
                leaf.clone(memory_format=torch.preserve_format) if leaf.requires_grad else leaf for leaf in leaves
            ]
            before = self.now()
            out = module(*copies)
            self.taken[f"{name} forward"] = self.now() - before
            wanted = [leaf for leaf in leaves if leaf.requires_grad] + list(module.parameters())
            gradient = torch.full_like(out, 1e-3)
            if out.grad_fn is not None and wanted:
                self._backward(name, out, wanted, gradient)
            blobs[top] = out.detach()

    def _backward(self, name: str, out: torch.Tensor, wanted: list[torch.Tensor], gradient: torch.Tensor) -> None:
        before = self.now()
        torch.autograd.grad(out, wanted, gradient)
        self.taken[f"{name} backward"] = self.now() - before

    def parts(self) -> dict[str, float]:
        """Of the last step."""
        return self.taken
