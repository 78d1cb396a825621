"""PyTorch: a DataLoader's batches of the same database, with a Dataset as its users write it, decoding with Pillow."""

from __future__ import annotations

import io
import random
import time
from typing import Any

import lmdb
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, RandomSampler

from caffepy.proto import caffe_pb2
from tests.benchmarks.sides import BATCHES, CROP, MEAN

__all__ = ["Side"]


class Records(Dataset):
    """Image and label of each record: random crop, random mirror image, float, mean taken off, channels first."""

    def __init__(self, database: str) -> None:
        self.database = database
        with lmdb.open(database, readonly=True, lock=False) as file, file.begin() as transaction:
            self.keys = list(transaction.cursor().iternext(values=False))
        self.file: Any = None
        self.mean = np.array(MEAN[::-1], np.float32)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        # Each worker opens the database for itself.
        if self.file is None:
            self.file = lmdb.open(self.database, readonly=True, lock=False)
        with self.file.begin() as transaction:
            datum = caffe_pb2.Datum.FromString(transaction.get(self.keys[index]))
        image = Image.open(io.BytesIO(datum.data)).convert("RGB")
        left, top = random.randint(0, image.width - CROP), random.randint(0, image.height - CROP)
        image = image.crop((left, top, left + CROP, top + CROP))
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = np.asarray(image, np.float32) - self.mean
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))), datum.label


class Side:
    """Arguments as those of `caffepy_images`; ``workers`` are processes, as Pillow and Python share a lock."""

    def __init__(self, database: str, batch: int, workers: int, threads: int) -> None:
        torch.set_num_threads(threads)
        records = Records(database)
        sampler = RandomSampler(records, replacement=True, num_samples=1 << 40)
        self.workers, self.batch = workers, batch
        loader = DataLoader(records, batch, sampler=sampler, num_workers=workers, persistent_workers=True)
        self.batches = iter(loader)
        self.facts: dict[str, Any] = {"version": torch.__version__}
        self.step()

    def step(self) -> float:
        """As that of `caffepy_images`."""
        for _ in range(2 * 2 * self.workers):
            next(self.batches)
        began = time.perf_counter()
        for _ in range(BATCHES):
            next(self.batches)
        return (time.perf_counter() - began) / (BATCHES * self.batch)
