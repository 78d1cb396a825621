"""Where in a text file each field of a message was written, kept in a few numbers per field.

A million layers are a few million fields, so there is no object per field: a whole file is five integer arrays
(`Places`), and a `Lines` is a view of one place, made when it is asked for.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable

__all__ = ["Lines", "Places", "field_id"]

_IDS: dict[str, int] = {}
_NEXT_ID = itertools.count()
# Blocks of more fields than this get an index at the first look-up, so that a walk over all layers stays linear.
_SCANNED = 24


def field_id(name: str) -> int:
    """A small number for a field's name, the same in all files of this process."""
    found = _IDS.get(name)
    # setdefault and next are atomic each: two threads may waste a number but never share one.
    return _IDS.setdefault(name, next(_NEXT_ID)) if found is None else found


class Places:
    """All places of one file.

    Block ``b`` (a message) was opened on line ``opened[b]``; its fields are entries ``start[b]`` to ``start[b + 1]``.
    Entry ``e`` is field ``field[e]`` on line ``line[e]``, and block ``block[e]``, or -1 for a scalar.
    """

    __slots__ = ("block", "field", "file", "index", "line", "opened", "start")

    def __init__(self, file: str) -> None:
        self.file = file
        self.opened = array("i")
        self.start = array("i", [0])
        self.field = array("i")
        self.line = array("i")
        self.block = array("i")
        self.index: dict[int, dict[int, array[int]]] = {}

    def add_block(self, opened: int, entries: array[int]) -> int:
        """Store a finished message, ``entries`` being (field, line, block) of each field in a row; gives its number."""
        self.field.extend(entries[0::3])
        self.line.extend(entries[1::3])
        self.block.extend(entries[2::3])
        self.opened.append(opened)
        self.start.append(len(self.field))
        return len(self.opened) - 1

    def find(self, block: int, name: str, index: int) -> int:
        """The entry of field ``name`` number ``index`` of a block, or -1."""
        wanted = _IDS.get(name, -1)
        start, stop = self.start[block], self.start[block + 1]
        if stop - start > _SCANNED:
            if block not in self.index:
                by_field: dict[int, array[int]] = {}
                for entry in range(start, stop):
                    by_field.setdefault(self.field[entry], array("i")).append(entry)
                self.index[block] = by_field
            entries = self.index[block].get(wanted, array("i"))
            return entries[index] if 0 <= index < len(entries) else -1
        for entry in range(start, stop):
            if self.field[entry] == wanted:
                if index == 0:
                    return entry
                index -= 1
        return -1


class Lines:
    """The place of one message or scalar: `file`, `line` (from 1; 0 if not from text), and the way to its fields."""

    __slots__ = ("_block", "_places", "line")

    def __init__(self, places: Places, block: int, line: int) -> None:
        self._places = places
        self._block = block
        self.line = line

    @classmethod
    def unknown(cls, file: str = "") -> Lines:
        """For a message that does not come from text; `file` may name the binary file."""
        return cls(Places(file), -1, 0)

    @property
    def file(self) -> str:
        return self._places.file

    def at(self, field: str, index: int = 0) -> Lines:
        """The place of field ``field`` (number ``index`` if repeated), or of this message where it is not written."""
        if self._block < 0:
            return self
        entry = self._places.find(self._block, field, index)
        if entry < 0:
            return self
        return Lines(self._places, self._places.block[entry], self._places.line[entry])

    def where(self) -> str:
        """``"lenet.prototxt:12"``; the file alone, or nothing, for a message that does not come from text."""
        return f"{self.file}:{self.line}" if self.line else self.file

    def replaced(self, **fields: Iterable[Lines]) -> Lines:
        """This message's places, with those of the fields named here put in place of the ones written.

        A message built from parts of a file keeps their lines so: ``lines.replaced(layer=[...])``.
        """
        places = self._places
        entries = array("i")
        if self._block >= 0:
            dropped = {field_id(name) for name in fields}
            for entry in range(places.start[self._block], places.start[self._block + 1]):
                if places.field[entry] not in dropped:
                    entries.extend((places.field[entry], places.line[entry], places.block[entry]))
        elif self.line == 0:
            return self
        for name, values in fields.items():
            number = field_id(name)
            for value in values:
                if value._places is not places:
                    raise ValueError(f"{value.where()} is not of {places.file}")
                entries.extend((number, value.line, value._block))
        return Lines(places, places.add_block(self.line, entries), self.line)

    def __repr__(self) -> str:
        return f"<Lines {self.where() or 'unknown'}>"
