"""OpenCV's dnn: a forward pass of the deploy net of ``models/``, by OpenCV's own reader of Caffe's files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.benchmarks.nets import MODELS, benchmark_net, inputs
from tests.benchmarks.sides import CAFFEMODEL, PROBABILITIES

__all__ = ["Side"]


class Side:
    """Arguments as those of `caffepy_inference`."""

    def __init__(self, model: str, batch: int, threads: int, folder: str) -> None:
        cv2.setNumThreads(threads)
        self.net = cv2.dnn.readNetFromCaffe(str(MODELS / model / "deploy.prototxt"), str(Path(folder) / CAFFEMODEL))
        self.net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        self.net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
        self.image = inputs(benchmark_net(model, batch, train=False))["data"]
        self.step()
        wanted = np.load(Path(folder) / PROBABILITIES, allow_pickle=False)
        difference = np.abs(self.out.reshape(wanted.shape) - wanted).max() / wanted.max()
        self.facts: dict[str, Any] = {"difference": float(difference), "version": cv2.__version__}

    def step(self) -> None:
        """One pass."""
        self.net.setInput(self.image)
        self.out = self.net.forward()
