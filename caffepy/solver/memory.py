"""Whether the memory holds a training run: weights, gradients and history, and the values between layers."""

from __future__ import annotations

from collections.abc import Sequence

from caffepy.backend import SMALLER
from caffepy.errors import SolverError
from caffepy.net import Net
from caffepy.net.build import Entry

__all__ = ["check_memory"]


def check_memory(net: Net, test_nets: Sequence[Net], history_count: int) -> None:
    """Refuse a run that needs more than there is, before any of it is taken.

    A net by itself was refused where its values do not fit; to train, each learnable blob is needed ``2 +
    history_count`` times more (all data in one array, all diffs, the history), and each top that the backward pass goes
    through has a diff, unless blobs share memory.

    Raises:
        SolverError: with the bytes needed and available, the layer that needs most, and the batch that would fit.
    """
    available = net.backend.available_memory()
    learned = {id(param.blob): param.blob for param in net.learnable_params}
    needs = [_need(net, entry, set(learned), history_count) for entry in net.entries]
    total = sum(needs) + sum(_need(test_net, entry, set(), 0) for test_net in test_nets for entry in test_net.entries)
    total += sum(each.memory.size for each in (net, *test_nets) if each.memory) * net.backend.dtype.itemsize
    if total <= available:
        return
    worst = max(range(len(needs)), key=needs.__getitem__, default=-1)
    most = (
        f"Most of them are for layer '{net.entries[worst].layer.name}' ({net.entries[worst].layer.type}), "
        f"{needs[worst]:,}. "
        if needs
        else ""
    )
    raise SolverError(
        f"Training net '{net.name}' needs {total:,} bytes more than it has, and {available:,} are available: out of "
        f"memory. {most}{SMALLER} {_what_fits(net, total, available, history_count)}"
    )


def _what_fits(net: Net, total: int, available: int, history_count: int) -> str:
    """The batch that would fit, as far as the values of a batch grow with it."""
    batch = next((blob.shape[0] for entry in net.entries for blob in entry.top if blob.shape), 1)
    weights = sum(param.blob.count for param in net.learnable_params) * net.backend.dtype.itemsize
    fixed = weights * (2 + history_count)
    fits = int((available - fixed) * batch // max(total - fixed, 1))
    if not 0 < fits < batch:
        return "iter_size keeps the gradient of a large batch with a smaller batch_size."
    return (
        f"A batch_size of about {fits} in place of {batch} would fit, and learns the same with iter_size "
        f"{-(-batch // fits)} times as large."
    )


def _need(net: Net, entry: Entry, learned: set[int], history_count: int) -> int:
    tops = 0
    for blob in entry.top:
        data, diff = net.memory.owns(blob) if net.memory else (False, False)
        tops += 0 if data else blob.unallocated
        tops += blob.unallocated_diff if entry.need_backward and not diff else 0
    own = sum(blob.count for blob in entry.layer.blobs if id(blob) in learned)
    return tops + own * entry.layer.backend.dtype.itemsize * (2 + history_count)
