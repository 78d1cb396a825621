"""Files of features: databases as Caffe's extract_features writes them, HDF5, npz; each appears whole or not at all."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from caffepy.data.writer import Writer, new_database
from caffepy.errors import DataError
from caffepy.proto import caffe_pb2
from caffepy.proto.files import atomic_path

__all__ = ["FeatureDatabases", "FeatureHdf5", "FeatureNpz", "FeatureWriter", "float_datum"]

Blobs = Mapping[str, NDArray[Any]]
_FLOAT_DATA = caffe_pb2.Datum.DESCRIPTOR.fields_by_name["float_data"].number
_LABEL = "label"


class FeatureWriter(Protocol):
    """Takes rows of features in a ``with`` block, which ends with the files in place."""

    def __enter__(self) -> FeatureWriter: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    def append(self, blobs: Blobs, labels: NDArray[Any] | None) -> None:
        """Add rows: by blob an array ``(n, ...)``, and labels ``(n,)`` or None."""


def float_datum(values: NDArray[Any], label: int | None) -> bytes:
    """The bytes of a Datum of ``values``, (C), (C, H) or (C, H, W), as ``float_data``.

    Raises:
        DataError: more axes.
    """
    if values.ndim > 3:
        raise DataError(
            f"features of shape {values.shape} do not fit a Datum, which has channels, height and width "
            "(Check failed: num_axes() <= 4, Cannot use legacy accessors on Blobs with > 4 axes). Write HDF5 or npz."
        )
    sizes = (*values.shape, 1, 1, 1)[:3]
    head = caffe_pb2.Datum(channels=sizes[0], height=sizes[1], width=sizes[2])
    if label is not None:
        head.label = label
    # Caffe's schema does not pack float_data: each number has its tag before it.
    numbers = np.empty(values.size, [("tag", "u1"), ("value", "<f4")])
    numbers["tag"] = _FLOAT_DATA << 3 | 5
    numbers["value"] = values.reshape(-1)
    return head.SerializeToString() + numbers.tobytes()


class FeatureDatabases:
    """A database for each blob: a Datum for each record, by its number in ten digits, as Caffe's tool has them.

    It has the label too, if that is a whole number.

    Args:
        paths: by blob.
        backend: "LMDB" or "LEVELDB".
    """

    def __init__(self, paths: Mapping[str, str], backend: str = "LMDB") -> None:
        self._writers: dict[str, Writer] = {name: new_database(path, backend) for name, path in paths.items()}
        self._stack = ExitStack()
        self._count = 0

    def __enter__(self) -> FeatureDatabases:
        with ExitStack() as stack:
            for writer in self._writers.values():
                stack.enter_context(writer)
            self._stack = stack.pop_all()
        return self

    def append(self, blobs: Blobs, labels: NDArray[Any] | None) -> None:
        """See `FeatureWriter`.

        Raises:
            DataError: a blob of more than four axes, or the disk refuses it.
        """
        count = 0
        for name, writer in self._writers.items():
            count = len(blobs[name])
            for i, row in enumerate(blobs[name]):
                label = None if labels is None else _whole(float(labels[i]))
                writer.put(b"%010d" % (self._count + i), float_datum(row, label))
        self._count += count

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)


class FeatureHdf5:
    """One HDF5 file: a dataset ``(N, ...)`` for each blob, by its name, and ``label``.

    Raises:
        DataError: no such folder.
    """

    def __init__(self, path: str) -> None:
        self.path = _in_folder(path)
        self._stack = ExitStack()
        self._file: Any = None

    def __enter__(self) -> FeatureHdf5:
        import h5py

        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self.path))
            self._file = stack.enter_context(h5py.File(temporary, "w", locking=False))
            self._stack = stack.pop_all()
        return self

    def append(self, blobs: Blobs, labels: NDArray[Any] | None) -> None:
        """See `FeatureWriter`.

        Raises:
            DataError: blobs whose names exclude each other, or the disk refuses it.
        """
        try:
            for name, rows in _with_labels(blobs, labels).items():
                if name not in self._file:
                    self._file.create_dataset(name, data=rows, maxshape=(None, *rows.shape[1:]), chunks=True)
                    continue
                dataset = self._file[name]
                dataset.resize(len(dataset) + len(rows), axis=0)
                dataset[len(dataset) - len(rows) :] = rows
        # h5py says so of a blob "a" beside "a/b", whose slash makes "a" a folder.
        except (OSError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise DataError(f"cannot write the HDF5 file '{self.path}': {error}. Write npz instead?") from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._stack.__exit__(kind, error, traceback)
        except (OSError, RuntimeError) as failure:
            raise DataError(f"cannot write the HDF5 file '{self.path}': {failure}.") from failure


class FeatureNpz:
    """One npz file: an array ``(N, ...)`` for each blob, by its name, and ``label``. Never in memory as a whole.

    Raises:
        DataError: no such folder.
    """

    def __init__(self, path: str) -> None:
        self.path = _in_folder(path)
        self._stack = ExitStack()
        self._parts: dict[str, IO[bytes]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._dtypes: dict[str, np.dtype[Any]] = {}

    def __enter__(self) -> FeatureNpz:
        with ExitStack() as stack:
            self._temporary = stack.enter_context(atomic_path(self.path))
            self._stack = stack.pop_all()
        return self

    def append(self, blobs: Blobs, labels: NDArray[Any] | None) -> None:
        """See `FeatureWriter`.

        Raises:
            DataError: the shape of a blob has changed.
        """
        for name, rows in _with_labels(blobs, labels).items():
            shape = self._shapes.get(name, (0, *rows.shape[1:]))
            if shape[1:] != rows.shape[1:]:
                raise DataError(f"blob '{name}' had rows of shape {shape[1:]}, and now {rows.shape[1:]}.")
            if name not in self._parts:
                # In the file's own folder there is room for it, or there is not for the file either.
                folder = Path(self.path).absolute().parent
                self._parts[name] = part = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
                self._stack.callback(part.close)
                self._dtypes[name] = rows.dtype
            self._parts[name].write(np.ascontiguousarray(rows).view(np.uint8).data)
            self._shapes[name] = (shape[0] + len(rows), *shape[1:])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, traceback)
            return
        # The context of the temporary must see an error here, or it would take the name.
        with self._stack:
            self._write()

    def _write(self) -> None:
        with zipfile.ZipFile(self._temporary, "w") as archive:
            for name, part in self._parts.items():
                part.seek(0)
                dtype = self._dtypes[name]
                head = {
                    "descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": self._shapes[name],
                }  # fmt: skip
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array_header_1_0(member, head)
                    while piece := part.read(1 << 24):
                        member.write(piece)


def _whole(label: float) -> int | None:
    """A label that a Datum has room for."""
    return int(label) if label.is_integer() and abs(label) < 2**31 else None


def _in_folder(path: str) -> str:
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise DataError(f"'{path}' cannot be written: there is no folder '{folder}'. Make it first.")
    return path


def _with_labels(blobs: Blobs, labels: NDArray[Any] | None) -> dict[str, NDArray[Any]]:
    extra = {} if labels is None or _LABEL in blobs else {_LABEL: labels}
    return {**blobs, **extra}
