"""caffepy: a training pass, layer by layer."""

from __future__ import annotations

import time
from typing import Any

from caffepy.devices import get_backend
from caffepy.net import Net
from caffepy.net.timing import time_layers
from caffepy.proto import caffe_pb2
from tests.benchmarks.nets import benchmark_net
from tests.benchmarks.sides.caffepy_training import fill, write_first_pass

__all__ = ["Side"]


class Side:
    """A net in TRAIN; ``parts`` are seconds, by layer and pass ("conv1 forward").

    Args:
        model: a folder of ``models/``.
        batch: images.
        threads: of the backend.
        folder: where to leave the weights for other sides.
        clock: "wall", or "cpu" for seconds that all threads worked, divided by their number.
    """

    def __init__(self, model: str, batch: int, threads: int, folder: str, clock: str = "wall") -> None:
        self.backend = get_backend("cpu", threads=threads)
        facts = write_first_pass(self.backend, model, (), folder)
        param = benchmark_net(model, batch)
        # Memory as in `caffepy train`.
        self.net = Net(param, caffe_pb2.TRAIN, self.backend, seed=1, share_memory=True)
        fill(self.net, param)
        self.now = (lambda: time.process_time() / threads) if clock == "cpu" else time.perf_counter
        self.step()
        self.step()
        # Work and traffic of each pass, for a roofline.
        timing = time_layers(self.net, 1)
        self.facts: dict[str, Any] = {
            **facts,
            "layers": [
                {
                    "name": layer.name, "type": layer.type,
                    "forward": layer.forward_flop, "backward": layer.backward_flop, "flop": layer.forward_flop,
                    "bytes": self._bytes(layer.name),
                }
                for layer in timing.layers
            ],
        }  # fmt: skip

    def _bytes(self, name: str) -> int:
        """Of all that a forward pass must read or write once: bottoms, tops, parameters."""
        entry = next(entry for entry in self.net.entries if entry.layer.name == name)
        count = sum(blob.count for blob in (*entry.bottom, *entry.top, *entry.layer.blobs))
        return count * self.backend.dtype.itemsize

    def step(self) -> None:
        """One pass forward and backward."""
        self.taken: dict[str, float] = {}
        self.net.clear_param_diffs()
        before = self.now()
        for entry in self.net.entries:
            entry.layer.reshape(entry.bottom, entry.top)
            entry.layer.forward(entry.bottom, entry.top)
            after = self.now()
            self.taken[f"{entry.layer.name} forward"] = after - before
            before = after
        for entry in reversed(self.net.entries):
            if entry.need_backward:
                entry.layer.backward(entry.top, entry.propagate_down, entry.bottom)
                after = self.now()
                self.taken[f"{entry.layer.name} backward"] = after - before
                before = after
        self.net.counter.value += 1

    def parts(self) -> dict[str, float]:
        """Of the last step."""
        return self.taken
