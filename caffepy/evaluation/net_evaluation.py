"""A net with its data, tested image by image: as its own passes show them, or by ten crops of each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from caffepy.data.datum import Image
from caffepy.data.in_order import in_order
from caffepy.errors import NetError
from caffepy.evaluation.crops import Crops
from caffepy.evaluation.predictions import Predictions, softmax
from caffepy.evaluation.scores import ScoreBlobs
from caffepy.host import cores
from caffepy.layers._image_batches import ImageBatchLayer
from caffepy.net import Net

__all__ = ["AVERAGES", "NetEvaluation", "image_layer"]

#: What can be averaged over the crops of an image.
AVERAGES = ("probabilities", "scores")


def image_layer(net: Net, blobs: ScoreBlobs) -> ImageBatchLayer | None:
    """The layer whose images the labels belong to, or None where it is of another kind than Data and ImageData."""
    for entry in net.entries:
        if isinstance(entry.layer, ImageBatchLayer) and entry.top_names[1:2] == [blobs.label]:
            return entry.layer
    return None


class NetEvaluation:
    """Collects `Predictions` of a net in the TEST phase.

    Args:
        net: with its data and weights, made without shared memory: its blobs are read after a pass.
        blobs: of scores and labels.

    Attributes:
        predictions: so far.
        count: how many images the data has; None where that is not known.
        batch: images of a pass.
    """

    def __init__(self, net: Net, blobs: ScoreBlobs) -> None:
        self.net = net
        self.blobs = blobs
        self.layer = image_layer(net, blobs)
        self.batch, classes = net.blobs[blobs.scores].shape[:2]
        self.count = None if self.layer is None else len(self.layer.images)
        self.predictions = Predictions(classes, self.count, blobs.ignore_label)

    def take(self, rows: int | None = None) -> None:
        """Take what the last pass has computed; of the first ``rows`` images where others have come before.

        Images of Data and ImageData layers are known by number, and count once.

        Raises:
            DataError: a label that is no class.
        """
        scores, labels = self._read(self.blobs.scores), self._host(self.blobs.label).reshape(-1)
        if self.layer is not None:
            self.predictions.add(self._probabilities(scores), labels, self.layer.shown)
        else:
            self.predictions.add(self._probabilities(scores[:rows]), labels[:rows])

    def ten_crops(
        self,
        average: str = "probabilities",
        *,
        limit: int | None = None,
        threads: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Predict each image by ten crops of it.

        Args:
            average: ``"probabilities"``, after softmax, as AlexNet's authors do; or ``"scores"``, before it.
            limit: of images; all unless given.
            threads: that decode; all cores where 0.
            progress: called with (done, total).

        Raises:
            NetError: no layer of images, or labels of another.
            DataError: no crop_size, images that are too small.
        """
        layer = self.layer
        if layer is None or self.count is None:
            raise NetError(
                f"net '{self.net.name}': ten crops need the images of a Data or ImageData layer whose second top is "
                f"the label; '{self.blobs.label}' is of another layer."
            )
        if average not in AVERAGES:
            raise NetError(f"cannot average '{average}' over crops; expected {' or '.join(AVERAGES)}.")
        crops = Crops(self.net.backend, layer.transform, 10)
        index = self.net.layers.index(layer)
        data, label = self.net.entries[index].top
        total = min(self.count, limit or self.count)
        together = max(1, self.batch // crops.count)
        waiting: list[tuple[int, str, Image]] = []

        def load(number: int) -> tuple[int, str, Image]:
            return number, *layer.images.load(number)

        for loaded in in_order(load, range(total), threads or cores()):
            waiting.append(loaded)
            if len(waiting) < together and loaded[0] < total - 1:
                continue
            numbers, names, images = zip(*waiting, strict=True)
            labels = np.array([image.label for image in images], np.float32)
            crops.fill([image.array for image in images], names, data)
            label.reshape(crops.count * len(images))
            label.data[...] = self.net.backend.asarray(np.repeat(labels, crops.count))
            self._run_without(index)
            probabilities = self._averaged(len(images), average)
            self.predictions.add(probabilities, labels, np.array(numbers))
            waiting.clear()
            if progress is not None:
                progress(loaded[0] + 1, total)

    def _run_without(self, index: int) -> None:
        """All layers but the one that reads data."""
        if index > 0:
            self.net.run_forward(0, index - 1)
        self.net.run_forward(index + 1, len(self.net.entries) - 1)

    def _averaged(self, images: int, average: str) -> NDArray[np.float64]:
        if average == "scores":
            return softmax(self._read(self.blobs.logits).astype(np.float64).reshape(images, 10, -1).mean(1))
        probabilities = self._probabilities(self._read(self.blobs.scores))
        return np.asarray(probabilities.reshape(images, 10, -1).mean(1))

    def _probabilities(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        return scores.astype(np.float64) if self.blobs.normalised else softmax(scores)

    def _read(self, name: str) -> NDArray[np.float32]:
        values = self._host(name)
        return values.reshape(len(values), -1)

    def _host(self, name: str) -> NDArray[np.float32]:
        values: NDArray[np.float32] = self.net.backend.to_host(self.net.blobs[name].data)
        return values
