"""Numbered images with labels, wherever they lie: what a reader makes batches of."""

from __future__ import annotations

from abc import ABC, abstractmethod

from caffepy.data.datum import Color, Image, decode
from caffepy.data.source import Source, key_text

__all__ = ["Images", "RecordImages"]


class Images(ABC):
    """Images by number. All methods may be called from several threads at once."""

    #: Of the database or list, for messages.
    path: str

    @abstractmethod
    def __len__(self) -> int:
        """How many images there are; at least one."""

    @abstractmethod
    def load(self, number: int) -> tuple[str, Image]:
        """What messages call image ``number`` (``record '0001'``), and the image.

        Raises:
            DataError: it cannot be read or decoded.
        """

    @abstractmethod
    def name(self, number: int) -> str:
        """What image ``number`` is called where it lies: the key of its record, or its name in the list."""


class RecordImages(Images):
    """The records of a database, each a Datum.

    Args:
        source: the database; whoever opened it closes it.
        color: what encoded records are decoded to.
    """

    def __init__(self, source: Source, color: Color = None) -> None:
        self.path = source.path
        self._source = source
        self._color: Color = color

    def __len__(self) -> int:
        return len(self._source)

    def load(self, number: int) -> tuple[str, Image]:
        key, value = self._source.read(number)
        return f"record '{key_text(key)}'", decode(value, key, color=self._color)

    def name(self, number: int) -> str:
        return key_text(self._source.read(number)[0])
