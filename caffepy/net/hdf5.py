"""Reading numbers from HDF5 files: nothing is read before its kind and sizes are known to be sound."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from caffepy.errors import WeightsError

__all__ = ["READ_ERRORS", "numbers"]

#: What h5py raises for damage; which of them depends on where it is.
READ_ERRORS = (
    AttributeError,
    IndexError,
    KeyError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
)

# A chunk is unpacked as a whole, however little of it belongs to the dataset.
_CHUNK = 1 << 26


def numbers(file: Any, dataset: Any, count: int, what: str) -> NDArray[Any]:
    """The values of a dataset of ``count`` numbers, flat; ``what`` begins messages, ``file: layer, blob``.

    They lie in the HDF5 file ``file`` itself: links that lead to another one are not followed.

    Raises:
        WeightsError: no dataset of so many numbers, or one that is stored in other files or in huge pieces; besides,
            what h5py raises, see `READ_ERRORS`.
    """
    import h5py

    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "fiu":
        found = getattr(dataset, "dtype", "a group")
        raise WeightsError(f"{what}: {found} is no kind of number. The file is damaged, or not Caffe's.")
    if dataset.size != count:
        raise WeightsError(
            f"{what}: {dataset.size or 0} values, expected {count}. The file is damaged, or not Caffe's."
        )
    if dataset.external or dataset.is_virtual or _number(dataset) != _number(file):
        raise WeightsError(f"{what}: its values lie in other files, which are not read.")
    chunk = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    if chunk > max(_CHUNK, 4 * count * dataset.dtype.itemsize):
        raise WeightsError(f"{what}: it is stored in pieces of {chunk:,} bytes. The file is damaged, or not Caffe's.")
    values: NDArray[Any] = dataset[()]
    return values.reshape(-1)


def _number(item: Any) -> int:
    """That of the open file which ``item``, a file or something in one, is in."""
    import h5py

    number: int = h5py.h5o.get_info(item.id).fileno
    return number
