"""Small databases made on the spot, and where Caffe's recorded ones lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image

from caffepy.proto import caffe_pb2
from tests.data.images import file_bytes

SHARED = Path(__file__).parents[2] / ".." / "shared"

MakeLmdb = Callable[..., Path]


@pytest.fixture(scope="session")
def oracle() -> Path:
    """Folder of databases and batches that Caffe itself made."""
    folder = (SHARED / "oracle" / "data").resolve()
    if not folder.is_dir():
        pytest.skip(f"no oracle: {folder} is absent")
    return folder


@pytest.fixture(scope="session")
def mnist() -> Path:
    folder = (SHARED / "data" / "mnist").resolve()
    if not folder.is_dir():
        pytest.skip(f"no MNIST: {folder} is absent")
    return folder


@pytest.fixture
def make_lmdb(tmp_path: Path) -> MakeLmdb:
    """``make_lmdb(values, name="db")`` writes values (bytes or Datum) under keys 00000000, 00000001, ..."""

    def make(values: Iterable[bytes | caffe_pb2.Datum], name: str = "db") -> Path:
        path = tmp_path / name
        environment = lmdb.open(str(path), map_size=1 << 24, lock=False)
        with environment.begin(write=True) as transaction:
            for number, value in enumerate(values):
                data = value if isinstance(value, bytes) else value.SerializeToString()
                transaction.put(b"%08d" % number, data)
        environment.close()
        return path

    return make


@pytest.fixture
def smooth_jpeg() -> bytes:
    """A colour JPEG of 60 x 50 pixels (height x width)."""
    y, x = np.mgrid[0:60, 0:50]
    rgb = np.stack([4 * y, 5 * x, 255 - 2 * (x + y)], axis=2).clip(0, 255).astype(np.uint8)
    return file_bytes(Image.fromarray(rgb), "JPEG", quality=90)
