"""Figures of matplotlib: made without a screen, written whole or not at all, in the kind that a name ends in."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from caffepy.errors import CaffepyError, did_you_mean
from caffepy.proto.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["KINDS", "check_kind", "new_figure", "save_figure"]

#: What pictures can be, by the ending of the file's name.
KINDS = ("png", "svg", "pdf")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches."""
    # Without a home folder it says so at length; the picture is the same.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def check_kind(path: str | os.PathLike[str]) -> str:
    """The kind of picture that the name of ``path`` ends in.

    Raises:
        CaffepyError: none of `KINDS`.
    """
    ending = os.path.splitext(os.fspath(path))[1].lstrip(".")
    if ending.lower() not in KINDS:
        hint = did_you_mean(ending, list(KINDS))
        raise CaffepyError(
            f"{os.fspath(path)}: pictures are {', '.join(KINDS)}, told by the end of the name; got '{ending}'.{hint}"
        )
    return ending.lower()


def save_figure(figure: Figure, path: str | os.PathLike[str], *, dpi: int = 110) -> None:
    """Write ``figure`` as the kind of picture that the name of ``path`` ends in.

    Raises:
        CaffepyError: another ending than `KINDS`.
        OSError: the file cannot be written.
    """
    import matplotlib

    kind = check_kind(path)
    # The same figure gives the same bytes: no date in the file, no random names.
    metadata = {} if kind == "png" else {"Date": None} if kind == "svg" else {"CreationDate": None}
    with matplotlib.rc_context({"svg.hashsalt": "caffepy"}), atomic_write(path) as file:
        figure.savefig(file, format=kind, dpi=dpi, metadata=metadata)
