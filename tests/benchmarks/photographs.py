"""JPEGs to read and the database made of them: photographs where there are some, else pictures made for the purpose."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from caffepy.data.convert import ConversionSettings, convert_images
from caffepy.data.image_list import Entry

__all__ = ["add_option", "make_database"]

#: Kept beside the checkout by those who have them.
PHOTOGRAPHS = Path(__file__).parents[3] / "shared" / "data" / "photos"
_SIZE = 256


def add_option(parser: argparse.ArgumentParser) -> None:
    """``--photographs``."""
    parser.add_argument("--photographs", type=Path, default=PHOTOGRAPHS, help="a folder of JPEGs, at least 227 x 227")


def make_database(given: Path, folder: Path) -> tuple[str, str]:
    """An LMDB in ``folder`` of the JPEGs in ``given``, as they are; gives its path, and what they are in words."""
    names = sorted(path.name for path in given.glob("*.jpg")) if given.is_dir() else []
    what = f"{len(names)} JPEGs of {given.name}"
    if not names:
        given = folder / "pictures"
        names = _draw(given, 96)
        what = f"{len(names)} generated JPEGs (there is no folder of photographs)"
    database = str(folder / "lmdb")
    entries = [Entry(name, i % 8) for i, name in enumerate(names)]
    convert_images(entries, str(given), database, ConversionSettings(encoded=True))
    size = sum((given / name).stat().st_size for name in names) / len(names)
    return database, f"{what}, {size / 1024:.0f} KiB each"


def _draw(folder: Path, count: int) -> list[str]:
    """Pictures whose spectrum falls off as that of photographs does, 256 x 256."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    frequency = np.hypot(np.fft.fftfreq(_SIZE)[:, None], np.fft.rfftfreq(_SIZE)[None, :])
    frequency[0, 0] = 1 / _SIZE
    names = []
    for number in range(count):
        noise = rng.standard_normal((3, _SIZE, _SIZE))
        # Channels of photographs are nearly alike.
        noise[1:] = 0.9 * noise[0] + 0.3 * noise[1:]
        picture = np.fft.irfft2(np.fft.rfft2(noise) / frequency)
        picture = 128 + 50 * (picture - picture.mean()) / picture.std()
        names.append(f"{number:04d}.jpg")
        pixels = picture.clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
        Image.fromarray(pixels).save(folder / names[-1], quality=90)
    return names
