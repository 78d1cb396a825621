"""Images and their labels into a database, as Caffe's convert_imageset does it, but never silently an empty one."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from caffepy.data.datum import decode_image, encode, is_deep, size_text
from caffepy.data.image_files import read_image_file
from caffepy.data.image_list import Entry, image_path, missing_files
from caffepy.data.in_order import in_order
from caffepy.data.orientation import is_turned
from caffepy.data.resize import resize
from caffepy.data.writer import new_database
from caffepy.errors import DataError
from caffepy.random import Stream

__all__ = ["ConversionReport", "ConversionSettings", "convert_images", "plan_conversion"]

# Names listed in a message.
_SHOWN = 5


@dataclass(frozen=True)
class ConversionSettings:
    """The flags of convert_imageset.

    Args:
        gray: one channel of brightness.
        resize_height: with ``resize_width``, the size of all records; 0 and 0 keep each image's own.
        resize_width: see ``resize_height``.
        check_size: refuse an image of another size than the first.
        encoded: store a compressed image, not pixels. A file of that format that is not resized is stored as it is.
        encode_type: jpg or png; implies ``encoded``. Empty takes each file's own format.
        shuffle: random order, the same for the same ``seed``.
        seed: of the shuffle.
        skip_bad: leave out images that are missing or cannot be decoded, and count them. Otherwise they are errors.
    """

    gray: bool = False
    resize_height: int = 0
    resize_width: int = 0
    check_size: bool = False
    encoded: bool = False
    encode_type: str = ""
    shuffle: bool = False
    seed: int = 1
    skip_bad: bool = False

    def __post_init__(self) -> None:
        if (self.resize_height > 0) != (self.resize_width > 0) or min(self.resize_height, self.resize_width) < 0:
            raise DataError(
                f"resize_height {self.resize_height} and resize_width {self.resize_width}: give both, or none. "
                "Caffe resizes only if both are given."
            )
        if self.encode_type not in ("", "jpg", "jpeg", "png"):
            raise DataError(f"encode_type '{self.encode_type}' is unknown; expected jpg or png.")


@dataclass
class ConversionReport:
    """What a conversion did, or what a dry run found."""

    #: Images in the list.
    listed: int
    #: Records in the database; of a dry run, images that are there.
    records: int = 0
    #: How many records have each label.
    labels: Counter[int] = field(default_factory=Counter)
    missing: list[Entry] = field(default_factory=list)
    #: Images that could not be decoded, and why.
    undecodable: list[tuple[Entry, str]] = field(default_factory=list)
    #: Images in the database whose EXIF data asks for them to be turned. They are not.
    turned: list[Entry] = field(default_factory=list)


def plan_conversion(entries: list[Entry], root: str | os.PathLike[str]) -> ConversionReport:
    """The dry run: which images are there, which are missing, and how many have each label. Nothing is written."""
    missing = missing_files(entries, root)
    absent = set(missing)
    present = [entry.label for entry in entries if entry not in absent]
    return ConversionReport(len(entries), len(present), Counter(present), missing)


def convert_images(
    entries: list[Entry],
    root: str | os.PathLike[str],
    database: str | os.PathLike[str],
    settings: ConversionSettings | None = None,
    *,
    backend: str = "LMDB",
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> ConversionReport:
    """Write an LMDB, or a LEVELDB, of the images in ``entries``, below the folder ``root``; keys are ``%08d_name``.

    ``progress(done, total)`` is called after each image. The database has the same bytes whatever ``threads`` is, and
    appears whole or not at all.

    Raises:
        DataError: images missing or undecodable (unless ``skip_bad``), a size that differs (``check_size``), no image
            at all, a database that exists, a full disk. Missing images are found before anything is written.
    """
    settings = settings or ConversionSettings()
    report = ConversionReport(len(entries))
    if not entries:
        raise DataError(f"no images to convert: the database '{os.fspath(database)}' would be empty.")
    report.missing = missing_files(entries, root)
    if (report.missing and not settings.skip_bad) or len(report.missing) == len(entries):
        raise DataError(_missing_text(report.missing, len(entries), root))
    if settings.shuffle:
        entries = [entries[i] for i in Stream(settings.seed, "convert_imageset", "shuffle").permutation(len(entries))]
    absent = set(report.missing)
    numbered = [(number, entry) for number, entry in enumerate(entries) if entry not in absent]

    def encode_one(item: tuple[int, Entry]) -> tuple[bytes, tuple[int, ...], bool] | DataError:
        try:
            return _record(item[1], root, settings)
        except DataError as error:
            return error

    first: tuple[str, tuple[int, ...]] | None = None
    with new_database(database, backend) as writer:
        for (number, entry), made in zip(numbered, in_order(encode_one, numbered, threads), strict=True):
            if isinstance(made, DataError):
                if not settings.skip_bad:
                    raise made
                report.undecodable.append((entry, str(made)))
            else:
                record, shape, turned = made
                if turned:
                    report.turned.append(entry)
                first = first or (entry.name, shape)
                if settings.check_size:
                    _check_size(first, entry.name, shape)
                writer.put(b"%08d_%s" % (number, os.fsencode(entry.name)), record)
                report.records += 1
                report.labels[entry.label] += 1
            if progress is not None:
                progress(number + 1, len(entries))
        if not report.records:
            raise DataError(f"none of {len(entries)} images could be decoded; the first: {report.undecodable[0][1]}")
    return report


def _record(
    entry: Entry, root: str | os.PathLike[str], settings: ConversionSettings
) -> tuple[bytes, tuple[int, ...], bool]:
    """The serialised Datum of one image, the shape (C, H, W) that it decodes to, and whether it should be turned."""
    path, data = read_image_file("", image_path(root, entry.name))
    image = decode_image(data, f"image '{path}'", color="gray" if settings.gray else "color")
    if settings.resize_height:
        image = resize(image, settings.resize_height, settings.resize_width)
    kind = settings.encode_type
    if settings.encoded and not kind:
        kind = os.path.splitext(entry.name)[1][1:].lower()
        if kind not in ("jpg", "jpeg", "png"):
            raise DataError(f"image '{path}': Failed to guess the encoding from its name. Give encode_type jpg or png.")
    datum = encode(data, entry.label) if kind and _keeps_bytes(data, path, kind, settings) else None
    if datum is None:
        datum = encode(image, entry.label, kind)
    return datum.SerializeToString(), image.shape, is_turned(data)


def _keeps_bytes(data: bytes, path: str, kind: str, settings: ConversionSettings) -> bool:
    extension = os.path.splitext(path)[1][1:].lower()
    if settings.resize_height or _family(extension) != _family(kind):
        return False
    # Caffe keeps colour files too when gray is asked for, and they come out in colour.
    return not settings.gray or (not is_deep(data) and decode_image(data, f"image '{path}'").shape[0] == 1)


def _family(extension: str) -> str:
    return "jpg" if extension == "jpeg" else extension


def _check_size(first: tuple[str, tuple[int, ...]], name: str, shape: tuple[int, ...]) -> None:
    if shape != first[1]:
        raise DataError(
            f"check_size: image '{name}' is {size_text(shape)}, but the first, '{first[0]}', is {size_text(first[1])}. "
            f"Incorrect data field size {math.prod(shape)}. Give resize_height and resize_width."
        )


def _missing_text(missing: list[Entry], listed: int, root: str | os.PathLike[str]) -> str:
    shown = ", ".join(entry.name for entry in missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
    return (
        f"{len(missing)} of {listed} images are missing: {shown}. Could not open or find file "
        f"{os.path.abspath(image_path(root, missing[0].name))}. Check the root folder; nothing was written."
    )
