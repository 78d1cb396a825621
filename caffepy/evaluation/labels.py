"""The names of classes, as Caffe keeps them: line i of synset_words.txt names class i."""

from __future__ import annotations

import os
from pathlib import Path

from caffepy.data.list_file import list_lines
from caffepy.errors import DataError, reason

__all__ = ["class_name", "read_labels"]

_MOST_CLASSES = 10_000_000


def read_labels(path: str | os.PathLike[str]) -> list[str]:
    """The names of classes 0, 1, ..., a line each; empty lines at the end are none.

    Raises:
        DataError: no such file, none in it, an empty line between names.
    """
    text = os.fspath(path)
    names: list[str] = []
    try:
        for line in list_lines(text, "utf-8-sig"):
            if len(names) >= _MOST_CLASSES:
                raise ValueError(f"more than {_MOST_CLASSES:,} lines")
            names.append(line.strip().encode("utf-8", "backslashreplace").decode())
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read the names of classes '{text}': {reason(error)} ({Path(text).absolute()})."
        ) from error
    while names and not names[-1]:
        names.pop()
    if not names:
        raise DataError(f"'{text}' names no class: expected a line for each, as synset_words.txt has.")
    if "" in names:
        raise DataError(
            f"{text}:{names.index('') + 1}: an empty line. Line 1 names class 0, line 2 class 1, and so on."
        )
    return names


def class_name(labels: list[str] | None, number: int) -> str:
    """What class ``number`` is called: its name, or its number where it has none."""
    return labels[number] if labels is not None and 0 <= number < len(labels) else str(number)
