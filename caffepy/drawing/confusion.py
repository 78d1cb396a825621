"""A picture of a confusion matrix."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from caffepy.errors import DataError
from caffepy.monitor.figure import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["confusion_picture"]

# Classes up to which every class is named, and up to which every cell says its count.
_NAMED, _COUNTED = 60, 24
_LONGEST_LABEL = 24
# Inches of a cell; a picture has no more than _LARGEST for all of them.
_CELL, _LARGEST, _SMALLEST = 0.42, 11.0, 3.2
# Classes up to which the mean of several cells is never one cell of the picture.
_MOST_CELLS = 1500


def confusion_picture(matrix: NDArray[Any], labels: list[str] | None, path: str | os.PathLike[str]) -> None:
    """Draw how often images of each class were taken for each class.

    A row's colours are shares of its class's images, so that a class of few images is as visible as one of many; a
    cell says its count where there is room for it. Classes without an image stay white.

    Args:
        matrix: ``(K, K)`` counts: true class by row, predicted class by column.
        labels: names of the K classes; their numbers unless given.
        path: a png, svg or pdf file.

    Raises:
        DataError: no square matrix of counts, or another number of labels.
        CaffepyError: another kind of file.
    """
    from matplotlib.colors import PowerNorm

    counts = _checked(matrix, labels)
    classes = len(counts)
    images = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, images, out=np.zeros(counts.shape), where=images > 0)
    side = float(np.clip(_CELL * classes, _SMALLEST, _LARGEST))
    # Names have about a tenth of an inch a letter.
    names = [_short(name) for name in labels] if labels else [str(i) for i in range(classes)]
    room = 0.085 * max(len(name) for name in names) if classes <= _NAMED else 0.5
    left, bottom, right, top = 0.75 + room, 0.75 + room, 1.25, 0.75
    width, height = left + side + right, bottom + side + top
    figure = new_figure(width, height)
    axis: Axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
    # Of a thousand classes no other is mistaken for one as often as one of ten: the root shows shares of a hundredth.
    norm = PowerNorm(1.0 if classes <= _NAMED else 0.5, 0, 1)
    image = axis.imshow(_fine(shares), cmap="Blues", norm=norm, interpolation="nearest")
    image.set_extent((-0.5, classes - 0.5, classes - 0.5, -0.5))
    bar = figure.add_axes((1 - (right - 0.2) / width, bottom / height, 0.16 / width, side / height))
    figure.colorbar(image, cax=bar, format=lambda value, _: f"{100 * value:g} %")
    bar.set_ylabel("of the true class's images", fontsize=9)
    if classes <= _NAMED:
        size = 9 if classes <= _COUNTED else 7
        axis.set_xticks(range(classes), names, rotation=90 if room > 0.3 else 0, fontsize=size)
        axis.set_yticks(range(classes), names, fontsize=size)
        axis.set_xticks(np.arange(classes - 1) + 0.5, minor=True)
        axis.set_yticks(np.arange(classes - 1) + 0.5, minor=True)
        axis.grid(which="minor", color="#e4e4e4", linewidth=0.6)
        axis.tick_params(which="minor", length=0)
    if classes <= _COUNTED:
        _write_counts(axis, counts, shares, 8 if side / classes < 0.45 else 10)
    axis.set_xlabel("predicted class")
    axis.set_ylabel("true class")
    total, right_ones = int(counts.sum()), int(np.trace(counts))
    accuracy = f": {100 * right_ones / total:.2f} % right" if total else ""
    figure.suptitle(
        f"{total:,} images{accuracy}", x=0.2 / width, y=1 - 0.2 / height, ha="left", va="top", fontsize=12,
        fontweight="bold",
    )  # fmt: skip
    save_figure(figure, path)


def _checked(matrix: NDArray[Any], labels: list[str] | None) -> NDArray[np.int64]:
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise DataError(f"confusion matrix: expected shape (K, K), a row for each true class; got {counts.shape}.")
    if counts.dtype.kind not in "iu" or counts.min() < 0:
        raise DataError("confusion matrix: expected counts: integers, none below zero.")
    if labels is not None and len(labels) != len(counts):
        raise DataError(f"confusion matrix: {len(counts)} classes, but {len(labels)} labels. Give a label for each.")
    return counts.astype(np.int64)


def _short(name: str) -> str:
    """A label that is not as long as ImageNet's, and draws as it is."""
    name = " ".join(name.replace("$", r"\$").split())
    return name if len(name) <= _LONGEST_LABEL else name[: _LONGEST_LABEL - 1] + "…"


def _fine(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest of each group of cells, where there are more of them than the picture has points."""
    step = -(-len(shares) // _MOST_CELLS)
    if step == 1:
        return shares
    padded = np.pad(shares, (0, -len(shares) % step))
    groups = len(padded) // step
    return np.asarray(padded.reshape(groups, step, groups, step).max(axis=(1, 3)))


def _write_counts(axis: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64], size: int) -> None:
    for row, column in np.argwhere(counts):
        colour = "white" if shares[row, column] > 0.55 else "#222222"
        axis.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=colour, fontsize=size)
