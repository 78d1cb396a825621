"""A batch of images as the net sees it, made visible: mean and scale are undone, crop, mirroring and noise are not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.data.transform import Transform
from caffepy.drawing.panels import stretched
from caffepy.errors import DataError
from caffepy.layers._image_batches import ImageBatchLayer
from caffepy.net import Net
from caffepy.net.build import Entry

__all__ = ["find_images", "visible"]

# Values of pixels that are taken for such: noise leaves 0 to 255.
_LOW, _HIGH = -96.0, 351.0
_WHY = " And nothing feeds an Input layer here: give the train_val.prototxt."


def find_images(net: Net) -> Entry:
    """The first data layer whose first top holds images.

    Raises:
        DataError: there is none.
    """
    for entry in net.entries:
        if not entry.bottom and entry.top and entry.layer.type != "Input" and _is_image(entry.top[0].shape):
            return entry
    found = ", ".join(
        f"'{name}' {blob.shape}" for entry in net.entries if not entry.bottom
        for name, blob in zip(entry.top_names, entry.top, strict=True)
    )  # fmt: skip
    raise DataError(
        f"net '{net.name}': no data layer gives images (N, 1, H, W) or (N, 3, H, W) in this phase; found "
        f"{found or 'no data layer'}.{_WHY if net.inputs else ''}"
    )


def _is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and shape[1] in (1, 3) and min(shape[2:]) > 1


def visible(net: Net, entry: Entry) -> tuple[NDArray[np.float64], str]:
    """The images of a data layer's last pass, (N, h, w) or (N, h, w, 3) of red, green, blue, 0 to 1.

    Returns:
        the images, and what was done to see them.
    """
    data = np.asarray(net.backend.to_host(entry.top[0].data), np.float64)
    pixels, how = _undone(net, entry, data)
    if pixels is None or pixels.min(initial=0) < _LOW or pixels.max(initial=0) > _HIGH:
        # Not pixels: floats of some other range.
        pixels, how = 255 * stretched(data, each=False), "stretched from the smallest value to the largest"
    images = np.clip(pixels / 255, 0, 1).transpose(0, 2, 3, 1)
    return (images[..., ::-1] if images.shape[3] == 3 else images[..., 0]), how


def _undone(net: Net, entry: Entry, data: NDArray[np.float64]) -> tuple[NDArray[np.float64] | None, str]:
    """The pixels that mean and scale were applied to; None where the layer has neither."""
    layer = entry.layer
    if layer.type not in ("Data", "ImageData", "WindowData", "MemoryData"):
        return None, ""
    transform = Transform(layer.param.transform_param, net.phase, 0, layer.name, layer.where)
    scale = layer.param.window_data_param.scale if layer.type == "WindowData" else transform.scale
    if scale == 0:
        return None, ""
    pixels = data / scale
    steps = [] if scale == 1 else [f"divided by scale {scale:g}"]
    if transform.mean is not None:
        pixels = pixels + _mean(net, entry, transform, data.shape)
        steps.append("mean added")
    return pixels, ", ".join(steps) or "as they are"


def _mean(net: Net, entry: Entry, transform: Transform, shape: tuple[int, ...]) -> NDArray[Any]:
    mean = np.asarray(transform.mean, np.float64)
    if mean.ndim == 1:
        return mean.reshape(1, -1, 1, 1)
    layer, (count, _, height, width) = entry.layer, shape
    if not isinstance(layer, ImageBatchLayer) or layer.reader is None:
        # Where the windows lie in the mean image is not known; its colours are about the same everywhere.
        return np.asarray(mean.mean((1, 2)).reshape(1, -1, 1, 1))
    batch = layer.reader.get(max(net.counter.value - 1, 0))
    parts = np.empty(shape)
    for i in range(count):
        y, x = int(batch.h_off[i]), int(batch.w_off[i])
        part = mean[:, y : y + height, x : x + width]
        parts[i] = part[:, :, ::-1] if batch.mirror[i] else part
    return parts
