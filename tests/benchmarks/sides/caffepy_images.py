"""caffepy: a Data layer's batches of a JPEG database, as AlexNet reads them."""

from __future__ import annotations

import time
from typing import Any

from caffepy.data.options import DataOptions
from caffepy.devices import get_backend
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from tests.benchmarks.sides import BATCHES, CROP, MEAN

__all__ = ["Side"]


class Side:
    """A net of one layer.

    Args:
        database: an LMDB.
        batch: images.
        workers: threads that decode and transform.
        threads: of the backend, which computes nothing here.
    """

    def __init__(self, database: str, batch: int, workers: int, threads: int) -> None:
        layer = caffe_pb2.LayerParameter(name="data", type="Data", top=["data", "label"])
        layer.transform_param.crop_size = CROP
        layer.transform_param.mirror = True
        layer.transform_param.mean_value.extend(MEAN)
        layer.data_param.source, layer.data_param.batch_size = database, batch
        layer.data_param.backend = caffe_pb2.DataParameter.LMDB
        param = caffe_pb2.NetParameter(layer=[layer])
        options = DataOptions(threads=workers, shuffle=True)
        self.net = Net(param, caffe_pb2.TRAIN, get_backend("cpu", threads=threads), data=options)
        self.batch = batch
        self.facts: dict[str, Any] = {}
        self.step()

    def step(self) -> float:
        """Many batches; gives seconds an image. Those made ahead while others had their turn do not count."""
        for _ in range(2 * self.net.layers[0].param.data_param.prefetch):
            self.net.forward()
        began = time.perf_counter()
        for _ in range(BATCHES):
            self.net.forward()
        return (time.perf_counter() - began) / (BATCHES * self.batch)
