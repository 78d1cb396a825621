"""Images and records to test with."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from caffepy.proto import caffe_pb2


def noise_image(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """Random pixels (C, H, W)."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def raw_datum(image: np.ndarray, label: int = 0) -> caffe_pb2.Datum:
    channels, height, width = image.shape
    return caffe_pb2.Datum(channels=channels, height=height, width=width, data=image.tobytes(), label=label)


def file_bytes(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()
