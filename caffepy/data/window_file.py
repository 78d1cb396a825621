"""R-CNN's window files: images, and in each of them windows with a class and an overlap with what they show."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

from caffepy.errors import DataError, reason

__all__ = ["WindowFile", "Windows", "read_window_file"]

_MAX_LINE = 1 << 20
_FIELDS = ("class_index", "overlap", "x1", "y1", "x2", "y2")
_WHOLE_NUMBERS = [0, 2, 3, 4, 5]


class Windows(NamedTuple):
    """Windows of one kind: ``image`` (n,) and ``label`` (n,), ``box`` (n, 4) as x1, y1, x2, y2, all included; int32."""

    image: NDArray[np.int32]
    label: NDArray[np.int32]
    box: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.image)


class WindowFile(NamedTuple):
    """The images by number, and the windows in them."""

    path: str
    images: list[str]
    foreground: Windows
    background: Windows


def read_window_file(path: str, fg_threshold: float = 0.5, bg_threshold: float = 0.5) -> WindowFile:
    """Read a window file, which repeats::

        # image_index
        path
        channels
        height
        width
        num_windows
        class_index overlap x1 y1 x2 y2        (num_windows times)

    Windows of at least ``fg_threshold`` overlap are foreground; those of less than ``bg_threshold`` are background, of
    label 0; others are left out. Line ends may stand anywhere between words.

    Raises:
        DataError: no such file, an empty one, something else than such an image at some line.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return _Parser(file, path, fg_threshold, bg_threshold).read()
    except (OSError, ValueError) as error:
        raise DataError(f"Failed to open window file '{path}': {reason(error)} ({Path(path).absolute()}).") from error


class _Parser:
    def __init__(self, file: TextIO, path: str, fg_threshold: float, bg_threshold: float) -> None:
        self.path = path
        self.fg_threshold, self.bg_threshold = np.float32(fg_threshold), np.float32(bg_threshold)
        self._file = file
        self._line = 0
        #: Of lines read, and how many of them were taken: a line may hold thousands of images.
        self._words: list[str] = []
        self._taken = 0
        self.images: list[str] = []
        #: For foreground and background, a part for each image.
        self.parts: tuple[list[Windows], list[Windows]] = ([], [])

    def read(self) -> WindowFile:
        while self._more(1):
            self._image()
        if not self.images:
            raise DataError(f"'{self.path}': Window file is empty.")
        foreground, background = (_joined(parts) for parts in self.parts)
        return WindowFile(self.path, self.images, foreground, background)

    def _image(self) -> None:
        number = len(self.images)
        mark, index = self._take(2, "'# image_index'")
        if mark != "#" or index != str(number):
            raise self._error(
                f"expected '# {number}', got '{mark[:80]} {index[:80]}' (Check failed: hashtag == \"#\"): images are "
                "numbered from 0 in the order of the file, and paths hold no blanks"
            )
        self.images.append(self._take(1, "the path of an image")[0])
        channels, _, _, count = (self._whole(what) for what in ("channels", "height", "width", "num_windows"))
        if channels != 3:
            raise self._error(f"channels of image {number} is {channels}; images are read in colour: write 3")
        if count:
            self._windows(number, count)

    def _windows(self, number: int, count: int) -> None:
        first = self._line
        words = self._take(6 * count, f"{count} windows of image {number}, '{' '.join(_FIELDS)}' each")
        try:
            values = np.array(words, np.float64).reshape(count, 6)
        except ValueError as error:
            raise self._error(f"a window of image {number} holds something else than numbers: {error}", first) from None
        whole = values[:, _WHOLE_NUMBERS]
        # NaN is equal to nothing.
        good = (whole == np.floor(whole)).all(axis=1) & (np.abs(whole) < 2**31).all(axis=1)
        good &= np.isfinite(values[:, 1])
        overlap = values[:, 1].astype(np.float32)
        foreground = overlap >= self.fg_threshold
        good &= ~foreground | (values[:, 0] > 0)
        if not good.all():
            bad = int(np.argmin(good))
            raise self._error(
                f"window {bad} of image {number} is '{' '.join(words[6 * bad : 6 * bad + 6])}': expected "
                f"'{' '.join(_FIELDS)}', all but the overlap integers, and a class_index above 0 where the overlap is "
                f"at least fg_threshold {self.fg_threshold} (Check failed: label > 0)", first,
            )  # fmt: skip
        background = ~foreground & (overlap < self.bg_threshold)
        for parts, chosen in zip(self.parts, (foreground, background), strict=True):
            label = values[chosen, 0] if chosen is foreground else np.zeros(int(chosen.sum()))
            image = np.full(len(label), number, np.int32)
            parts.append(Windows(image, label.astype(np.int32), values[chosen, 2:].astype(np.int32)))

    def _whole(self, what: str) -> int:
        (word,) = self._take(1, what)
        if not (word.isascii() and word.isdigit() and len(word) < 10):
            raise self._error(f"expected {what} of image {len(self.images) - 1}, a number, got '{word[:80]}'")
        return int(word)

    def _take(self, count: int, what: str) -> list[str]:
        if not self._more(count):
            raise self._error(f"the file ends where it should have {what}")
        self._taken += count
        return self._words[self._taken - count : self._taken]

    def _more(self, count: int) -> bool:
        """Read until there are ``count`` words; False where the file has no more."""
        while len(self._words) - self._taken < count:
            line = self._file.readline(_MAX_LINE)
            self._line += 1
            if not line:
                return False
            if len(line) == _MAX_LINE:
                raise self._error(f"a line of more than {_MAX_LINE:,} characters: not a window file")
            del self._words[: self._taken]
            self._taken = 0
            self._words += line.split()
        return True

    def _error(self, text: str, line: int | None = None) -> DataError:
        # Bytes that are no text must not keep the message from being printed.
        readable = text.encode("utf-8", "backslashreplace").decode()
        return DataError(f"{self.path}:{self._line if line is None else line + 1}: {readable}.")


def _joined(parts: list[Windows]) -> Windows:
    if not parts:
        return Windows(np.empty(0, np.int32), np.empty(0, np.int32), np.empty((0, 4), np.int32))
    return Windows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
