"""Rows of datasets that lie in several HDF5 files, in order or shuffled."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from caffepy.data.list_file import list_lines
from caffepy.data.row_order import RowOrder
from caffepy.errors import DataError, reason

__all__ = ["Hdf5Rows", "read_file_list"]

# A file of no more bytes is read whole when its turn comes, as Caffe reads all; of a larger one the rows asked for.
_WHOLE = 1 << 28
# Files whose datasets are held: a batch may go from one to the next.
_HELD = 2
# A row takes so many to shuffle.
_ORDER_BYTES = 48
_NUMBERS = "fiu"
# What h5py raises for damage; which of them depends on where it is.
_DAMAGE = (OSError, RuntimeError, ValueError, KeyError, TypeError)
# All are looked at before training.
_MOST_FILES = 1 << 20
# Twice as many are still counted in 64 bits.
_MOST_ROWS = 1 << 62


class _Held(NamedTuple):
    """A file in use: its datasets, or what was read from them; the file where it is still open."""

    datasets: list[Any]
    file: Any


def read_file_list(path: str) -> list[str]:
    """The names in a list of HDF5 files: one a line; a line that is no file may hold several, as Caffe reads it.

    Raises:
        DataError: no such list, or nothing in it.
    """
    names: list[str] = []
    try:
        for line in (line.strip() for line in list_lines(path)):
            names += [line] if line and os.path.isfile(line) else line.split()
            if len(names) > _MOST_FILES:
                raise ValueError(f"it names more than {_MOST_FILES:,} files")
    except (OSError, ValueError) as error:
        raise DataError(f"Failed to open source file: '{path}': {reason(error)} ({Path(path).absolute()}).") from error
    if not names:
        raise DataError(f"Must have at least 1 HDF5 filename listed in '{path}'; it names none.")
    if names[0].startswith("\udc89HDF"):
        raise DataError(f"'{path}' is an HDF5 file itself: source is a text file that lists HDF5 files, one a line.")
    return names


class Hdf5Rows:
    """Rows by ordinal, counted from the start of training: ``take`` gives those of a batch.

    All files are looked at once, so that what is wrong with the last one shows before training and not after hours.
    Not for several threads at once.

    Args:
        files: their paths.
        names: of the datasets, in the root of each file.
        dtype: of what `take` gives; integers and other floats are converted.
        seed: the run's random_seed.
        layer_name: of the data layer.
        shuffle: files, and rows in each file, in another order in each epoch.

    Raises:
        DataError: a file that is missing or damaged, a dataset that is missing, not numbers, or of another shape than
            in the first file; datasets of different lengths; files without any row.
    """

    def __init__(
        self,
        files: Sequence[str],
        names: Sequence[str],
        dtype: Any,
        *,
        seed: int,
        layer_name: str,
        shuffle: bool = False,
    ) -> None:
        self.files = list(files)
        self.names = list(names)
        self.dtype = np.dtype(dtype)
        #: Of one row of each dataset.
        self.row_shapes: list[tuple[int, ...]] = []
        looks = {path: self._look(path) for path in dict.fromkeys(self.files)}
        self._counts = counts = [looks[path] for path in self.files]
        if sum(counts) > _MOST_ROWS:
            raise DataError(
                f"the datasets {', '.join(self.names)} of {len(files)} files claim {sum(counts):,} rows, more than any "
                "file holds: damaged."
            )
        self._order = RowOrder(counts, seed, layer_name, shuffle=shuffle)
        if not len(self):
            raise DataError(f"the datasets {', '.join(self.names)} have no rows in any of {len(files)} files.")
        row = self.dtype.itemsize * sum(math.prod(shape) for shape in self.row_shapes)
        self._whole = [count * row <= _WHOLE for count in counts]
        whole = [count * row for count, whole in zip(counts, self._whole, strict=True) if whole]
        #: Bytes of the files held at once and of the order of their rows, at most.
        self.held_bytes = _HELD * max(whole, default=0) + (_ORDER_BYTES * max(counts) if shuffle else 0)
        self._held: dict[int, _Held] = {}

    def __len__(self) -> int:
        """Rows of all files."""
        return self._order.count

    def take(self, ordinal: int, out: Sequence[NDArray[Any]]) -> None:
        """Put rows ``ordinal`` and on into the arrays ``out``, one of each dataset: (n, ...).

        Raises:
            DataError: a file that can no longer be read.
        """
        done = 0
        for file, rows in self._order.runs(ordinal, len(out[0])):
            held = self._hold(file)
            for values, dataset in zip(out, held.datasets, strict=True):
                try:
                    values[done : done + len(rows)] = _rows(dataset, rows)
                except _DAMAGE as error:
                    raise DataError(f"'{self.files[file]}' cannot be read: {error}") from error
            done += len(rows)

    def close(self) -> None:
        """Let the files go. Closing twice is harmless."""
        for held in self._held.values():
            if held.file is not None:
                held.file.close()
        self._held.clear()

    def _look(self, path: str) -> int:
        """Check one file; gives its number of rows."""
        with _open(path) as file:
            try:
                shapes = [self._dataset(file, path, name).shape for name in self.names]
            except DataError:
                raise
            except _DAMAGE as error:
                raise DataError(f"'{path}' cannot be read: {error}") from error
        for name, shape in zip(self.names, shapes, strict=True):
            if shape[0] != shapes[0][0]:
                raise DataError(
                    f"'{path}': '{self.names[0]}' has {shapes[0][0]} rows and '{name}' {shape[0]}: "
                    "Check failed: hdf_blobs_[i]->shape(0) == num. Each dataset needs a row for each sample."
                )
        rows = [shape[1:] for shape in shapes]
        if not self.row_shapes:
            self.row_shapes = rows
        for name, shape, first in zip(self.names, rows, self.row_shapes, strict=True):
            if shape != first:
                raise DataError(
                    f"'{path}': a row of '{name}' has shape {shape}, in '{self.files[0]}' {first}: "
                    "all files of a layer need one shape."
                )
        return int(shapes[0][0])

    def _dataset(self, file: Any, path: str, name: str) -> Any:
        dataset = file.get(name)
        if dataset is None:
            known = sorted(key for key in file if isinstance(file.get(key), h5py.Dataset))[:8]
            raise DataError(
                f"'{path}': Failed to find HDF5 dataset {name}: each top is the dataset of its name. "
                f"The file has: {', '.join(known) or 'none'}."
            )
        if not isinstance(dataset, h5py.Dataset):
            raise DataError(f"'{path}': '{name}' is a group and no dataset.")
        if dataset.dtype.kind not in _NUMBERS or h5py.check_enum_dtype(dataset.dtype) is not None:
            raise DataError(f"'{path}': '{name}' holds {dataset.dtype}: Unsupported datatype class; expected numbers.")
        if not dataset.shape:
            raise DataError(f"'{path}': '{name}' is a single value: Input must have at least 1 axis.")
        return dataset

    def _hold(self, number: int) -> _Held:
        held = self._held.pop(number, None)
        if held is None:
            held = self._load(number)
            while len(self._held) >= _HELD:
                oldest = self._held.pop(next(iter(self._held)))
                if oldest.file is not None:
                    oldest.file.close()
        self._held[number] = held
        return held

    def _load(self, number: int) -> _Held:
        path = self.files[number]
        if self._look(path) != self._counts[number]:
            raise DataError(f"'{path}' has another number of rows than at the start of this run: is it being written?")
        file = _open(path)
        try:
            datasets = [self._dataset(file, path, name) for name in self.names]
            if not self._whole[number]:
                return _Held(datasets, file)
            arrays = [np.asarray(dataset.astype(self.dtype)[()]) for dataset in datasets]
        except DataError:
            file.close()
            raise
        except (*_DAMAGE, MemoryError) as error:
            file.close()
            raise DataError(f"'{path}' cannot be read: {error}") from error
        file.close()
        return _Held(arrays, None)


def _open(path: str) -> Any:
    if not os.path.isfile(path):
        raise DataError(f"Failed opening HDF5 file: '{path}': there is no such file ({Path(path).absolute()}).")
    try:
        return h5py.File(path, "r", locking="best-effort")
    except (OSError, RuntimeError, ValueError) as error:
        with open(path, "rb") as file:
            other = "" if file.read(4) == b"\x89HDF" else " It does not begin as an HDF5 file does."
        raise DataError(f"Failed opening HDF5 file: '{path}': {error}.{other}") from error


def _rows(dataset: Any, rows: NDArray[np.int64]) -> Any:
    """Some rows of an array or of a dataset, whose rows HDF5 reads only in rising order, each once."""
    begin, count = int(rows[0]), len(rows)
    if int(rows[-1]) - begin == count - 1 and (np.diff(rows) == 1).all():
        return dataset[begin : begin + count]
    if isinstance(dataset, np.ndarray):
        return dataset[rows]
    rising, place = np.unique(rows, return_inverse=True)
    return dataset[rising][place]
