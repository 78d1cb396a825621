"""Lists of windows in images, and what was found in them: CSV and HDF5 files, as Caffe's python/detect.py has them."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from caffepy.data.list_file import list_lines
from caffepy.errors import CaffepyError, DataError, reason
from caffepy.proto.files import atomic_path, atomic_write

__all__ = ["COORDINATES", "Detections", "WindowList", "check_output", "read_windows", "write_csv", "write_detections"]

#: In this order, as Caffe has them.
COORDINATES = ("ymin", "xmin", "ymax", "xmax")
_HDF5 = (".h5", ".hdf5")
_LONGEST_NAME = 4096
# Bytes of texts of unknown length that are read at once.
_HELD = 1 << 28
_MOST_WINDOWS = 5_000_000


@dataclass(frozen=True)
class WindowList:
    """``files`` (n,) and ``boxes`` (n, 4), float64: ymin, xmin, ymax, xmax of each window."""

    files: list[str]
    boxes: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.files)


@dataclass
class Detections:
    """What a net says of windows.

    Attributes:
        windows: those that could be looked at.
        scores: (n, K), the net's output for each.
        kind: ``"probability"`` where a Softmax made them, else ``"score"``.
        about: how windows were prepared.
        bad: files or windows that could not be looked at, and why.
    """

    windows: WindowList
    scores: NDArray[np.float32]
    kind: str
    about: dict[str, str]
    bad: list[tuple[str, str]] = field(default_factory=list)


def read_windows(path: str | os.PathLike[str], root: str = "") -> WindowList:
    """The windows that a list names.

    - ``.csv``: a header with filename, ymin, xmin, ymax, xmax, in any order and among others, and a line a window.
    - ``.h5``, ``.hdf5``: the datasets ``filename`` (n,) and ``window`` (n, 4), or what `write_detections` has written.
    - others: lines ``filename ymin xmin ymax xmax``.

    Args:
        path: the list.
        root: put before names that are not absolute.

    Raises:
        DataError: no such file, none in it, something else than numbers; names the line.
    """
    text = os.fspath(path)
    ending = os.path.splitext(text)[1].lower()
    try:
        if ending in _HDF5:
            files, boxes = _from_hdf5(text)
        else:
            rows = list(_csv_rows(text) if ending == ".csv" else _text_rows(text))
            files = [file for file, _ in rows]
            boxes = np.array([box for _, box in rows], np.float64).reshape(-1, 4)
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(
            f"cannot read the list of windows '{text}': {reason(error)} ({Path(text).absolute()})."
        ) from error
    if not files:
        raise DataError(f"'{text}' holds no windows.")
    if not np.isfinite(boxes).all():
        bad = int(np.argmin(np.isfinite(boxes).all(1)))
        raise DataError(f"'{text}': window {bad + 1} of '{files[bad]}' has coordinates that are no numbers.")
    return WindowList([os.path.join(root, file) for file in files], boxes)


def _csv_rows(path: str) -> Iterator[tuple[str, list[float]]]:
    lines = list_lines(path, "utf-8-sig")
    reader = csv.reader(lines)
    header = [name.strip().lower() for name in next(reader, [])]
    wanted = ("filename", *COORDINATES)
    missing = [name for name in wanted if name not in header]
    if missing:
        raise DataError(
            f"{path}:1: expected a header with {', '.join(wanted)}; {', '.join(missing)} missing among "
            f"'{','.join(header)[:200]}'."
        )
    places = [header.index(name) for name in wanted]
    for row in reader:
        if row:
            if len(row) <= max(places):
                raise DataError(f"{path}:{reader.line_num}: {len(row)} columns; the header has {len(header)}.")
            yield _row(row[places[0]], [row[i] for i in places[1:]], f"{path}:{reader.line_num}")


def _text_rows(path: str) -> Iterator[tuple[str, list[float]]]:
    for number, line in enumerate(list_lines(path, "utf-8-sig"), 1):
        if line.strip():
            words = line.rsplit(maxsplit=4)
            if len(words) != 5:
                raise DataError(f"{path}:{number}: expected 'filename {' '.join(COORDINATES)}'; got {line[:200]!r}.")
            yield _row(words[0].strip(), words[1:], f"{path}:{number}")


def _row(file: str, words: list[str], where: str) -> tuple[str, list[float]]:
    try:
        return file, [float(word) for word in words]
    except ValueError:
        raise DataError(f"{where}: {', '.join(COORDINATES)} must be numbers; got '{', '.join(words)[:200]}'.") from None


def _from_hdf5(path: str) -> tuple[list[str], NDArray[np.float64]]:
    try:
        return _datasets(path)
    except (DataError, OSError):
        raise
    # h5py raises KeyError, RuntimeError, TypeError and others, by what is damaged.
    except Exception as error:
        raise ValueError(f"damaged, or no HDF5: {str(error)[:200]}") from error


def _datasets(path: str) -> tuple[list[str], NDArray[np.float64]]:
    import h5py

    with h5py.File(path, "r") as file:
        missing = [name for name in ("filename", "window") if not isinstance(file.get(name), h5py.Dataset)]
        if missing:
            raise DataError(
                f"'{path}' has no dataset {' and no '.join(missing)}: expected filename (n,), texts, and window "
                f"(n, 4), {', '.join(COORDINATES)}. What pandas has written only pandas reads: use CSV instead."
            )
        names, boxes = file["filename"], file["window"]
        if names.ndim != 1 or boxes.shape != (len(names), 4) or h5py.check_string_dtype(names.dtype) is None:
            raise DataError(
                f"'{path}': filename is {names.shape} of {names.dtype}, window {boxes.shape}; expected (n,) texts and "
                "(n, 4) numbers."
            )
        if boxes.dtype.kind not in "iuf" or len(names) > _MOST_WINDOWS:
            raise DataError(f"'{path}': window holds {boxes.dtype}, {len(names):,} of them; expected numbers.")
        return _texts(names, path), boxes[:].astype(np.float64)


def _texts(names: Any, path: str) -> list[str]:
    # All may be one and the same text of the file, as long as it: few at a time do no harm until they are measured.
    at_once = min(max(_HELD // os.path.getsize(path), 16), 10_000)
    texts: list[str] = []
    reader = names.asstr(errors="surrogateescape")
    for begin in range(0, len(names), at_once):
        part = list(reader[begin : begin + at_once])
        if max(map(len, part)) > _LONGEST_NAME:
            raise DataError(f"'{path}': a filename of more than {_LONGEST_NAME:,} characters.")
        texts += part
    return texts


def check_output(path: str | os.PathLike[str]) -> None:
    """Whether `write_detections` knows the ending of ``path``.

    Raises:
        CaffepyError: it does not.
    """
    if os.path.splitext(path)[1].lower() not in (".csv", *_HDF5):
        raise CaffepyError(f"'{os.fspath(path)}': expected a name that ends in .csv, .h5 or .hdf5.")


def write_detections(path: str | os.PathLike[str], found: Detections) -> None:
    """Write what was found: as CSV, or, where ``path`` ends in .h5 or .hdf5, in HDF5.

    CSV: filename, ymin, xmin, ymax, xmax, class0, class1, ... HDF5: datasets ``filename``, ``window`` (n, 4), float64,
    and ``prediction`` (n, K), float32.

    Raises:
        CaffepyError: another ending.
        OSError: it cannot be written.
    """
    check_output(path)
    text = os.fspath(path)
    if text.lower().endswith(_HDF5):
        import h5py

        with atomic_path(text) as temporary, h5py.File(temporary, "w", locking=False) as file:
            file.create_dataset("filename", data=found.windows.files, dtype=h5py.string_dtype())
            file["window"] = found.windows.boxes
            file["prediction"] = found.scores
        return
    with atomic_write(text) as raw, io.TextIOWrapper(raw, "utf-8", "surrogateescape", newline="") as out:
        write_csv(out, found)


def write_csv(out: IO[str], found: Detections) -> None:
    """Write detections as CSV, a line a window."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["filename", *COORDINATES, *(f"class{k}" for k in range(found.scores.shape[1]))])
    for file, box, scores in _rows(found):
        writer.writerow([file, *(f"{value:g}" for value in box), *(f"{score:.6g}" for score in scores)])


def _rows(found: Detections) -> Iterable[tuple[str, Any, Any]]:
    return zip(found.windows.files, found.windows.boxes, found.scores, strict=True)
