"""Confusion matrices from files: the CSVs of a report, or labels and scores in an .npz or HDF5 file."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from caffepy.errors import CaffepyError, DataError, reason
from caffepy.net.compare import Arrays
from caffepy.net.stored_arrays import open_arrays
from caffepy.proto.file_kind import is_hdf5, is_zip

__all__ = ["read_confusion"]

_MOST_CLASSES = 30_000
_MOST_IMAGES = 100_000_000
_LABELS = ("label", "labels", "truth", "ground_truth")
_PREDICTIONS = ("class1", "prediction", "predicted", "top1")

Counts = NDArray[np.int64]


def read_confusion(path: str | os.PathLike[str]) -> tuple[Counts, list[str] | None]:
    """The matrix (K, K) in a file, true class by row, and the names of classes where the file has them.

    - ``images.csv`` of ``caffepy test --report``, or another CSV with the columns label and class1 (or prediction):
      numbers of classes, a line an image.
    - ``confusion.csv`` of the report: the matrix.
    - ``.npz`` or HDF5: ``confusion`` (K, K); or ``label`` (N,) with ``prediction`` (N,), or with the one array of
      scores (N, K), as ``caffepy extract-features`` writes ``--blobs prob``.

    Raises:
        DataError: none of these.
    """
    where = os.fspath(path)
    if is_zip(where) or is_hdf5(where):
        with open_arrays(where) as arrays:
            return _from_arrays(where, arrays), None
    try:
        with open(where, encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            head = next(rows, [])
            if head and head[0].startswith("true"):
                return _matrix(where, head, rows), head[1:]
            return _from_images(where, head, rows)
    except CaffepyError:
        raise
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"cannot read a confusion matrix from '{where}': {reason(error)}.") from error


def _from_images(where: str, head: list[str], rows: Iterator[list[str]]) -> tuple[Counts, list[str] | None]:
    columns = {name.strip().lower(): i for i, name in enumerate(head)}
    label = next((columns[name] for name in _LABELS if name in columns), None)
    guess = next((columns[name] for name in _PREDICTIONS if name in columns), None)
    if label is None or guess is None:
        raise DataError(
            f"'{where}': expected the columns label and class1 of a report's images.csv; found {', '.join(head[:10])}."
        )
    name = columns.get("label_name")
    pairs: list[tuple[int, int]] = []
    names: dict[int, str] = {}
    for number, row in enumerate(rows, start=2):
        if not row:
            continue
        try:
            pair = (int(row[label]), int(row[guess]))
            if max(map(abs, pair)) >= 2**31:
                raise ValueError
            if name is not None:
                names[pair[0]] = row[name]
        except (ValueError, IndexError):
            raise DataError(f"{where}:{number}: expected numbers of classes; got {','.join(row)[:80]}.") from None
        pairs.append(pair)
        if len(pairs) > _MOST_IMAGES:
            raise DataError(f"'{where}': more than {_MOST_IMAGES:,} lines.")
    columns_of = np.array(pairs, np.int64).reshape(-1, 2)
    matrix = _count(where, columns_of[:, 0], columns_of[:, 1], 0)
    return matrix, [names.get(i, str(i)) for i in range(len(matrix))] if names else None


def _matrix(where: str, head: list[str], rows: Iterator[list[str]]) -> Counts:
    matrix = [[int(value) for value in row[1:]] for row in rows if row]
    if any(not 0 <= value < 2**62 // _MOST_CLASSES**2 for row in matrix for value in row):
        raise ValueError("a count is negative, or larger than any can be")
    if (
        len(head) - 1 > _MOST_CLASSES
        or any(len(row) != len(head) - 1 for row in matrix)
        or len(matrix) != len(head) - 1
    ):
        raise DataError(f"'{where}': {len(matrix)} rows of a matrix of {len(head) - 1} classes. Is the file cut off?")
    return np.array(matrix, np.int64)


def _from_arrays(where: str, arrays: Arrays) -> Counts:
    if "confusion" in arrays:
        matrix = arrays["confusion"]()
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.dtype.kind not in "iu":
            raise DataError(f"'{where}': confusion: expected integers (K, K); got {matrix.dtype} {matrix.shape}.")
        return matrix.astype(np.int64)
    label = next((name for name in _LABELS if name in arrays), None)
    if label is None:
        raise DataError(
            f"'{where}': expected confusion, or label and prob; found {', '.join(list(arrays)[:10]) or 'none'}."
        )
    truth = _whole(where, label, arrays[label]())
    for name in _PREDICTIONS:
        if name in arrays:
            return _count(where, truth, _whole(where, name, arrays[name]()), 0)
    scores = {name: get for name, get in arrays.items() if name != label}
    if len(scores) != 1:
        raise DataError(
            f"'{where}': which array has the scores? Expected one beside {label}; found {', '.join(scores) or 'none'}."
        )
    name, get = next(iter(scores.items()))
    return _by_scores(where, truth, name, get)


def _by_scores(where: str, truth: Counts, name: str, get: Callable[[], NDArray[np.float64]]) -> Counts:
    values = get()
    if len(values.shape) < 2 or len(values) != len(truth) or np.prod(values.shape[2:], dtype=np.int64) != 1:
        raise DataError(f"'{where}': {name}: expected scores ({len(truth)}, K); got {values.shape}.")
    values = values.reshape(len(values), -1)
    return _count(where, truth, values.argmax(1), values.shape[1])


def _whole(where: str, name: str, values: NDArray[np.float64]) -> Counts:
    flat = np.asarray(values).reshape(-1)
    if not np.all(np.abs(flat) < 2**31) or not np.all(flat == np.trunc(flat)):
        raise DataError(f"'{where}': {name}: expected numbers of classes; got others of {values.dtype}.")
    return flat.astype(np.int64)


def _count(where: str, truth: Counts, guess: Counts, classes: int) -> Counts:
    if len(truth) != len(guess) or not len(truth):
        raise DataError(f"'{where}': {len(truth)} labels and {len(guess)} predictions.")
    least = int(min(truth.min(), guess.min()))
    classes = max(classes, int(max(truth.max(), guess.max())) + 1)
    if least < 0 or classes > _MOST_CLASSES:
        raise DataError(
            f"'{where}': classes from {least} to {classes - 1}; expected 0 to at most {_MOST_CLASSES - 1:,}."
        )
    counts = np.bincount(truth * classes + guess, minlength=classes * classes)
    return counts.reshape(classes, classes)
