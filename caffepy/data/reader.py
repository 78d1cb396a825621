"""Batches for a data layer: records in order, decoded, cropped and labelled, made ahead by threads."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from caffepy.data.bad_records import BadRecords, too_many
from caffepy.data.datum import Image, size_text
from caffepy.data.images import Images
from caffepy.data.order import Order
from caffepy.data.pixels import planes, words
from caffepy.data.prefetch import Prefetcher
from caffepy.data.transform import Transform
from caffepy.errors import DataError
from caffepy.host import cores

__all__ = ["Allocate", "Batch", "Finish", "RecordReader", "ordinary_memory"]

logger = logging.getLogger("caffepy")

#: Makes the array of a batch from its shape and dtype.
Allocate = Callable[[tuple[int, ...], "np.dtype[Any]"], NDArray[Any]]
#: Mirrors and transforms the crop of one image: ``finish(image, h_off, w_off, mirror, shift, out)`` of a backend's
#: ``Transform``.
Finish = Callable[[NDArray[Any], int, int, bool, "NDArray[np.float32] | None", NDArray[Any]], None]

# Caffe counts elements in an int.
_MAX_COUNT = 2**31 - 1


@dataclass
class Batch:
    """Crops of N records, finished, or as they were decoded and left to the backend's ``Transform``.

    Attributes:
        pixels: (N, C, h, w): what a blob is to hold where the batch is ``finished``, else uint8 or float32; or
            (N, h, w) uint32, words of colour (see `caffepy.data.pixels.words`).
        others: by position, crops (C, h, w) that ``pixels`` cannot hold: floats among bytes.
        h_off, w_off: (N,), where in its image each crop lies.
        mirror: (N,), which are to be mirrored.
        shift: (N, C), the colour noise, or None.
        label: (N,) float32.
        records: (N,), which of the database they are.
        finished: whether they were mirrored and transformed by the threads that decoded them.
    """

    pixels: NDArray[Any]
    label: NDArray[np.float32]
    records: NDArray[np.int64]
    finished: bool = False
    others: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    h_off: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    w_off: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    mirror: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))
    shift: NDArray[np.float32] | None = None
    # The draws of each record.
    _words: NDArray[np.uint32] = field(default_factory=lambda: np.empty((0, 3), np.uint32), repr=False)
    # For each position the records that were passed over, each with the reason.
    _bad: list[list[tuple[int, str]]] = field(default_factory=list, repr=False)
    # The size of the images, and the first of them where it had to be read to know.
    _image_shape: tuple[int, ...] = field(default=(), repr=False)
    _first: _Found | None = field(default=None, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, h, w)."""
        shape = self.pixels.shape
        return shape if len(shape) == 4 else (shape[0], 3, *shape[1:])


@dataclass
class _Found:
    """A good record, and those that were passed over on the way to it."""

    record: int
    name: str
    image: Image
    passed_over: list[tuple[int, str]]


class RecordReader:
    """Makes the batches of one data layer.

    Batch ``step`` holds the records of ordinals ``step * batch_size`` and on; which records those are says `Order`. The
    content of a batch depends on ``(seed, layer_name, step)`` only, never on threads or on what was read before.
    Where nothing is cropped a batch has the size of its first record, as in Caffe: with batch_size 1 any size may come.
    In larger batches of a run that may pass over bad records the first record of all decides, or one odd size at a
    batch's beginning would make the rest of it bad.

    A record that cannot be decoded or does not fit is bad. It is logged by key, counted once, and replaced by the next
    good one in the database. More than ``max_bad_records`` different ones end the run.

    Args:
        images: the database or list. The reader does not close it.
        transform: where each record is cropped, and whether it is mirrored.
        batch_size: records in a batch (N).
        seed: the run's random_seed.
        layer_name: of the data layer.
        rand_skip: as data_param's, see `Order`.
        shuffle: a new order each epoch.
        prefetch: how many batches there are at most, the one in use included.
        threads: how many threads decode; as many as there are cores unless given.
        max_bad_records: how many records may be passed over.
        allocate: makes the array of a batch from its shape and dtype; ordinary memory unless given.
        finish: called for each image by the thread that decoded it; None leaves the crops as they were decoded.
        dtype: of what ``finish`` writes.

    Raises:
        DataError: the first record cannot be read or does not fit the transform.
    """

    def __init__(
        self,
        images: Images,
        transform: Transform,
        *,
        batch_size: int,
        seed: int,
        layer_name: str,
        rand_skip: int = 0,
        shuffle: bool = False,
        prefetch: int = 4,
        threads: int | None = None,
        max_bad_records: int = 0,
        allocate: Allocate | None = None,
        finish: Finish | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.where = transform.where
        if batch_size < 1:
            raise DataError(f"{self.where}: batch_size must be at least 1, got {batch_size}. Set it in the prototxt.")
        make = allocate or ordinary_memory
        order = Order(len(images), seed, layer_name, rand_skip=rand_skip, shuffle=shuffle)
        #: How many there are to go through.
        self.records: int | None = len(images)
        filler = self._filler = _Filler(images, transform, order, batch_size, max_bad_records, make, finish, dtype)
        #: (N, C, h, w), from the first record.
        self.shape = (batch_size, *transform.output_shape(filler.image_shape))
        #: Of data and labels.
        self.shapes = (self.shape, (batch_size,))
        #: How many batches there are at most, the one in use included.
        self.depth = max(1, prefetch)
        batch_bytes = math.prod(filler.pixels_shape(self.shape)) * filler.dtype.itemsize
        #: Bytes of all batches, but of a finished one in use, where the blob itself lies.
        self.held_bytes = (self.depth - (finish is not None)) * batch_bytes
        self._bad = BadRecords(max_bad_records)
        shape = self.shape
        self._prefetcher = Prefetcher(
            fill=filler.fill,
            prepare=filler.prepare,
            batch_size=batch_size,
            allocate=lambda: filler.empty_batch(shape),
            depth=self.depth,
            threads=threads or cores(),
        )

    @property
    def wait_seconds(self) -> float:
        """Seconds that `get` has waited for batches so far."""
        return self._prefetcher.wait_seconds

    @property
    def bad_records(self) -> int:
        """How many different records were passed over in the batches that `get` has given."""
        return len(self._bad)

    def start(self, step: int) -> None:
        """Begin to make the batches from ``step`` on without waiting for them."""
        self._prefetcher.start(step)

    def get(self, step: int) -> Batch:
        """The batch of ``step``, valid until the next `get`.

        Raises:
            DataError: more bad records than allowed; names the one too many.
        """
        batch = self._prefetcher.get(step)
        for passed_over in batch._bad:
            self._bad.note(passed_over)
        return batch

    def close(self) -> None:
        """End the threads. The database stays open."""
        self._prefetcher.close()


class _Filler:
    """Puts records into batches. Apart from RecordReader, so that threads do not keep that alive."""

    def __init__(
        self,
        images: Images,
        transform: Transform,
        order: Order,
        batch_size: int,
        max_bad_records: int,
        allocate: Allocate,
        finish: Finish | None,
        dtype: DTypeLike,
    ) -> None:
        self.images = images
        self.transform = transform
        self.order = order
        self.batch_size = batch_size
        self.max_bad_records = max_bad_records
        self.allocate = allocate
        self.finish = finish
        self.follows_size = not transform.crop_size and (batch_size == 1 or not max_bad_records)
        # Of the first record, as Caffe takes it; empty until that is read.
        self.image_shape: tuple[int, ...] = ()
        first = self._good_record(0, ())
        self.image_shape = first.image.array.shape
        #: Of the pixels in batches.
        self.dtype = first.image.array.dtype
        if finish is not None:
            self.dtype = np.dtype(dtype)
        elif first.image.encoded and self.image_shape[0] == 3 and sys.byteorder == "little":
            self.dtype = np.dtype(np.uint32)
        if transform.color and not first.image.encoded:
            logger.warning(
                "%s: force_color and force_gray are only for encoded records; those of '%s' are raw and stay so.",
                transform.where,
                images.path,
            )

    def pixels_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Of an array that holds a batch (N, C, h, w)."""
        return (shape[0], *shape[2:]) if self.dtype == np.uint32 else shape

    def empty_batch(self, shape: tuple[int, ...]) -> Batch:
        """A batch (N, C, h, w) to fill."""
        count = shape[0]
        pixels = self.allocate(self.pixels_shape(shape), self.dtype)
        return Batch(pixels, np.empty(count, np.float32), np.empty(count, np.int64), self.finish is not None)

    def prepare(self, batch: Batch, step: int) -> None:
        """Draw for all records of a batch at once."""
        ordinals = np.arange(step * self.batch_size, (step + 1) * self.batch_size, dtype=np.int64)
        batch._image_shape = self.image_shape
        batch._first = None
        if self.follows_size:
            batch._first = self._good_record(self.order.record(int(ordinals[0])), ())
            batch._image_shape = batch._first.image.array.shape
            self._fit(batch)
        batch._words = self.transform.draw(ordinals)
        channels, height, width = batch._image_shape
        batch.h_off, batch.w_off, batch.mirror = self.transform.place(batch._words, height, width)
        batch.shift = self.transform.shifts(ordinals) if channels == 3 else None
        batch.others.clear()
        batch._bad = [[] for _ in range(self.batch_size)]

    def _fit(self, batch: Batch) -> None:
        """Give the batch the size of its images."""
        shape = (self.batch_size, *batch._image_shape)
        if batch.shape == shape:
            return
        if math.prod(shape) > _MAX_COUNT:
            raise DataError(
                f"{self.transform.where}: blob size exceeds INT_MAX: a batch of {size_text(shape)}. "
                "Set crop_size in transform_param or make batch_size smaller."
            )
        batch.pixels = self.allocate(self.pixels_shape(shape), self.dtype)

    def fill(self, batch: Batch, position: int, ordinal: int) -> None:
        """Put the record of ``ordinal``, or the next good one, at ``position``."""
        found = None
        if position == 0:
            found, batch._first = batch._first, None
        if found is None:
            found = self._good_record(self.order.record(ordinal), batch._image_shape)
        array = found.image.array
        if array.shape != batch._image_shape:
            placed = self.transform.place(batch._words[position], *array.shape[1:])
            batch.h_off[position], batch.w_off[position] = placed.h_off, placed.w_off
        self._put(array, int(batch.h_off[position]), int(batch.w_off[position]), batch, position)
        batch.label[position] = found.image.label
        batch.records[position] = found.record
        batch._bad[position] = found.passed_over

    def _put(self, image: NDArray[Any], h_off: int, w_off: int, batch: Batch, position: int) -> None:
        """Bring the crop of ``image`` (C, H, W) to its place."""
        out, packed = batch.pixels[position], words(image)
        if self.finish is not None:
            mirror, shift = bool(batch.mirror[position]), None if batch.shift is None else batch.shift[position]
            self.finish(image if packed is None else packed, h_off, w_off, mirror, shift, out)
            return
        height, width = out.shape[-2:]
        crop = np.s_[..., h_off : h_off + height, w_off : w_off + width]
        if image.dtype == np.float32 and out.dtype != np.float32:
            batch.others[position] = image[crop].copy()
        elif out.ndim == 3:
            out[...] = image[crop]
        elif packed is not None:
            out[...] = packed[crop]
        else:
            planes(out)[...] = image[crop]

    def _good_record(self, record: int, batch_shape: tuple[int, ...]) -> _Found:
        """The first good one from ``record`` on that fits a batch; an empty ``batch_shape`` is a batch without any."""
        passed_over: list[tuple[int, str]] = []
        while True:
            try:
                name, image = self._load(record)
                if self.image_shape:
                    self._check_shape(image.array, name, batch_shape)
            except DataError as error:
                passed_over.append((record, str(error)))
                if len(passed_over) > min(self.max_bad_records, len(self.images) - 1):
                    raise DataError(too_many(str(error), self.max_bad_records)) from error
                record = (record + 1) % len(self.images)
                continue
            if not self.image_shape:
                # What does not fit the first record is a setting, not a bad record.
                self.transform.check(image.array.shape, f"the first {name} of '{self.images.path}'")
            return _Found(record, name, image, passed_over)

    def _load(self, record: int) -> tuple[str, Image]:
        try:
            return self.images.load(record)
        except DataError as error:
            raise DataError(f"{self.transform.where}: {error} It is in '{self.images.path}'.") from error

    def _check_shape(self, image: NDArray[Any], name: str, batch_shape: tuple[int, ...]) -> None:
        shape, first, what = image.shape, self.image_shape, ""
        if shape == (batch_shape or first):
            return
        if shape[0] != first[0]:
            what, hint = "channels", "Set force_color or force_gray in transform_param."
        elif batch_shape and not self.transform.crop_size:
            what, first = "size", batch_shape
            hint = "Set crop_size in transform_param, or convert with resize_height and resize_width."
        if what:
            raise DataError(
                f"{self.transform.where}: {name} of '{self.images.path}' has another {what}: "
                f"{size_text(shape)}, the first record {size_text(first)}. {hint}"
            )
        self.transform.check(shape, f"{name} of '{self.images.path}'")


def ordinary_memory(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array for a batch on a device that needs no special memory."""
    return np.empty(shape, dtype)
