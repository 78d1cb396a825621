"""Batches for a data layer: records in order, decoded, transformed and labelled, made ahead by threads."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.data.datum import Image, decode
from caffepy.data.order import Order
from caffepy.data.prefetch import Prefetcher
from caffepy.data.source import Source, key_text
from caffepy.data.transform import Apply, Transform
from caffepy.errors import DataError

__all__ = ["Batch", "RecordReader"]

logger = logging.getLogger("caffepy")


@dataclass
class Batch:
    """``data`` (N, C, h, w) float32, ``label`` (N,) float32, and which ``records`` (N,) of the database they are."""

    data: NDArray[np.float32]
    label: NDArray[np.float32]
    records: NDArray[np.int64]
    # The draws of each record, and the placements they mean in an image of the first record's size.
    _words: NDArray[np.uint32] = field(repr=False)
    _placed: list[tuple[int, int, bool]] = field(default_factory=list, repr=False)
    _shifts: NDArray[np.float32] | None = field(default=None, repr=False)
    # For each position the records that were passed over, each with the reason.
    _bad: list[list[tuple[int, str]]] = field(default_factory=list, repr=False)


class RecordReader:
    """Makes the batches of one data layer.

    Batch ``step`` holds the records of ordinals ``step * batch_size`` and on; which records those are says `Order`. The
    content of a batch depends on ``(seed, layer_name, step)`` only, never on threads or on what was read before.

    A record that cannot be decoded or does not fit is bad. It is logged by key, counted once, and replaced by the next
    good one in the database. More than ``max_bad_records`` different ones end the run.

    Args:
        source: the database. The reader does not close it.
        transform: what is done to each record.
        apply: the backend's arithmetic, such as ``caffepy.cpu.transform.Transform(...).record``.
        batch_size: records in a batch (N).
        seed: the run's random_seed.
        layer_name: of the data layer.
        rand_skip: as data_param's, see `Order`.
        shuffle: a new order each epoch; Caffe has none.
        prefetch: how many batches there are at most, the one in use included.
        threads: how many threads decode; as many as there are cores unless given.
        max_bad_records: how many records may be passed over.
        num_classes: the num_output that labels must stay below; None does not check labels.
        allocate: makes the array of a batch from its shape; ordinary memory unless given.

    Raises:
        DataError: the first record cannot be read or does not fit the transform.
    """

    def __init__(
        self,
        source: Source,
        transform: Transform,
        apply: Apply,
        *,
        batch_size: int,
        seed: int,
        layer_name: str,
        rand_skip: int = 0,
        shuffle: bool = False,
        prefetch: int = 4,
        threads: int | None = None,
        max_bad_records: int = 0,
        num_classes: int | None = None,
        allocate: Callable[[tuple[int, ...]], NDArray[np.float32]] | None = None,
    ) -> None:
        self.where = transform.where
        if batch_size < 1:
            raise DataError(f"{self.where}: batch_size must be at least 1, got {batch_size}. Set it in data_param.")
        order = Order(len(source), seed, layer_name, rand_skip=rand_skip, shuffle=shuffle)
        self._filler = _Filler(source, transform, apply, order, batch_size, max_bad_records, num_classes)
        #: (N, C, h, w), from the first record, as Caffe takes it.
        self.shape = (batch_size, *transform.output_shape(self._filler.image_shape))
        self.max_bad_records = max_bad_records
        self._reported: set[int] = set()
        shape, make = self.shape, allocate or _ordinary_memory
        self._prefetcher = Prefetcher(
            fill=self._filler.fill,
            prepare=self._filler.prepare,
            batch_size=batch_size,
            allocate=lambda: _empty_batch(shape, make),
            depth=max(1, prefetch),
            threads=threads or _cores(),
        )

    @property
    def wait_seconds(self) -> float:
        """Seconds that `get` has waited for batches so far."""
        return self._prefetcher.wait_seconds

    @property
    def bad_records(self) -> int:
        """How many different records were passed over in the batches that `get` has given."""
        return len(self._reported)

    def start(self, step: int) -> None:
        """Begin to make the batches from ``step`` on without waiting for them."""
        self._prefetcher.start(step)

    def get(self, step: int) -> Batch:
        """The batch of ``step``, valid until the next `get`.

        Raises:
            DataError: more bad records than allowed, or a label out of range; names the record's key.
        """
        batch = self._prefetcher.get(step)
        for passed_over in batch._bad:
            for record, reason in passed_over:
                if record in self._reported:
                    continue
                self._reported.add(record)
                if len(self._reported) > self.max_bad_records:
                    raise DataError(_too_many(reason, self.max_bad_records))
                logger.warning("bad record %d of %d allowed: %s", len(self._reported), self.max_bad_records, reason)
        return batch

    def close(self) -> None:
        """End the threads. The source stays open."""
        self._prefetcher.close()


class _Filler:
    """Puts records into batches. Apart from RecordReader, so that threads do not keep that alive."""

    def __init__(
        self,
        source: Source,
        transform: Transform,
        apply: Apply,
        order: Order,
        batch_size: int,
        max_bad_records: int,
        num_classes: int | None,
    ) -> None:
        self.source = source
        self.transform = transform
        self.apply = apply
        self.order = order
        self.batch_size = batch_size
        self.max_bad_records = max_bad_records
        self.num_classes = num_classes
        # Of the first record, as Caffe takes it; empty until that is read.
        self.image_shape: tuple[int, ...] = ()
        first = self._good_record(0)[2]
        self.image_shape = first.array.shape
        if transform.color and not first.encoded:
            logger.warning(
                "%s: force_color and force_gray are only for encoded records; those of '%s' are raw and stay so.",
                transform.where,
                source.path,
            )

    def prepare(self, batch: Batch, step: int) -> None:
        """Draw for all records of a batch at once."""
        ordinals = np.arange(step * self.batch_size, (step + 1) * self.batch_size, dtype=np.int64)
        batch._words = self.transform.draw(ordinals)
        placed = self.transform.place(batch._words, self.image_shape[1], self.image_shape[2])
        columns = (np.broadcast_to(part, self.batch_size).tolist() for part in placed)
        batch._placed = list(zip(*columns, strict=True))
        batch._shifts = self.transform.shifts(ordinals)
        batch._bad = [[] for _ in range(self.batch_size)]

    def fill(self, batch: Batch, position: int, ordinal: int) -> None:
        """Put the record of ``ordinal``, or the next good one, at ``position``."""
        record, key, image, passed_over = self._good_record(self.order.record(ordinal))
        self._check_label(image.label, key)
        channels, height, width = image.array.shape
        h_off, w_off, mirror = batch._placed[position]
        if image.array.shape != self.image_shape:
            placed = self.transform.place(batch._words[position], height, width)
            h_off, w_off, mirror = int(placed.h_off), int(placed.w_off), bool(placed.mirror)
        shift = batch._shifts[position] if batch._shifts is not None and channels == 3 else None
        self.apply(image.array, h_off, w_off, mirror, shift, batch.data[position])
        batch.label[position] = image.label
        batch.records[position] = record
        batch._bad[position] = passed_over

    def _good_record(self, record: int) -> tuple[int, bytes, Image, list[tuple[int, str]]]:
        passed_over: list[tuple[int, str]] = []
        while True:
            try:
                key, value = self.source.read(record)
                image = decode(value, key, color=self.transform.color)
                self._check_shape(image.array, key)
                return record, key, image, passed_over
            except DataError as error:
                passed_over.append((record, str(error)))
                if len(passed_over) > min(self.max_bad_records, len(self.source) - 1):
                    raise DataError(_too_many(str(error), self.max_bad_records)) from error
                record = (record + 1) % len(self.source)

    def _check_shape(self, image: NDArray[Any], key: bytes) -> None:
        shape, first = image.shape, self.image_shape
        if not first:
            self.transform.check(shape, f"the first record '{key_text(key)}' of '{self.source.path}'")
            return
        if shape == first:
            return
        if not self.transform.crop_size or shape[0] != first[0]:
            what = "channels" if shape[0] != first[0] else "size"
            hint = (
                "Set force_color or force_gray in transform_param."
                if what == "channels"
                else "Set crop_size in transform_param, or convert with resize_height and resize_width."
            )
            raise DataError(
                f"{self.transform.where}: record '{key_text(key)}' of '{self.source.path}' has another {what}: "
                f"{_times(shape)}, the first record {_times(first)}. {hint}"
            )
        self.transform.check(shape, f"record '{key_text(key)}' of '{self.source.path}'")

    def _check_label(self, label: int, key: bytes) -> None:
        if self.num_classes is not None and not 0 <= label < self.num_classes:
            raise DataError(
                f"{self.transform.where}: label {label} of record '{key_text(key)}' of '{self.source.path}' is outside "
                f"0..{self.num_classes - 1}: the last layer's num_output is {self.num_classes}. Labels count from 0; "
                "raise num_output or convert the images again with other labels."
            )


def _empty_batch(shape: tuple[int, ...], make: Callable[[tuple[int, ...]], NDArray[np.float32]]) -> Batch:
    count = shape[0]
    return Batch(make(shape), np.empty(count, np.float32), np.empty(count, np.int64), np.empty((0, 3), np.uint32))


def _ordinary_memory(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.empty(shape, np.float32)


def _cores() -> int:
    # A container or taskset may give fewer cores than the machine has.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _too_many(reason: str, allowed: int) -> str:
    return f"{reason} One bad record more than the {allowed} allowed; --max-bad-records lets a run pass over some."


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
