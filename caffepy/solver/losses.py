"""The losses of passes, fetched from the device several at a time, so that no pass waits for one."""

from __future__ import annotations

from caffepy.net.net import Net

__all__ = ["Losses"]


class Losses:
    """What each forward pass of a training net gave, until somebody must know.

    Args:
        net: its weighted losses are noted.
    """

    def __init__(self, net: Net) -> None:
        self._rows = net.backend.fetch_every
        parts = [
            (weight, blob)
            for entry in net.entries
            for weight, blob in zip(entry.loss_weights, entry.top, strict=True)
            if weight
        ]
        self._weights = [weight for weight, _ in parts]
        self._blobs = [blob for _, blob in parts]
        self._notes = net.backend.ops.Notes(net.backend)
        self._notes.plan(self._rows, len(parts))
        self._passes: list[tuple[int, int]] = []

    @property
    def full(self) -> bool:
        """Whether the next pass has no room: `take` first. On the CPU that is so after each."""
        return len(self._passes) == self._rows

    def note(self) -> None:
        """A step: keep the losses of the pass that has just run forward, on the device."""
        self._notes.forward(*(blob.data for blob in self._blobs))

    def expect(self, iteration: int, sub: int) -> None:
        """The host's part of `note`, each time that it is asked for: which pass that is."""
        self._passes.append((iteration, sub))

    def forget(self) -> None:
        """None of the passes since the last `take` counts."""
        self._passes.clear()

    def take(self) -> list[tuple[int, int, float]]:
        """(iteration, sub, weighted sum of losses) of each pass since the last call, in order; waits for the device."""
        passes, self._passes = self._passes, []
        if not passes:
            return []
        sums = [
            sum(weight * float(value) for weight, value in zip(self._weights, row, strict=True))
            for row in self._notes.fetch(len(passes))
        ]
        return [(iteration, sub, float(loss)) for (iteration, sub), loss in zip(passes, sums, strict=True)]
