"""Going through a net's data once: how many batches that takes, and how much of the last one is new."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from caffepy.errors import NetError
from caffepy.layers._batches import BatchLayer

if TYPE_CHECKING:
    from caffepy.net.net import Net

__all__ = ["Epoch", "find_epoch", "label_name"]


@dataclass(frozen=True)
class Epoch:
    """``records`` shown ``batch`` at a time."""

    records: int
    batch: int

    @property
    def batches(self) -> int:
        """Passes that show all records."""
        return -(-self.records // self.batch)

    def new_rows(self, number: int) -> int:
        """Rows of batch ``number``, from 0, that no batch before had: all but at the end, where data begins again."""
        return max(0, min(self.batch, self.records - number * self.batch))


def find_epoch(net: Net) -> Epoch:
    """The epoch of the net's data layers.

    Raises:
        NetError: there is no data layer with an end, or several end at different records.
    """
    found = {
        entry.layer.name: Epoch(entry.layer.records, entry.top[0].shape[0])
        for entry in net.entries
        if isinstance(entry.layer, BatchLayer) and entry.layer.records
    }
    if not found:
        raise NetError(
            f"net '{net.name}' has no data that ends: expected a Data, ImageData or HDF5Data layer in this phase. "
            "Say how many batches to take (--batches), or give the prototxt that was tested with, not the deploy one."
        )
    if len(set(found.values())) > 1:
        each = ", ".join(f"'{name}' {epoch.records} by {epoch.batch}" for name, epoch in found.items())
        raise NetError(
            f"net '{net.name}': its data layers have different numbers of records: {each}. "
            "Say how many batches to take (--batches)."
        )
    return next(iter(found.values()))


def label_name(net: Net) -> str | None:
    """The blob of the labels, ``(N,)``: the second top of a layer of images, else one named "label"; None without."""
    for entry in net.entries:
        if entry.layer.type in ("Data", "ImageData", "MemoryData", "WindowData") and len(entry.top_names) == 2:
            return entry.top_names[1]
    return "label" if "label" in net.blobs else None
