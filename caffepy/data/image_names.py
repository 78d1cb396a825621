"""Which files a command line means: images, folders of them, patterns, lists."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from caffepy.data.image_list import image_path, is_image_name
from caffepy.data.list_file import list_lines
from caffepy.errors import DataError, reason

__all__ = ["find_images", "images_below", "listed_images", "listed_names"]


def find_images(names: Iterable[str], ext: str = "") -> list[str]:
    """The image files that ``names`` mean, in their order.

    A folder means the images in it and below it, by name; hidden ones are passed over. A name that is no file is a
    pattern (``photos/*.jpg``; ``**`` goes through folders), for shells that leave it alone.

    Args:
        names: files, folders and patterns.
        ext: take of folders only files that end so; those of JPEG, PNG and BMP unless given.

    Raises:
        DataError: a name that means nothing, a folder without images.
    """
    found: list[str] = []
    for name in names:
        if os.path.isdir(name):
            found += images_below(name, ext)
        elif os.path.exists(name) or not glob.has_magic(name):
            found.append(name)
        else:
            matches = [match for match in sorted(glob.glob(name, recursive=True)) if os.path.isfile(match)]
            if not matches:
                raise DataError(f"no file matches '{name}' (working directory '{os.getcwd()}').")
            found += matches
    return found


def images_below(folder: str, ext: str = "") -> list[str]:
    """The images in ``folder`` and below it, by name; see `find_images`.

    Raises:
        DataError: no such folder, or none in it.
    """
    if not os.path.isdir(folder):
        raise DataError(f"there is no folder '{folder}' ({os.path.abspath(folder)}).")
    suffix = f".{ext.lstrip('.').lower()}" if ext else ""
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            wanted = name.lower().endswith(suffix) if suffix else is_image_name(name)
            if wanted and not name.startswith("."):
                found.append(os.path.join(root, name))
    if not found:
        raise DataError(f"there are no images{f' that end in {suffix}' if suffix else ''} in the folder '{folder}'.")
    return found


def listed_images(path: str, root: str = "") -> list[str]:
    """The files that the lines of the list ``path`` name, below ``root``; see `listed_names`."""
    return [image_path(root, name) for name in listed_names(path, root)]


def listed_names(path: str, root: str = "") -> list[str]:
    """The names in the lines of the list ``path``: ``name``, or ``name label``.

    A last word that is a number is taken for a label, unless the whole line is a file below ``root``.

    Raises:
        DataError: no such list, or an empty one.
    """
    names: list[str] = []
    try:
        for line in list_lines(path, "utf-8-sig"):
            if line.strip():
                names.append(_name(line.strip(), root))
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read the list of images '{path}': {reason(error)} ({Path(path).absolute()})."
        ) from error
    if not names:
        raise DataError(f"the list of images '{path}' is empty: expected a file a line.")
    return names


def _name(line: str, root: str) -> str:
    parts = line.rsplit(maxsplit=1)
    labelled = len(parts) == 2 and _is_number(parts[1]) and not os.path.isfile(image_path(root, line))
    return parts[0] if labelled else line


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
