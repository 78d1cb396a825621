"""What a net says of images, and the files that this is written to."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.evaluation.csv_text import csv_text
from caffepy.evaluation.labels import class_name
from caffepy.evaluation.top import top_classes
from caffepy.net import Net
from caffepy.proto.files import atomic_write

__all__ = ["Classes", "average_text", "output_kind", "to_csv", "to_json", "to_text", "write_scores"]


@dataclass
class Classes:
    """What a net says of images.

    Attributes:
        files: those that could be read.
        scores: (n, K), the net's output for each.
        kind: ``"probability"`` where a Softmax made them, else ``"score"``.
        about: how images were prepared, step by step.
        bad: files that could not be read, and why.
    """

    files: list[str]
    scores: NDArray[np.float32]
    kind: str
    about: dict[str, str]
    bad: list[tuple[str, str]] = field(default_factory=list)

    def top(self, count: int) -> list[list[tuple[int, float]]]:
        """For each file the best ``count`` classes and their scores."""
        order = top_classes(self.scores, count)
        values = np.take_along_axis(self.scores, order, 1)
        return [list(zip(*pair, strict=True)) for pair in zip(order.tolist(), values.tolist(), strict=True)]


def output_kind(net: Net, output: str) -> str:
    """What the blob ``output`` holds: ``"probability"`` where a Softmax made it, else ``"score"``."""
    makers = [entry.layer.type for entry in net.entries if output in entry.top_names]
    return "probability" if makers and makers[-1] == "Softmax" else "score"


def average_text(kind: str) -> str:
    """What is averaged over ten crops, in words."""
    return "of the ten crops' probabilities, after Softmax" if kind == "probability" else "of the ten crops' outputs"


def to_text(classes: Classes, labels: list[str] | None, count: int) -> str:
    """The best classes in the form that Caffe's cpp_classification prints."""
    lines = []
    for file, best in zip(classes.files, classes.top(count), strict=True):
        lines.append(f"---------- Prediction for {file} ----------")
        lines += [f'{value:.4f} - "{class_name(labels, number)}"' for number, value in best]
    return "".join(f"{line}\n" for line in lines)


def to_csv(classes: Classes, labels: list[str] | None, count: int) -> str:
    """A line for each of the best classes of each file: file, rank, class, label, and the score by its kind."""
    rows = (
        [file, rank, number, class_name(labels, number), f"{value:.6g}"]
        for file, best in zip(classes.files, classes.top(count), strict=True)
        for rank, (number, value) in enumerate(best, 1)
    )
    return csv_text(["file", "rank", "class", "label", classes.kind], rows)


def to_json(classes: Classes, labels: list[str] | None, count: int) -> str:
    """An object: ``preprocessing``, ``images`` with their best classes, ``unreadable`` files."""
    images: list[dict[str, Any]] = []
    for file, best in zip(classes.files, classes.top(count), strict=True):
        named = [{"class": n, "label": class_name(labels, n), classes.kind: _number(value)} for n, value in best]
        images.append({"file": file, "classes": named})
    unreadable = [{"file": file, "reason": reason} for file, reason in classes.bad]
    return (
        json.dumps(
            {"preprocessing": classes.about, "images": images, "unreadable": unreadable}, indent=2, ensure_ascii=False
        )
        + "\n"
    )


def _number(value: float) -> float | None:
    # JSON has no NaN.
    return value if np.isfinite(value) else None


def write_scores(path: str | os.PathLike[str], classes: Classes) -> None:
    """All scores as a .npy file, (n, K) float32, as Caffe's classify.py writes them."""
    with atomic_write(path) as file:
        np.save(file, classes.scores, allow_pickle=False)
