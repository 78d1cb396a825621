"""Where a loss that is no longer a number comes from."""

from __future__ import annotations

import math
from collections.abc import Iterator

from caffepy.backend import Array
from caffepy.errors import SolverError
from caffepy.net.build import Entry
from caffepy.net.net import Net

__all__ = ["check_loss"]

# -log(FLT_MIN): what a softmax loss is when the right class has probability zero.
_SATURATED = 87.3365


def check_loss(net: Net, loss: float, iteration: int, updates: int = 0) -> None:
    """Refuse to go on from a loss that is NaN or infinite; ``updates`` have been made of it since.

    Raises:
        SolverError: names the first blob, in the order of the pass, that is not finite.
    """
    if math.isfinite(loss):
        return
    since = (
        f"{updates} updates were made since; nothing was written, and the snapshot before it is unharmed. With "
        "display: 1 the loss is looked at in each iteration."
        if updates
        else "Nothing was updated or written in this iteration; the snapshot before it is unharmed."
    )
    raise SolverError(
        f"Iteration {iteration}: loss = {loss}. {_first_bad(net)} {since} What helps: a smaller base_lr, "
        "clip_gradients: 35, a look at the data (caffepy check-data), or debug_info: true with display: 1 to see the "
        f"sizes of all blobs grow. (A loss of {_SATURATED} before means a softmax that was already certain of the "
        "wrong class.)"
    )


def _as_made(net: Net) -> Iterator[Entry]:
    """The layers in their order, each while its tops hold what it made in the last pass."""
    if net.memory is None:
        yield from net.entries
        return
    # What a layer made has lain where others did since: each runs again, in the same pass.
    net.counter.value -= 1
    for entry in net.entries:
        if entry.bottom:
            entry.layer.forward(entry.bottom, entry.top)
        yield entry


def _first_bad(net: Net) -> str:
    for entry in _as_made(net):
        layer = entry.layer
        for i, blob in enumerate(layer.blobs):
            if bad := _bad(net, blob.data):
                return (
                    f"The first bad blob is learnable blob {i} of layer '{layer.name}' ({layer.type}): {bad}; "
                    "an earlier update has spoiled it."
                )
        for name, blob in zip(entry.top_names, entry.top, strict=True):
            if bad := _bad(net, blob.data):
                read = ", ".join(
                    f"'{bottom}' up to {float(abs(source.data).max()):g} in size"
                    for bottom, source in zip(entry.bottom_names, entry.bottom, strict=True)
                    if source.count
                )
                return f"The first bad blob is '{name}', made by layer '{layer.name}' ({layer.type}): {bad}" + (
                    f"; it reads {read}." if read else "; it is data as it comes in."
                )
    return "All blobs are finite; their sum is not."


def _bad(net: Net, values: Array) -> str:
    count = values.size - int(net.backend.xp.isfinite(values).sum())
    return f"{count} of {values.size} values are NaN or infinite" if count else ""
