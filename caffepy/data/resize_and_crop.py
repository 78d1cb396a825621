"""Image files made square: resized by their shorter side, and the centre cut out; as Caffe's tool of that name does.

The work is Python's and NumPy's own, which threads cannot share, so several processes do it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from caffepy.data.datum import MAX_PIXELS, compress, decode_image
from caffepy.data.image_files import read_image_file
from caffepy.data.image_list import image_path
from caffepy.data.resize import resize_shorter_side
from caffepy.errors import DataError
from caffepy.proto.files import atomic_write, remove_abandoned, sync_folder

__all__ = ["CropReport", "SquareSettings", "plan_squares", "resize_and_crop"]

# Files that a process gets at once, and below how many of them others are not worth starting.
_AT_ONCE, _FEW = 16, 200

# Windows cannot wait for more.
_MOST = 61


@dataclass(frozen=True)
class SquareSettings:
    """What is made of each image.

    Args:
        side: pixels of a side.
        gray: one channel of brightness, else three colours.
        quality: of JPEGs, 1 to 95.
        skip_existing: leave files alone that are there.

    Raises:
        DataError: a side or quality that is none.
    """

    side: int = 256
    gray: bool = False
    quality: int = 95
    skip_existing: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.side <= MAX_PIXELS**0.5:
            raise DataError(f"a side of {self.side} pixels; expected 1 to {int(MAX_PIXELS**0.5)}.")
        if not 1 <= self.quality <= 95:
            raise DataError(f"JPEG quality {self.quality}; expected 1 to 95.")


class Square(NamedTuple):
    """An image file and the file to make of it."""

    source: str
    target: str


@dataclass
class CropReport:
    """What became of the images."""

    written: int = 0
    #: Were there already.
    skipped: int = 0
    #: Of those written: had a shorter side of less than they have now.
    enlarged: int = 0
    #: Files that could not be read, and why.
    bad: list[tuple[str, str]] = field(default_factory=list)


def plan_squares(names: Iterable[str], input_folder: str, output_folder: str) -> list[Square]:
    """Where each image goes: to its own name below ``output_folder``; each name once.

    Raises:
        DataError: a name that leaves the folder or is no JPEG, PNG or BMP; no names; input and output the same folder.
    """
    if os.path.realpath(input_folder) == os.path.realpath(output_folder):
        raise DataError(f"'{output_folder}' is the input folder: its images would be lost. Give another folder.")
    plan = []
    for name in dict.fromkeys(names):
        relative = os.path.normpath(name.lstrip("/"))
        if relative.startswith(".."):
            raise DataError(f"'{name}' is not below the input folder '{input_folder}'.")
        if _kind(relative) not in ("jpg", "png", "bmp"):
            raise DataError(f"'{name}' names no JPEG, PNG or BMP file by its ending.")
        plan.append(Square(image_path(input_folder, name), os.path.join(output_folder, relative)))
    if not plan:
        raise DataError("there are no images to resize.")
    return plan


def _kind(name: str) -> str:
    ending = os.path.splitext(name)[1].lower().lstrip(".")
    return "jpg" if ending in ("jpeg", "jpe") else ending


def resize_and_crop(
    plan: Sequence[Square],
    settings: SquareSettings,
    *,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> CropReport:
    """Make the files of ``plan``; folders are made as they are needed. Each file appears whole or not at all.

    Images are resized as `caffepy.data.resize` says, so that the shorter side has ``side`` pixels, and the centre is
    cut out of the longer one. Where several processes work, the program that calls this is imported by each of them:
    it must begin its own work below ``if __name__ == "__main__"``.

    Args:
        processes: how many work; few images are made by this one alone.
        progress: called with (done, total) after each image.

    Raises:
        OSError: a folder or file that cannot be written. What cannot be read is in the report.
    """
    folders = sorted({os.path.dirname(one.target) for one in plan})
    for folder in folders:
        os.makedirs(folder or ".", exist_ok=True)
        remove_abandoned(Path(folder), "")
    report = CropReport()
    with _workers(processes if len(plan) > _FEW else 1, plan, settings) as results:
        for done, (one, (outcome, enlarged)) in enumerate(zip(plan, results, strict=True), 1):
            report.written += outcome == ""
            report.skipped += outcome is None
            report.enlarged += enlarged
            if outcome:
                report.bad.append((one.source, outcome))
            if progress is not None:
                progress(done, len(plan))
    for folder in folders:
        sync_folder(folder or ".")
    return report


# The empty text for done, None for there already, else what is wrong; and whether it was enlarged.
_Outcome = tuple[str | None, bool]


@contextmanager
def _workers(processes: int, plan: Sequence[Square], settings: SquareSettings) -> Iterator[Iterator[_Outcome]]:
    work = partial(_make, settings)
    if processes <= 1:
        yield map(work, plan)
        return
    # Not forked: a process that has threads, as NumPy's are, cannot safely be.
    context = multiprocessing.get_context("spawn")
    # Ctrl-C reaches all processes: this one ends the others.
    ignore = (signal.SIGINT, signal.SIG_IGN)
    with ProcessPoolExecutor(min(processes, _MOST), context, signal.signal, ignore) as pool:
        try:
            yield pool.map(work, plan, chunksize=_AT_ONCE)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _make(settings: SquareSettings, one: Square) -> _Outcome:
    # An empty file is what a crash of the machine leaves.
    if settings.skip_existing and os.path.isfile(one.target) and os.path.getsize(one.target):
        return None, False
    try:
        path, data = read_image_file("", one.source)
        image = decode_image(data, f"image '{path}'", color="gray" if settings.gray else "color")
        shorter = min(image.shape[1:])
        longest = max(image.shape[1:]) * settings.side // shorter
        if longest * settings.side > MAX_PIXELS:
            return f"image '{path}' would be {longest} x {settings.side} pixels before it is cropped: too many.", False
        image = resize_shorter_side(image, settings.side)
    except DataError as error:
        return str(error), False
    top, left = (image.shape[1] - settings.side) // 2, (image.shape[2] - settings.side) // 2
    crop = image[:, top : top + settings.side, left : left + settings.side]
    with atomic_write(one.target, one_of_many=True) as file:
        file.write(compress(crop, _kind(one.target), settings.quality))
    return "", shorter < settings.side
