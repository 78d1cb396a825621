"""Rows collected into one HDF5 file, pass after pass; the file is whole whenever it is there."""

from __future__ import annotations

import os
import shutil
import weakref
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from caffepy.errors import DataError, reason
from caffepy.proto.files import atomic_path

__all__ = ["Hdf5Collector"]


class Hdf5Collector:
    """Writes datasets ``data`` and ``label``, a row for each sample.

    The first `append` makes the file. Later ones add to a copy of it under a hidden name, which takes the file's place
    at `close`, when this object is collected, or at the interpreter's end: what lies at ``path`` is never half written.

    Args:
        path: of the file; one of that name is replaced at the first `append`.

    Raises:
        DataError: no name, a folder that is not there, a name that is a folder.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.rows = 0
        folder = Path(path).absolute().parent
        if not path or "\0" in path or not folder.is_dir() or Path(path).is_dir():
            why = f"there is no folder '{folder}'" if path and not folder.is_dir() else "it is not the name of a file"
            raise DataError(f"Failed to open HDF5 file '{path}': {why}. Set file_name in hdf5_output_param.")
        self._state = _State()
        self._finalizer = weakref.finalize(self, self._state.finish)

    def append(self, data: NDArray[Any], label: NDArray[Any]) -> None:
        """Add the rows of ``data`` and ``label``, arrays of one length whose other axes never change.

        Raises:
            DataError: another shape than before, or the disk refuses it; the file keeps the rows of the first `append`.
        """
        try:
            if not self.rows:
                with atomic_path(self.path) as temporary, h5py.File(temporary, "w", locking=False) as file:
                    for name, values in (("data", data), ("label", label)):
                        file.create_dataset(name, data=values, maxshape=(None, *values.shape[1:]), chunks=True)
            else:
                file = self._state.file or self._state.begin(self.path)
                for name, values in (("data", data), ("label", label)):
                    self._extend(file[name], name, values)
        # h5py has RuntimeError where it finds the disk full as it closes a file.
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            self._state.discard(error)
            raise DataError(f"cannot write the HDF5 file '{self.path}': {reason(error)}.") from error
        self.rows += len(data)

    def close(self) -> None:
        """Put the file in its place. Closing twice is harmless.

        Raises:
            DataError: the disk refuses it.
        """
        try:
            self._finalizer()
        except (OSError, RuntimeError) as error:
            raise DataError(f"cannot write the HDF5 file '{self.path}': {error}.") from error

    def _extend(self, dataset: Any, name: str, values: NDArray[Any]) -> None:
        if dataset.shape[1:] != values.shape[1:] or dataset.shape[0] != self.rows:
            raise ValueError(f"'{name}' has shape {dataset.shape} after {self.rows} rows, and {values.shape} are added")
        dataset.resize(self.rows + len(values), axis=0)
        dataset[self.rows :] = np.asarray(values)


class _State:
    """The copy being added to. Apart from the collector, so that its end can be the collector's finalizer."""

    def __init__(self) -> None:
        self.file: Any = None
        self._stack = ExitStack()

    def begin(self, path: str) -> Any:
        temporary = self._stack.enter_context(atomic_path(path))
        shutil.copyfile(os.path.realpath(path), temporary)
        self.file = self._stack.enter_context(h5py.File(temporary, "r+", locking=False))
        return self.file

    def finish(self) -> None:
        self.file = None
        self._stack.close()

    def discard(self, error: BaseException) -> None:
        """Let the copy go."""
        self.file = None
        self._stack.__exit__(type(error), error, error.__traceback__)
