"""Files of arrays by name: weights (.caffemodel, .h5), other HDF5 files, and NumPy's .npz."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, BinaryIO, cast

from numpy.typing import NDArray

from caffepy.data.npy import read_npy
from caffepy.errors import CaffepyError, WeightsError
from caffepy.net.compare import Arrays
from caffepy.net.hdf5 import READ_ERRORS, numbers
from caffepy.proto import caffe_pb2
from caffepy.proto.arrays import blob_shape
from caffepy.proto.file_kind import is_hdf5, is_zip
from caffepy.proto.stored_blobs import Numbers, open_binary
from caffepy.proto.text import Lines
from caffepy.proto.upgrade import upgrade_net

__all__ = ["open_arrays"]

# Of one array in bytes: more than any blob can have, and what a bomb would unpack to.
_LARGEST = 1 << 35
# Bytes that a byte of a zip archive can become: deflate's most is 1032.
_MOST_PACKED = 1100


@contextmanager
def open_arrays(path: str | os.PathLike[str]) -> Iterator[Arrays]:
    """The arrays in a file, which stays open: each is read when it is asked for.

    Weights are named ``layer[0]``, ``layer[1]``, whether in a .caffemodel or in HDF5.

    Raises:
        WeightsError: there is no such file, it is damaged, or it holds no arrays.
    """
    where = os.fspath(path)
    if is_zip(where):
        yield from _npz(where)
    elif is_hdf5(where):
        yield from _hdf5(where)
    else:
        param = caffe_pb2.NetParameter()
        with open_binary(where, param) as stored:
            upgrade_net(param, Lines.unknown(where))
            found: dict[str, Callable[[], NDArray[Any]]] = {}
            for layer in param.layer:
                for i, blob in enumerate(layer.blobs):
                    name = f"{layer.name}[{i}]"
                    found[name] = _of_blob(where, name, stored.numbers(blob)[0], blob_shape(blob))
            yield found


def _of_blob(where: str, name: str, values: Numbers, shape: tuple[int, ...]) -> Callable[[], NDArray[Any]]:
    def read() -> NDArray[Any]:
        try:
            return values.array().reshape(shape)
        except ValueError:
            raise WeightsError(
                f"{where}: {name}: {values.count} values for shape {shape}. The file is damaged."
            ) from None

    return read


def _npz(where: str) -> Iterator[Arrays]:
    with ExitStack() as stack:
        # What zipfile and zlib raise depends on where a file is damaged.
        with _damage(where, Exception):
            archive = stack.enter_context(zipfile.ZipFile(where))
        yield {
            info.filename.removesuffix(".npy"): partial(_member, where, archive, info) for info in archive.infolist()
        }


def _member(where: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    if info.file_size > min(_LARGEST, _MOST_PACKED * max(info.compress_size, 1)):
        raise WeightsError(f"{where}: '{info.filename}' would unpack to {info.file_size:,} bytes: not read.")
    with _damage(f"{where}: '{info.filename}'", Exception), archive.open(info) as member:
        return read_npy(cast(BinaryIO, member), info.file_size)


def _hdf5(where: str) -> Iterator[Arrays]:
    import h5py

    with ExitStack() as stack:
        found: dict[str, Any] = {}
        with _damage(where, READ_ERRORS):
            file = stack.enter_context(h5py.File(where, "r", locking=False))
            file.visititems(lambda path, item: found.update({path: item} if isinstance(item, h5py.Dataset) else {}))
            # A name that is no text is a damaged one.
            arrays = {_blob_name(path): partial(_dataset, where, file, path, item) for path, item in found.items()}
        yield arrays


def _dataset(where: str, file: Any, path: str, dataset: Any) -> NDArray[Any]:
    with _damage(f"{where}: '{path}'", READ_ERRORS):
        shape = dataset.shape or ()
        return numbers(file, dataset, math.prod(shape), f"{where}: '{path}'").reshape(shape)


@contextmanager
def _damage(what: str, kinds: type[Exception] | tuple[type[Exception], ...]) -> Iterator[None]:
    try:
        yield
    except CaffepyError:
        raise
    except kinds as error:
        raise WeightsError(
            f"{what} cannot be read: {error}. The file is damaged, or not what its name says."
        ) from error


def _blob_name(path: str) -> str:
    """``data/conv1/0``, where Caffe has a layer's first blob, as ``conv1[0]``; other paths as they are."""
    parts = path.split("/")
    if len(parts) > 2 and parts[0] == "data" and parts[-1].isdigit():
        return f"{'/'.join(parts[1:-1])}[{parts[-1]}]"
    return path
