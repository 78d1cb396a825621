"""pycaffe's Detector: predictions for windows of images, as R-CNN makes them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.errors import CaffepyError
from caffepy.proto import caffe_pb2
from caffepy.pycaffe import io
from caffepy.pycaffe.classifier import image_transformer
from caffepy.pycaffe.net import Net

__all__ = ["Detector"]


class Detector(Net):
    """A net of one image input, with what windows of images go through before it.

    Args:
        model_file: the net's prototxt.
        pretrained_file: its weights.
        mean, input_scale, raw_scale, channel_swap: see `caffepy.io.Transformer`.
        context_pad: width of the border of the net's input that shows what surrounds the window.
        arguments: as for `Net`, by keyword.

    Raises:
        CaffepyError: as `Net` and Transformer.
    """

    def __init__(
        self,
        model_file: str | os.PathLike[str],
        pretrained_file: str | os.PathLike[str] | None,
        mean: NDArray[Any] | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(model_file, caffe_pb2.TEST, weights=pretrained_file, **arguments)
        self.transformer = image_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def detect_windows(self, images_windows: Iterable[tuple[str, Sequence[Any]]]) -> list[dict[str, Any]]:
        """Predictions for windows, each resized to the net's input.

        Args:
            images_windows: an image's file and its windows (ymin, xmin, ymax, xmax), for each image.

        Returns:
            for each window, ``window``, ``prediction`` (the net's first output) and ``filename``.

        Raises:
            DataError: images that cannot be read, windows outside of their image, or no windows at all.
        """
        name, output = self.inputs[0], self.outputs[0]
        batch = max(self.blobs[name].num, 1)
        arrays: list[NDArray[np.float32]] = []
        detections: list[dict[str, Any]] = []
        predictions: list[NDArray[np.float32]] = []
        for filename, windows in images_windows:
            image = io.load_image(filename)
            for window in windows:
                arrays.append(self.transformer.preprocess(name, self.crop(image, window)))
                detections.append({"window": window, "filename": filename})
                if len(arrays) == batch:
                    # Thousands of windows would not fit into memory.
                    predictions += list(self.forward_all(**{name: np.stack(arrays)})[output])
                    arrays.clear()
        if not detections:
            raise io.ShapeError("there are no windows to look at.")
        if arrays:
            predictions += list(self.forward_all(**{name: np.stack(arrays)})[output])
        return [detection | {"prediction": row} for detection, row in zip(detections, predictions, strict=True)]

    def detect_selective_search(self, image_fnames: Sequence[str]) -> list[dict[str, Any]]:
        """The same for windows that Selective Search proposes, by the package of that name, which needs MATLAB.

        Raises:
            CaffepyError: it is not installed.
        """
        try:
            # A package of its own, on no index.
            import selective_search_ijcv_with_python as selective_search  # type: ignore[import-not-found]
        except ImportError as error:
            raise CaffepyError(
                "Selective Search is not installed: put selective_search_ijcv_with_python (by sergeyk, on GitHub) on "
                "PYTHONPATH, or find windows by other means and call detect_windows."
            ) from error
        files = [os.path.abspath(name) for name in image_fnames]
        windows = selective_search.get_windows(files, cmd="selective_search_rcnn")
        return self.detect_windows(zip(files, windows, strict=True))

    def crop(self, im: NDArray[Any], window: Sequence[Any]) -> NDArray[Any]:
        """A window (ymin, xmin, ymax, xmax) of an image (H, W, K), with its surroundings if ``context_pad`` is set.

        With them it has the net's input size already, and shows the mean where they reach beyond the image.

        Raises:
            ShapeError: nothing of the window is in the image.
        """
        box = np.array(window, np.float64)
        top, left, bottom, right = np.maximum(box.astype(int), 0)
        plain = im[top:bottom, left:right]
        if plain.size == 0:
            raise io.ShapeError(f"window {tuple(window)} (ymin, xmin, ymax, xmax) has no pixel in an image {im.shape}.")
        if not self.context_pad:
            return plain
        size = self.blobs[self.inputs[0]].width
        scale = size / (size - 2 * self.context_pad)
        half = (box[2:] - box[:2] + 1) / 2
        around = np.round(np.tile(box[:2] + half, 2) + scale * np.concatenate([-half, half]))
        # How many pixels of the input one of the image becomes, down and across.
        factor = size / (around[2:] - around[:2] + 1)
        pad = np.round(np.maximum(0, -around[:2]) * factor).astype(int)
        inside = np.clip(around, 0, np.tile(im.shape[:2], 2)).astype(int)
        shown = np.round((inside[2:] - inside[:2] + 1) * factor).astype(int)
        shown = np.minimum(shown, size - pad)
        result: NDArray[np.float32] = np.ones(self.crop_dims, np.float32) * self.crop_mean
        pixels = io.resize_image(im[inside[0] : inside[2], inside[1] : inside[3]], shown)
        result[pad[0] : pad[0] + shown[0], pad[1] : pad[1] + shown[1]] = pixels
        return result

    def configure_crop(self, context_pad: int | None) -> None:
        """Show ``context_pad`` pixels around windows from now on; none where it is None or 0."""
        name = self.inputs[0]
        channels, height, width = self.blobs[name].shape[1:]
        #: (H, W, K) of what `crop` gives with surroundings.
        self.crop_dims = np.array((height, width, channels))
        self.context_pad = context_pad
        #: The mean as an image that `preprocess` makes zero of.
        self.crop_mean: NDArray[Any] = np.zeros(self.crop_dims, np.float32)
        transformer = self.transformer
        if (mean := transformer.mean.get(name)) is not None:
            image = np.broadcast_to(mean, (channels, height, width)).transpose(1, 2, 0)
            if (swap := transformer.channel_swap.get(name)) is not None:
                image = image[:, :, np.argsort(swap)]
            self.crop_mean = image / transformer.raw_scale.get(name, 1.0)
