"""Blob: an N-dimensional array of values (``data``) and one of gradients (``diff``) on one backend."""

from __future__ import annotations

import math

from caffepy.backend import Array, Backend
from caffepy.errors import NetError

__all__ = ["Blob", "shape_string"]

# Caffe counts elements in an int.
_MAX_COUNT = 2**31 - 1
_MAX_AXES = 32


def shape_string(shape: tuple[int, ...]) -> str:
    """A shape as Caffe's log prints it, with the number of elements: ``64 1 28 28 (50176)``."""
    return " ".join(map(str, (*shape, f"({math.prod(shape)})")))


class Blob:
    """Values and gradients of one shape.

    Memory is allocated, zeroed, when ``data`` or ``diff`` is first read, and kept when a later `reshape` needs no more
    of it, as Caffe does. ``blob.data[...] = values`` writes in place.
    """

    __slots__ = ("_data", "_data_view", "_diff", "_diff_view", "backend", "shape")

    def __init__(self, backend: Backend, shape: tuple[int, ...] = ()) -> None:
        self.backend = backend
        self.shape: tuple[int, ...] = (0,)
        self._data: Array = None
        self._diff: Array = None
        self._data_view: Array = None
        self._diff_view: Array = None
        self.reshape(*shape)

    @property
    def count(self) -> int:
        """How many elements."""
        return math.prod(self.shape)

    @property
    def data(self) -> Array:
        """The values, an array of `shape`."""
        if self._data_view is None:
            self._data = self._storage(self._data)
            self._data_view = self._data[: self.count].reshape(self.shape)
        return self._data_view

    @property
    def diff(self) -> Array:
        """The gradients, an array of `shape`."""
        if self._diff_view is None:
            self._diff = self._storage(self._diff)
            self._diff_view = self._diff[: self.count].reshape(self.shape)
        return self._diff_view

    @property
    def unallocated(self) -> int:
        """Bytes that reading ``data`` would allocate; 0 where the memory is there or another blob's."""
        return self._missing(self._data)

    @property
    def unallocated_diff(self) -> int:
        """The same for ``diff``."""
        return self._missing(self._diff)

    def _missing(self, old: Array) -> int:
        return 0 if old is not None and old.size >= self.count else self.count * int(self.backend.dtype.itemsize)

    def _storage(self, old: Array) -> Array:
        return old if old is not None and old.size >= self.count else self.backend.zeros((self.count,))

    def reshape(self, *shape: int) -> None:
        """Change the shape; the first elements keep their values where the count allows.

        Raises:
            NetError: a negative dimension, more than 32 of them, or more than 2^31 - 1 elements.
        """
        if shape == self.shape:
            return
        if len(shape) > _MAX_AXES:
            raise NetError(
                f"A blob has at most {_MAX_AXES} axes (Check failed: shape.size() <= kMaxBlobAxes); got {len(shape)}."
            )
        if any(dim < 0 for dim in shape):
            raise NetError(f"A blob's dimensions are not negative (Check failed: shape[i] >= 0); got shape {shape}.")
        if math.prod(shape) > _MAX_COUNT:
            raise NetError(
                f"blob size exceeds INT_MAX: shape {' x '.join(map(str, shape))} has {math.prod(shape):,} elements, "
                f"Caffe's limit is {_MAX_COUNT:,}. Make the batch, the image or num_output smaller."
            )
        self.shape = tuple(shape)
        self._data_view = self._diff_view = None

    def share_data(self, other: Blob) -> None:
        """Make ``data`` the memory of ``other``'s; the counts must be equal, the shapes need not.

        Raises:
            NetError: the counts differ.
        """
        self._check_count(other)
        self._data = other.data.reshape(-1)
        self._data_view = self._data.reshape(self.shape)

    def share_diff(self, other: Blob) -> None:
        """Make ``diff`` the memory of ``other``'s; the counts must be equal, the shapes need not.

        Raises:
            NetError: the counts differ.
        """
        self._check_count(other)
        self._diff = other.diff.reshape(-1)
        self._diff_view = self._diff.reshape(self.shape)

    def _check_count(self, other: Blob) -> None:
        if self.count != other.count:
            raise NetError(
                f"Blobs that share memory have equal counts (Check failed: count_ == other.count()); got "
                f"{self.shape_string} and {other.shape_string}."
            )

    def bind(self, data: Array, diff: Array) -> None:
        """Move into given flat memory of `count` elements; the values move along."""
        data[...] = self.data.reshape(-1)
        if self._diff is not None:
            diff[...] = self.diff.reshape(-1)
        self._data, self._data_view = data, data.reshape(self.shape)
        self._diff, self._diff_view = diff, diff.reshape(self.shape)

    def place(self, *, data: Array = None, diff: Array = None) -> None:
        """Lie in given flat memory from now on, as long as it holds `count` elements; values are not moved."""
        if data is not None:
            self._data, self._data_view = data, None
        if diff is not None:
            self._diff, self._diff_view = diff, None

    def axis(self, index: int) -> int:
        """``index`` with negative numbers counted from the end.

        Raises:
            NetError: no such axis.
        """
        axes = len(self.shape)
        if not -axes <= index < axes:
            raise NetError(f"axis {index} out of range for {axes}-D Blob with shape {self.shape_string}.")
        return index % axes

    @property
    def shape_string(self) -> str:
        """The shape as `shape_string` writes it."""
        return shape_string(self.shape)

    def _legacy(self, index: int) -> int:
        if len(self.shape) > 4:
            raise NetError(
                f"num, channels, height and width are for blobs of at most 4 axes; this one is {self.shape}."
            )
        return self.shape[index] if index < len(self.shape) else 1

    @property
    def num(self) -> int:
        """The first of at most four dimensions; 1 where there is none."""
        return self._legacy(0)

    @property
    def channels(self) -> int:
        """The second of at most four dimensions; 1 where there is none."""
        return self._legacy(1)

    @property
    def height(self) -> int:
        """The third of at most four dimensions; 1 where there is none."""
        return self._legacy(2)

    @property
    def width(self) -> int:
        """The fourth of at most four dimensions; 1 where there is none."""
        return self._legacy(3)

    def __repr__(self) -> str:
        return f"<Blob {self.shape_string} {self.backend.dtype} on {self.backend.device}>"
