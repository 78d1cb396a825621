"""Batches of windows drawn at random from images, as R-CNN was trained on."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from caffepy.data.bad_records import BadRecords, too_many
from caffepy.data.datum import decode_image
from caffepy.data.image_files import read_image_file
from caffepy.data.prefetch import Prefetcher
from caffepy.data.reader import Allocate
from caffepy.data.resize import resize
from caffepy.data.transform import Transform
from caffepy.data.window_crop import place_window
from caffepy.data.window_file import WindowFile, Windows
from caffepy.errors import DataError
from caffepy.host import cores
from caffepy.proto import caffe_pb2
from caffepy.random import Stream

__all__ = ["WindowBatch", "WindowImages", "WindowReader", "WindowSettings", "warp_window", "window_settings"]

# Draws for one place of a batch before its images are given up.
_MOST_DRAWS = 1000


@dataclass
class WindowBatch:
    """``data`` (N, 3, crop_size, crop_size) and ``label`` (N,), float32.

    Attributes:
        words: (N, 2), the random words that each window is drawn by.
        passed_over: for each place the images that were drawn there and cannot be used: number, and what is wrong.
    """

    data: NDArray[np.float32]
    label: NDArray[np.float32]
    words: NDArray[np.uint32] = field(repr=False)
    passed_over: list[list[tuple[int, str]]] = field(default_factory=list, repr=False)

    @property
    def tops(self) -> Sequence[NDArray[np.float32]]:
        """What the layer's tops get."""
        return self.data, self.label


@dataclass(frozen=True)
class WindowSettings:
    """What is drawn, and what is made of it.

    Attributes:
        batch_size: windows in a batch (N).
        fg_fraction: of them in the foreground, rounded down; they come after the background.
        crop_size: height and width of a crop.
        context_pad: see `place_window`.
        square: see `place_window`.
        mirror: flip with probability 1/2.
        mean: None, (1,) or (3,) values, or an image (3, H, W) at least as large as a crop, whose middle is taken.
        scale: factor after subtracting the mean.

    Raises:
        DataError: no crop_size, no batch_size, padding that leaves nothing of the crop, a wrong fraction or mean.
    """

    batch_size: int
    fg_fraction: float
    crop_size: int
    context_pad: int = 0
    square: bool = False
    mirror: bool = False
    mean: NDArray[np.float32] | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.crop_size < 1:
            raise DataError("crop_size must be positive (Check failed: crop_size > 0). Set it in transform_param.")
        if self.batch_size < 1:
            raise DataError("batch_size must be positive. Set it in window_data_param.")
        if not 0 <= self.fg_fraction <= 1:
            raise DataError(f"fg_fraction must be between 0 and 1, got {self.fg_fraction:g}.")
        if 2 * self.context_pad >= self.crop_size:
            raise DataError(
                f"context_pad {self.context_pad} on both sides leaves nothing of a crop_size of {self.crop_size}."
            )
        if self.mean is None:
            return
        if self.mean.ndim == 1 and self.mean.size not in (1, 3):
            raise DataError(f"Specify either 1 mean_value or as many as channels: 3; got {self.mean.size}.")
        if self.mean.ndim == 3:
            channels, height, width = self.mean.shape
            if channels != 3 or width < self.crop_size or height < self.mean_offset + self.crop_size:
                raise DataError(
                    f"the mean image is {channels} x {height} x {width}: it must have 3 channels and be as large as "
                    f"the crop of {self.crop_size} in its middle."
                )

    @property
    def foreground(self) -> int:
        """Windows of the foreground in a batch."""
        return int(np.float32(self.batch_size) * np.float32(self.fg_fraction))

    @property
    def mean_offset(self) -> int:
        """Rows and columns left out of a mean image. Caffe takes both from its width."""
        return (self.mean.shape[2] - self.crop_size) // 2 if self.mean is not None and self.mean.ndim == 3 else 0


def window_settings(param: caffe_pb2.WindowDataParameter, transform: Transform) -> WindowSettings:
    """The settings of a WindowData layer.

    Raises:
        DataError: as `WindowSettings`.
    """
    return WindowSettings(
        param.batch_size,
        param.fg_fraction,
        transform.crop_size,
        param.context_pad,
        param.crop_mode == "square",
        transform.mirror,
        transform.mean,
        param.scale,
    )


class WindowImages:
    """The images of a window file, decoded in colour each time they are wanted.

    Args:
        names: of the images.
        root: put before the names.
        cache: keep all files in memory, undecoded.

    Raises:
        DataError: with ``cache``, a file that cannot be read.
    """

    def __init__(self, names: list[str], root: str, *, cache: bool = False) -> None:
        self._names = names
        self._root = root
        self._cached = [self._read(number) for number in range(len(names))] if cache else None

    def load(self, number: int) -> tuple[str, NDArray[np.uint8]]:
        """The path and the pixels (3, H, W), blue first, of image ``number``.

        Raises:
            DataError: it cannot be read or decoded.
        """
        path, data = self._cached[number] if self._cached else self._read(number)
        return path, decode_image(data, f"image '{path}'", color="color")

    def _read(self, number: int) -> tuple[str, bytes]:
        return read_image_file(self._root, self._names[number], " Check root_folder and the window file.")


def cached_bytes(names: list[str], root: str) -> int:
    """Memory that a cache of these files takes; files that are not there count nothing."""
    paths = (root + name for name in names)
    return sum(os.path.getsize(path) for path in paths if os.path.isfile(path))


class WindowReader:
    """Makes the batches of one layer: first background, then foreground, each drawn anew from its windows.

    Which window a place of a batch shows, and whether mirrored, is a function of ``(seed, layer_name, ordinal)``, where
    ordinals count the places of all batches from the start of training. A window whose image cannot be read, or that
    is not in it, is drawn again; more than ``max_bad_records`` different images of that kind end the run.

    Args:
        file: the windows.
        images: the images.
        settings: what is drawn, and what is made of it.
        seed: the run's random_seed.
        layer_name: of the layer.
        where: file, line and name of the layer, put before messages.
        prefetch: how many batches there are at most, the one in use included.
        threads: how many threads decode; as many as there are cores unless given.
        max_bad_records: how many images may be passed over.
        allocate: makes the array of a batch from its shape and dtype.

    Raises:
        DataError: no windows of a kind that is drawn from.
    """

    def __init__(
        self,
        file: WindowFile,
        images: WindowImages,
        settings: WindowSettings,
        *,
        seed: int,
        layer_name: str,
        where: str,
        allocate: Allocate,
        prefetch: int = 4,
        threads: int | None = None,
        max_bad_records: int = 0,
    ) -> None:
        size, crop = settings.batch_size, settings.crop_size
        for windows, wanted, kind in (
            (file.foreground, settings.foreground, "foreground (overlap at least fg_threshold)"),
            (file.background, size - settings.foreground, "background (overlap below bg_threshold)"),
        ):
            if wanted and not len(windows):
                raise DataError(f"{where}'{file.path}' has no windows of the {kind}, and batches need {wanted}.")
        #: Windows are drawn without end.
        self.records: int | None = None
        #: Of data and labels.
        self.shapes = ((size, 3, crop, crop), (size,))
        #: How many batches there are at most, the one in use included.
        self.depth = max(1, prefetch)
        #: Bytes of all batches.
        self.held_bytes = self.depth * 4 * math.prod(self.shapes[0])
        self._bad = BadRecords(max_bad_records)
        filler = _Filler(file, images, settings, Stream(seed, layer_name, "window"), where, max_bad_records)
        shape = self.shapes[0]
        self._prefetcher = Prefetcher(
            fill=filler.fill,
            prepare=filler.prepare,
            batch_size=size,
            allocate=lambda: WindowBatch(
                allocate(shape, np.dtype(np.float32)), np.empty(size, np.float32), np.empty((0, 2), np.uint32)
            ),
            depth=self.depth,
            threads=threads or cores(),
        )

    @property
    def wait_seconds(self) -> float:
        """Seconds that `get` has waited for batches so far."""
        return self._prefetcher.wait_seconds

    @property
    def bad_records(self) -> int:
        """How many different images were passed over in the batches that `get` has given."""
        return len(self._bad)

    def get(self, step: int) -> WindowBatch:
        """The batch of ``step``, valid until the next `get`.

        Raises:
            DataError: more bad images than allowed; names the one too many.
        """
        batch = self._prefetcher.get(step)
        for passed_over in batch.passed_over:
            self._bad.note(passed_over)
        return batch

    def close(self) -> None:
        """End the threads."""
        self._prefetcher.close()


class _Filler:
    """Puts windows into batches. Apart from WindowReader, so that threads do not keep that alive."""

    def __init__(
        self,
        file: WindowFile,
        images: WindowImages,
        settings: WindowSettings,
        stream: Stream,
        where: str,
        max_bad_records: int,
    ) -> None:
        self.file = file
        self.images = images
        self.settings = settings
        self.stream = stream
        self.where = where
        self.max_bad_records = max_bad_records

    def prepare(self, batch: WindowBatch, step: int) -> None:
        """Draw for all windows of a batch at once."""
        size = self.settings.batch_size
        batch.words = self.stream.bits_of_steps(np.arange(step * size, (step + 1) * size, dtype=np.int64), 2)
        batch.passed_over = [[] for _ in range(size)]

    def fill(self, batch: WindowBatch, position: int, ordinal: int) -> None:
        """Put a window at ``position``."""
        settings = self.settings
        foreground = position >= settings.batch_size - settings.foreground
        windows = self.file.foreground if foreground else self.file.background
        words, passed_over, images = batch.words[position], batch.passed_over[position], set[int]()
        for draw in range(1, _MOST_DRAWS + 1):
            number = int(words[0]) * len(windows) >> 32
            try:
                self._put(windows, number, settings.mirror and bool(words[1] >> 31), batch.data[position])
                batch.label[position] = windows.label[number]
                return
            except DataError as error:
                image = int(windows.image[number])
                if image not in images:
                    images.add(image)
                    passed_over.append((image, f"{self.where}{error}"))
                if len(images) > self.max_bad_records or draw == _MOST_DRAWS:
                    raise DataError(too_many(f"{self.where}{error}", self.max_bad_records)) from error
                words = self.stream.bits(2 * draw + 2, ordinal)[-2:]

    def _put(self, windows: Windows, number: int, mirror: bool, out: NDArray[np.float32]) -> None:
        path, image = self.images.load(int(windows.image[number]))
        try:
            warp_window(image, windows.box[number].tolist(), self.settings, mirror, out)
        except DataError as error:
            raise DataError(f"image '{path}' of '{self.file.path}': {error}") from error


def warp_window(
    image: NDArray[np.uint8], box: Sequence[int], settings: WindowSettings, mirror: bool, out: NDArray[np.float32]
) -> None:
    """Put the window ``box`` (x1, y1, x2, y2), all included, of an image (3, H, W) into ``out`` (3, s, s).

    Resized, less the mean, scaled; zero where it lies beyond the image.

    Raises:
        DataError: a window that is not in the image.
    """
    x1, y1, x2, y2 = box
    _, height, width = image.shape
    crop = settings.crop_size
    placed = place_window((x1, y1, x2, y2), height, width, crop, settings.context_pad, settings.square, mirror)
    pixels = resize(image[:, placed.y1 : placed.y2 + 1, placed.x1 : placed.x2 + 1], placed.height, placed.width)
    rows = slice(placed.pad_h, placed.pad_h + placed.height)
    columns = slice(placed.pad_w, placed.pad_w + placed.width)
    out[...] = 0
    part = out[:, rows, columns]
    part[...] = pixels[:, :, ::-1] if mirror else pixels
    if settings.mean is not None:
        # The mean is that of the place in the crop: it is not mirrored.
        off = settings.mean_offset
        part -= (
            settings.mean[:, off : off + crop, off : off + crop][:, rows, columns]
            if settings.mean.ndim == 3
            else settings.mean[:, None, None]
        )
    part *= np.float32(settings.scale)
