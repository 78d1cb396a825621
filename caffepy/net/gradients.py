"""Which layers need a backward pass, and for which bottoms: the analysis at the end of Caffe's Net::Init.

A layer needs one if something it makes, or makes later, adds to a loss, and if it, or something before it, learns.
"""

from __future__ import annotations

import logging

from caffepy.net.build import Entry

__all__ = ["find_gradients", "log_gradients"]

# By itself: what Caffe says of every net goes into logs, and not to a terminal.
_log = logging.getLogger("caffepy.net")


def find_gradients(entries: list[Entry], force_backward: bool) -> None:
    """Settle ``need_backward``, ``propagate_down`` and the layers' ``param_propagate_down``, in place.

    On entry the flags say what the learnable blobs ask for, from the first layer down.
    """
    under_loss: set[str] = set()
    skipped: set[str] = set()
    for entry in reversed(entries):
        contributes = any(entry.loss_weights) or not under_loss.isdisjoint(entry.top_names)
        # Without tops nothing asks for the gradient of anything here.
        skip = skipped.issuperset(entry.top_names)
        if entry.need_backward and skip:
            entry.need_backward = False
            entry.propagate_down = [False] * len(entry.bottom)
        if contributes:
            under_loss.update(entry.bottom_names)
        else:
            entry.need_backward = False
            entry.propagate_down = [False] * len(entry.bottom)
        skipped.update(
            name for name, needed in zip(entry.bottom_names, entry.propagate_down, strict=True) if not needed
        )
    if force_backward:
        for entry in entries:
            entry.need_backward = True
            entry.propagate_down = [
                needed or entry.layer.can_propagate(i) for i, needed in enumerate(entry.propagate_down)
            ]
            entry.layer.param_propagate_down = [True] * len(entry.layer.blobs)


def log_gradients(entries: list[Entry], outputs: list[str]) -> None:
    """Say which layers run backward, and what the net gives, in the words and order of Caffe's Net::Init."""
    for entry in reversed(entries):
        word, line = ("needs", 198) if entry.need_backward else ("does not need", 200)
        _log.info("%s %s backward computation.", entry.layer.name, word, extra={"place": f"net.cpp:{line}"})
    for name in outputs:
        _log.info("This network produces output %s", name, extra={"place": "net.cpp:242"})
    _log.info("Network initialization done.", extra={"place": "net.cpp:255"})
