"""The report of a test: a folder of files that spreadsheets, scripts and eyes can read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.drawing.confusion import confusion_picture
from caffepy.errors import DataError
from caffepy.evaluation.csv_text import csv_text
from caffepy.evaluation.labels import class_name
from caffepy.evaluation.predictions import Predictions
from caffepy.proto.files import atomic_write

__all__ = ["ClassResult", "Report", "make_report", "write_report"]

# A matrix of more classes than this is not written out.
_MOST_IN_TABLE = 2000


@dataclass(frozen=True)
class ClassResult:
    """One class.

    Attributes:
        number, name: of the class.
        images: of this class.
        right: of them, those that were taken for it.
        right_top5: of them, those that had it among the best five.
        predicted: images that were taken for it, of whatever class.
        mistaken_for: the other class that its images were taken for most often, and how often; None where never.
    """

    number: int
    name: str
    images: int
    right: int
    right_top5: int
    predicted: int
    mistaken_for: tuple[int, int] | None

    @property
    def accuracy(self) -> float:
        """The share of the class's images that were taken for it; NaN without any."""
        return self.right / self.images if self.images else float("nan")

    @property
    def precision(self) -> float:
        """The share of what was taken for it that is of it; NaN where nothing was."""
        return self.right / self.predicted if self.predicted else float("nan")


@dataclass(frozen=True)
class Report:
    """A test in figures; ``top5`` is None where there are no more than five classes."""

    images: int
    top1: float
    top5: float | None
    mean_class_accuracy: float
    classes: list[ClassResult]


def make_report(predictions: Predictions, labels: list[str] | None = None) -> Report:
    """The figures of ``predictions``.

    Top-1 is of the true class's place among the scores, a tie against it, as Accuracy counts. Per class and in the
    matrix an image is taken for the class of the highest score, the lowest number in a tie.

    Raises:
        DataError: no image at all.
    """
    if not len(predictions):
        raise DataError(f"there are no predictions to report: {predictions.ignored} images had the ignored label.")
    several = predictions.classes > 5
    ranks, truth = predictions.ranks, predictions.labels
    matrix = predictions.confusion
    images, predicted = matrix.sum(1), matrix.sum(0)
    right = np.bincount(truth[ranks == 1], minlength=predictions.classes)
    right_top5 = np.bincount(truth[ranks <= 5], minlength=predictions.classes)
    others = matrix.copy()
    np.fill_diagonal(others, 0)
    worst = others.argmax(1)
    classes = [
        ClassResult(
            number,
            class_name(labels, number),
            int(images[number]),
            int(right[number]),
            int(right_top5[number]),
            int(predicted[number]),
            (int(worst[number]), int(others[number, worst[number]])) if others[number].any() else None,
        )
        for number in range(predictions.classes)
    ]
    accuracies = [one.accuracy for one in classes if one.images]
    return Report(
        len(predictions),
        predictions.accuracy(1),
        predictions.accuracy(5) if several else None,
        float(np.mean(accuracies)),
        classes,
    )


def write_report(
    folder: str | os.PathLike[str],
    predictions: Predictions,
    *,
    labels: list[str] | None = None,
    record_name: Callable[[int], str] = str,
    about: dict[str, Any] | None = None,
) -> Report:
    """Write ``folder``, made where it is not there; files of an older report in it are replaced.

    - ``report.json``: the figures, and ``about``: what was tested and how.
    - ``images.csv``: a line an image: record, label, whether right, place of the label, five predictions.
    - ``classes.csv``: a line a class. ``confusion.csv`` and ``confusion.png``: the matrix, true class by row.
    - ``predictions.txt`` and ``ground_truth.txt``: as ``caffepy ilsvrc-eval`` reads them.

    Args:
        predictions: at least one.
        labels: names of classes.
        record_name: what an image is called, by its number.

    Raises:
        DataError: no predictions.
        OSError: a file that cannot be written.
    """
    report = make_report(predictions, labels)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    _write(target / "report.json", _json(report, about or {}))
    _write(target / "images.csv", _images(predictions, labels, record_name))
    _write(target / "classes.csv", _classes(report, labels))
    top, truth = predictions.top, predictions.labels
    _write(target / "predictions.txt", "".join(f"{' '.join(map(str, row))}\n" for row in top.tolist()))
    _write(target / "ground_truth.txt", "".join(f"{label}\n" for label in truth.tolist()))
    names = [class_name(labels, number) for number in range(predictions.classes)]
    if predictions.classes <= _MOST_IN_TABLE:
        _write(target / "confusion.csv", _matrix(predictions.confusion, names))
    confusion_picture(predictions.confusion, names if labels else None, target / "confusion.png")
    return report


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))


def _json(report: Report, about: dict[str, Any]) -> str:
    figures: dict[str, Any] = {"images": report.images, "top1_accuracy": report.top1, "top1_error": 1 - report.top1}
    if report.top5 is not None:
        figures |= {"top5_accuracy": report.top5, "top5_error": 1 - report.top5}
    figures |= {"mean_class_accuracy": report.mean_class_accuracy, "classes": len(report.classes)}
    return json.dumps(about | figures, indent=2, ensure_ascii=False) + "\n"


def _images(predictions: Predictions, labels: list[str] | None, record_name: Callable[[int], str]) -> str:
    kept = predictions.top.shape[1]
    names = ["label_name"] if labels else []
    header = ["number", "record", "label", *names, "right", "place"]
    header += [f"{what}{i + 1}" for what in ("class", "probability") for i in range(kept)]
    columns = (predictions.records, predictions.labels, predictions.ranks, predictions.top, predictions.probabilities)
    rows = (
        [record, record_name(record), label]
        + ([class_name(labels, label)] if labels else [])
        + [int(rank == 1), rank, *top, *(f"{value:.6g}" for value in values)]
        for record, label, rank, top, values in zip(*(column.tolist() for column in columns), strict=True)
    )
    return csv_text(header, rows)


def _classes(report: Report, labels: list[str] | None) -> str:
    top5 = ["right_top5"] if report.top5 is not None else []
    header = ["class", "name", "images", "right", "accuracy", *top5, "predicted", "precision", "mistaken_for", "times"]
    rows = []
    for one in report.classes:
        mistaken, times = one.mistaken_for or (None, 0)
        rows.append(
            [one.number, one.name, one.images, one.right, _share(one.accuracy)]
            + ([one.right_top5] if top5 else [])
            + [one.predicted, _share(one.precision), "" if mistaken is None else class_name(labels, mistaken), times]
        )
    return csv_text(header, rows)


def _share(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6g}"


def _matrix(matrix: NDArray[np.int64], names: list[str]) -> str:
    rows = ([name, *row] for name, row in zip(names, matrix.tolist(), strict=True))
    return csv_text(["true \\ predicted", *names], rows)
