"""The losses of passes, fetched from the device several at a time, so that no pass waits for one."""

from __future__ import annotations

import numpy as np

from caffepy.net.net import Net

__all__ = ["Losses"]


class Losses:
    """What each forward pass of a training net gave, until somebody must know.

    Args:
        net: its weighted losses are noted.
    """

    def __init__(self, net: Net) -> None:
        self._backend = net.backend
        self._parts = [
            (weight, blob)
            for entry in net.entries
            for weight, blob in zip(entry.loss_weights, entry.top, strict=True)
            if weight
        ]
        self._values = self._backend.zeros((self._backend.fetch_every, max(len(self._parts), 1)))
        self._passes: list[tuple[int, int]] = []

    @property
    def full(self) -> bool:
        """Whether the next pass has no room: `take` first. On the CPU that is so after each."""
        return len(self._passes) == len(self._values)

    def note(self, iteration: int, sub: int) -> None:
        """Keep the losses of the pass that has just run forward, on the device."""
        row = self._values[len(self._passes)]
        for i, (_, blob) in enumerate(self._parts):
            row[i : i + 1] = blob.data.reshape(1) if blob.count == 1 else blob.data.sum()
        self._passes.append((iteration, sub))

    def take(self) -> list[tuple[int, int, float]]:
        """(iteration, sub, weighted sum of losses) of each pass since the last call, in order; waits for the device."""
        if not self._passes:
            return []
        rows = self._backend.to_host(self._values[: len(self._passes)]).astype(np.float64)
        passes, self._passes = self._passes, []
        sums = [
            sum(weight * float(value) for (weight, _), value in zip(self._parts, row, strict=False)) for row in rows
        ]
        return [(iteration, sub, float(loss)) for (iteration, sub), loss in zip(passes, sums, strict=True)]
