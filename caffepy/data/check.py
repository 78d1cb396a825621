"""Looking through a database before training on it: what hour two of a run would find, found in a minute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from google.protobuf.message import DecodeError

from caffepy.data.datum import Color, Image, decode, size_text
from caffepy.data.in_order import in_order
from caffepy.data.source import Source, key_text
from caffepy.errors import DataError
from caffepy.proto import caffe_pb2

__all__ = ["DataReport", "check_data"]

# Records of one kind that a report names; the rest is counted.
_NAMED = 20
_FIRST_LABELS = 1000


@dataclass
class DataReport:
    """What `check_data` found in a database."""

    path: str
    #: Records in the database, and how many of them were decoded.
    records: int
    scanned: int = 0
    #: How many records have each shape (C, H, W) and each label.
    shapes: Counter[tuple[int, ...]] = field(default_factory=Counter)
    labels: Counter[int] = field(default_factory=Counter)
    #: Records that cannot be used: how many, and the first of them with the reason.
    bad_count: int = 0
    bad: list[str] = field(default_factory=list)
    #: What looks wrong about the database as a whole.
    warnings: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong and nothing looks wrong."""
        return not self.bad_count and not self.warnings

    def add_bad(self, reason: str) -> None:
        """Count a record that cannot be used, and keep the reason of the first of them."""
        self.bad_count += 1
        if len(self.bad) < _NAMED:
            self.bad.append(reason)


def check_data(
    source: Source,
    *,
    limit: int | None = None,
    num_output: int | None = None,
    crop_size: int = 0,
    color: Color = None,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> DataReport:
    """Decode ``limit`` records taken evenly from a database, or all, and count what a net would stumble on.

    Args:
        source: the database.
        limit: how many records; None takes all.
        num_output: of the last layer: labels must be below. None checks that they are not negative.
        crop_size: as in transform_param; images must not be smaller.
        color: as force_color or force_gray would decode.
        threads: how many threads decode.
        progress: ``progress(done, total)``, called after each record.
    """
    report = DataReport(source.path, len(source))
    count = len(source) if limit is None else min(limit, len(source))

    def one(ordinal: int) -> tuple[str, Image] | str:
        try:
            key, value = source.read(ordinal)
            return key_text(key), decode(value, key, color=color)
        except DataError as error:
            return str(error)

    ordinals = (done * len(source) // count for done in range(count))
    for done, found in enumerate(in_order(one, ordinals, threads), 1):
        report.scanned = done
        if isinstance(found, str):
            report.add_bad(found)
        else:
            _count(report, *found, num_output, crop_size)
        if progress is not None:
            progress(done, count)
    _judge(report, crop_size, num_output)
    _judge_order(report, source)
    return report


def _count(report: DataReport, name: str, image: Image, num_output: int | None, crop_size: int) -> None:
    shape, label = image.array.shape, image.label
    report.shapes[shape] += 1
    report.labels[label] += 1
    if label < 0 or (num_output is not None and label >= num_output):
        allowed = "0 or more" if num_output is None else f"0..{num_output - 1}"
        report.add_bad(f"record '{name}': label {label} is outside {allowed}.")
    elif min(shape[1:]) < crop_size:
        size = min(shape[1:])
        report.add_bad(
            f"record '{name}' is {size_text(shape)}, too small for crop_size {crop_size}. "
            f"Check failed: datum_{'height' if shape[1] == size else 'width'} >= crop_size ({size} vs. {crop_size})."
        )
    elif image.array.dtype != np.uint8 and not np.isfinite(image.array).all():
        report.add_bad(f"record '{name}': its float_data holds NaN or infinity.")


def _judge(report: DataReport, crop_size: int, num_output: int | None) -> None:
    swapped = sum(count for shape, count in report.shapes.items() if shape[0] > 4 and shape[2] <= 4)
    if swapped:
        example = next(shape for shape in report.shapes if shape[0] > 4 and shape[2] <= 4)
        report.warnings.append(
            f"{swapped} records have channels x height x width = {size_text(example)}: probably (height, width, "
            "channels) written where Caffe expects channels first. Transpose before writing: image.transpose(2, 0, 1)."
        )
    channels = Counter[int]()
    for shape, count in report.shapes.items():
        channels[shape[0]] += count
    if len(channels) > 1:
        counts = ", ".join(f"{count} of {size}" for size, count in sorted(channels.items()))
        report.warnings.append(
            f"records differ in channels ({counts}). Set force_color or force_gray, or convert again."
        )
    elif len(report.shapes) > 1 and not crop_size:
        report.warnings.append(
            f"records differ in size ({len(report.shapes)} sizes). Set crop_size in transform_param, "
            "or convert with resize_height and resize_width."
        )
    if num_output is not None and report.scanned == report.records:
        absent = [label for label in range(min(num_output, 1 << 20)) if label not in report.labels]
        if absent:
            listed = ", ".join(map(str, absent[:_NAMED])) + (", ..." if len(absent) > _NAMED else "")
            report.warnings.append(
                f"no record has label {listed}: {len(absent)} of {num_output} outputs are never taught."
            )


def _judge_order(report: DataReport, source: Source) -> None:
    """An unshuffled database shows one class for thousands of iterations, and the net forgets the others."""
    labels = set()
    count = min(_FIRST_LABELS, len(source))
    for ordinal in range(count):
        datum = caffe_pb2.Datum()
        try:
            datum.ParseFromString(source.read(ordinal)[1])
        except (DecodeError, DataError):
            continue
        labels.add(datum.label)
    if len(labels) == 1 and count > 1 and len(report.labels) > 1:
        report.warnings.append(
            f"the first {count} records all have label {labels.pop()}: the database is not shuffled. "
            "Convert with --shuffle, or train with --shuffle."
        )
