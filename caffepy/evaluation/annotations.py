"""ILSVRC's annotations, an XML file for each image: the classes of its objects and their boxes.

The files are those of PASCAL VOC: in ``<annotation>`` an ``<object>`` for each, with ``<name>`` and ``<bndbox>`` of
``<xmin>``, ``<ymin>``, ``<xmax>``, ``<ymax>``. A document type, which alone could define entities, is refused, and so
is whatever is larger or deeper than annotations are: what a file makes this take is bounded by its size.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

from caffepy.errors import DataError, reason

__all__ = ["Box", "LabelledBox", "annotation_files", "read_annotation"]

_MAX_BYTES = 1 << 20
_MAX_DEPTH = 16
_MAX_TEXT = 1000
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


class Box(NamedTuple):
    """Columns and rows of a rectangle, all four included in it."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float

    def check(self) -> str:
        """What is wrong with it, or the empty text."""
        if not all(map(math.isfinite, self)):
            return "coordinates that are no numbers"
        if self.xmax < self.xmin or self.ymax < self.ymin:
            corners = f"xmin {self.xmin:g} to xmax {self.xmax:g}, ymin {self.ymin:g} to ymax {self.ymax:g}"
            return f"{corners}: nothing is inside"
        return ""


class LabelledBox(NamedTuple):
    """An object of a class; ``box`` is None where it is not known."""

    label: str
    box: Box | None


def annotation_files(folder: str | os.PathLike[str]) -> list[Path]:
    """The XML files in ``folder``, by name: the order of ILSVRC's images.

    Raises:
        DataError: no such folder, or none in it.
    """
    base = Path(folder)
    try:
        found = sorted(entry for entry in base.iterdir() if entry.suffix.lower() == ".xml")
    except OSError as error:
        raise DataError(f"cannot read the folder '{base}': {reason(error)} ({base.absolute()}).") from error
    if not found:
        raise DataError(f"there are no .xml files in the folder '{base}': expected an annotation for each image.")
    return found


def read_annotation(path: str | os.PathLike[str]) -> list[LabelledBox]:
    """The objects in an annotation.

    Raises:
        DataError: it cannot be read, is no annotation, or has a document type; names the line.
    """
    text = os.fspath(path)
    try:
        with open(text, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"cannot read the annotation '{text}': {reason(error)}.") from error
    if len(data) > _MAX_BYTES:
        raise DataError(f"annotation '{text}' has more than {_MAX_BYTES:,} bytes: it is none.")
    return _Parser(text).parse(data)


class _Parser:
    def __init__(self, path: str) -> None:
        self.path = path
        self._tags: list[str] = []
        self._text: list[str] = []
        self._length = 0
        self._name = ""
        self._box: dict[str, float] = {}
        self._objects: list[LabelledBox] = []
        self._parser = parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._doctype

    def parse(self, data: bytes) -> list[LabelledBox]:
        try:
            self._parser.Parse(data, True)
        except expat.ExpatError as error:
            raise DataError(f"{self.path}:{error.lineno}: no XML: {expat.errors.messages[error.code]}.") from None
        # Python's own, for an encoding that it does not know and the like.
        except (LookupError, ValueError) as error:
            raise self._error(f"no XML: {str(error)[:200]}") from None
        return self._objects

    def _error(self, text: str) -> DataError:
        return DataError(f"{self.path}:{self._parser.CurrentLineNumber}: {text}.")

    def _doctype(self, name: str, system: str | None, public: str | None, internal: bool) -> None:
        raise self._error("a document type (<!DOCTYPE>): annotations have none, and entities are not read")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self._tags and tag != "annotation":
            raise self._error(f"expected <annotation>, got <{tag[:80]}>")
        if len(self._tags) >= _MAX_DEPTH:
            raise self._error(f"elements more than {_MAX_DEPTH} deep")
        self._tags.append(tag)
        self._text, self._length = [], 0
        if self._tags == ["annotation", "object"]:
            self._name, self._box = "", {}

    def _characters(self, text: str) -> None:
        self._length += len(text)
        if self._length > _MAX_TEXT:
            raise self._error(f"a text of more than {_MAX_TEXT:,} characters")
        self._text.append(text)

    def _end(self, tag: str) -> None:
        text = "".join(self._text).strip()
        self._text, self._length = [], 0
        if self._tags == ["annotation", "object", "name"]:
            self._name = text
        elif self._tags[:3] == ["annotation", "object", "bndbox"] and len(self._tags) == 4 and tag in _CORNERS:
            try:
                self._box[tag] = float(text)
            except ValueError:
                raise self._error(f"<{tag}> must be a number, got '{text[:80]}'") from None
        elif self._tags == ["annotation", "object"]:
            self._finish()
        self._tags.pop()

    def _finish(self) -> None:
        if not self._name:
            raise self._error("an <object> without <name>")
        box = None
        if self._box:
            missing = [corner for corner in _CORNERS if corner not in self._box]
            if missing:
                raise self._error(f"a <bndbox> without {', '.join(f'<{corner}>' for corner in missing)}")
            box = Box(*(self._box[corner] for corner in _CORNERS))
            if wrong := box.check():
                raise self._error(f"a <bndbox> of {wrong}")
        self._objects.append(LabelledBox(self._name, box))
