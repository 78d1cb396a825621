"""A data layer for tests: rows of a fixed table by ordinal, as the data layers of databases read records."""

from __future__ import annotations

import numpy as np

import caffepy

__all__ = ["FEATURES", "TABLE", "TARGETS", "Rows"]

FEATURES = 5
_random = np.random.default_rng(20)
TABLE = _random.standard_normal((48, FEATURES))
TARGETS = TABLE @ _random.standard_normal((FEATURES, 2)) + 0.1 * _random.standard_normal((48, 2))


@caffepy.register_layer("Rows")
class Rows(caffepy.Layer):
    """Tops: data_param.batch_size rows (N, 5), their targets (N, 2); pass number p begins at row p * N and wraps."""

    bottoms = (0, 0)
    tops = (2, 2)
    wait_seconds = 0.0

    def setup(self, bottom, top):
        self.batch = self.param.data_param.batch_size

    def reshape(self, bottom, top):
        top[0].reshape(self.batch, FEATURES)
        top[1].reshape(self.batch, 2)

    def forward(self, bottom, top):
        rows = (self.context.counter.value * self.batch + np.arange(self.batch)) % len(TABLE)
        top[0].data[...] = self.backend.asarray(TABLE[rows])
        top[1].data[...] = self.backend.asarray(TARGETS[rows])

    def backward(self, top, propagate_down, bottom): ...
