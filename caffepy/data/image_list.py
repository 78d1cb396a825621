"""Which images become records, with which labels: Caffe's list files, or a folder for each class."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from caffepy.data.list_file import list_lines
from caffepy.errors import DataError, reason

__all__ = ["Entry", "class_folders", "image_path", "is_image_name", "missing_files", "read_list"]

_IMAGE = (".jpg", ".jpeg", ".jpe", ".png", ".bmp")
_SEVERAL = re.compile(r"\.(?:jpe?g|jpe|png|bmp)(?:[ \t]+[-+.\deE]+)+$", re.IGNORECASE)
_INTEGER = re.compile(r"[-+]?\d+\Z", re.ASCII)


class Entry(NamedTuple):
    """An image, named relative to the root folder, and its label."""

    name: str
    label: int


def read_list(path: str | os.PathLike[str]) -> list[Entry]:
    """The lines ``name label`` of a list file.

    The label is what follows the last space or tab, so names may contain spaces. Empty lines, CRLF ends and a byte
    order mark are passed over.

    Raises:
        DataError: no such file, no line in it, a line without a label, a label that is no integer of 32 bits, several
            labels; names the line. Caffe's convert_imageset reads such labels as something else without a word.
    """
    text = os.fspath(path)
    lines = enumerate(list_lines(text, "utf-8-sig"), 1)
    try:
        entries = [_entry(line.strip(), f"{text}:{number}") for number, line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read the list of images '{text}': {reason(error)} ({Path(text).absolute()})."
        ) from error
    if not entries:
        raise DataError(f"the list of images '{text}' is empty: expected lines 'name label', such as 'cats/1.jpg 0'.")
    return entries


def _entry(line: str, where: str) -> Entry:
    parts = line.rsplit(maxsplit=1)
    if len(parts) < 2:
        raise DataError(f"{where}: expected 'name label', got {line!r}: the label is missing.")
    name, label = parts
    if not _INTEGER.match(label):
        try:
            float(label)
        except ValueError:
            raise DataError(f"{where}: the label must be an integer, got {label!r}. Expected 'name label'.") from None
        raise DataError(
            f"{where}: the label must be an integer, got {label}. A Datum holds one integer label: "
            "keep labels of other kinds in an HDF5 file (layer HDF5Data) or in a second database."
        )
    if _SEVERAL.search(name):
        raise DataError(
            f"{where}: several labels in {line!r}. A Datum holds one integer label: "
            "keep several in an HDF5 file (layer HDF5Data) or in a second database."
        )
    # Python refuses to read integers of some thousand digits.
    if len(label) > 40 or not -(2**31) <= int(label) < 2**31:
        raise DataError(f"{where}: label {label[:40]} does not fit 32 bits.")
    return Entry(name, int(label))


def class_folders(root: str | os.PathLike[str]) -> tuple[list[Entry], list[str]]:
    """The images of a folder that has one folder for each class, and the classes: label i is ``classes[i]``.

    Classes and images are in the order of their names; hidden files and files of other kinds are passed over.

    Raises:
        DataError: no such folder, or none with images in it.
    """
    base = Path(root)
    if not base.is_dir():
        raise DataError(f"there is no folder '{base}' ({base.absolute()}).")
    classes = sorted(entry.name for entry in base.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    entries = []
    for label, name in enumerate(classes):
        for file in sorted((base / name).rglob("*")):
            relative = file.relative_to(base)
            if is_image_name(file.name) and not any(part.startswith(".") for part in relative.parts):
                entries.append(Entry(relative.as_posix(), label))
    if not entries:
        raise DataError(
            f"no images in the folders of '{base}': expected a folder for each class, with {', '.join(_IMAGE)}."
        )
    return entries, classes


def is_image_name(name: str) -> bool:
    """Whether a file of this name is one of those that folders are searched for: a JPEG, PNG or BMP."""
    return os.path.splitext(name)[1].lower() in _IMAGE


def image_path(root: str | os.PathLike[str], name: str) -> str:
    """Where the image ``name`` of a list lies. Below ``root`` even if it begins with a slash, as for Caffe."""
    return os.path.join(root, name.lstrip("/")) if os.fspath(root) else name


def missing_files(entries: list[Entry], root: str | os.PathLike[str]) -> list[Entry]:
    """The entries that are no file below ``root``."""
    return [entry for entry in entries if not os.path.isfile(image_path(root, entry.name))]
