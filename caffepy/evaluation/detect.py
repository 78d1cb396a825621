"""What a net says of windows in images: prepared as its own WindowData layer does it, or as pycaffe's Detector."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from caffepy.backend import Backend
from caffepy.data.datum import decode_image
from caffepy.data.image_files import read_image_file
from caffepy.data.transform import Transform
from caffepy.data.window_reader import WindowSettings, warp_window, window_settings
from caffepy.errors import DataError, NetError
from caffepy.evaluation.by_flags import Flags
from caffepy.evaluation.classes import output_kind
from caffepy.evaluation.windows import Detections, WindowList
from caffepy.net import Net
from caffepy.net.deploy import deploy_net
from caffepy.net.state import included, net_state
from caffepy.proto import caffe_pb2
from caffepy.proto.read import read_net
from caffepy.proto.text import Lines
from caffepy.pycaffe import io
from caffepy.pycaffe.classifier import image_transformer
from caffepy.pycaffe.detector import Detector

__all__ = ["detect_as_trained", "detect_by_flags"]

_log = logging.getLogger("caffepy")

Progress = Callable[[int, int], None]
# Windows of a pass, where the net's own batch is smaller or larger.
_FEWEST, _MOST = 10, 64


class _Prepares(Protocol):
    """From a window to what the net's input takes."""

    def load(self, file: str) -> NDArray[Any]:
        """An image, in whatever form `window` wants it. DataError: it cannot be read."""

    def window(self, image: NDArray[Any], box: Sequence[float]) -> NDArray[np.float32]:
        """The window ymin, xmin, ymax, xmax of the image, (C, h, w). DataError: it is not in it."""


def detect_by_flags(
    windows: WindowList,
    model: str,
    weights: Sequence[str],
    flags: Flags,
    *,
    backend: Backend,
    context_pad: int = 0,
    progress: Progress | None = None,
) -> Detections:
    """Predictions for ``windows`` by the net for prediction ``model``, as Caffe's python/detect.py makes them.

    Args:
        windows: as pycaffe counts: rows ymin to ymax - 1, columns xmin to xmax - 1.
        flags: what images go through; images_dim is not used.
        context_pad: pixels of the net's input on each side that show what surrounds a window.
        progress: called with (done, total) after each window.

    Raises:
        CaffepyError: as Detector; no window that can be looked at.
    """
    with Detector(model, None, backend=backend) as detector:
        if weights:
            _log.info("%s", detector.copy_from(*weights))
        name = detector.inputs[0]
        shape = detector.blobs[name].shape
        if 2 * context_pad >= min(shape[2:]):
            raise DataError(
                f"context_pad {context_pad} on both sides leaves nothing of an input of {shape[2]} x {shape[3]}. "
                "Give a smaller --context-pad, or 0."
            )
        detector.transformer = image_transformer(detector, **flags.keywords(shape))
        detector.configure_crop(context_pad or None)
        about = flags.describe(shape) | {
            "from": "options, as Caffe's python/detect.py",
            "windows": f"resized to {shape[2]} x {shape[3]}",
            "context_pad": str(context_pad),
        }
        return _detect(windows, _AsDetector(detector), detector.engine, about, progress)


class _AsDetector(NamedTuple):
    detector: Detector

    def load(self, file: str) -> NDArray[np.float32]:
        return io.load_image(file, self.detector.blobs[self.detector.inputs[0]].channels != 1)

    def window(self, image: NDArray[np.float32], box: Sequence[float]) -> NDArray[np.float32]:
        return self.detector.transformer.preprocess(self.detector.inputs[0], self.detector.crop(image, box))


def detect_as_trained(
    windows: WindowList,
    source: str | os.PathLike[str],
    weights: Sequence[str],
    *,
    backend: Backend,
    model: str | None = None,
    level: int = 0,
    stages: Iterable[str] = (),
    progress: Progress | None = None,
) -> Detections:
    """Predictions for ``windows``, cut out and prepared as the WindowData layer of the net ``source`` does it.

    Args:
        windows: as window files count: rows ymin to ymax and columns xmin to xmax, both included. Whole numbers.
        source: a train_val.prototxt with a WindowData layer, in TEST or else in TRAIN.
        model: a net for prediction; made of ``source`` unless given.
        progress: called with (done, total) after each window.

    Raises:
        CaffepyError: a file that cannot be read, no such layer, no window that can be looked at.
    """
    param, lines = read_net(source)
    stages = list(stages)
    layer, where = _window_layer(param, lines, level, stages)
    transform = Transform(layer.transform_param, caffe_pb2.TEST, 0, layer.name, where)
    try:
        settings = window_settings(layer.window_data_param, transform)
    except DataError as error:
        raise DataError(f"{transform.where}: {error}") from error
    side = settings.crop_size
    if model is None:
        shapes = {layer.top[0]: (_FEWEST, 3, side, side)}
        net_source = (deploy_net(param, lines, shapes=shapes, level=level, stages=stages), Lines.unknown())
    else:
        net_source = read_net(model)
    with Net(net_source, caffe_pb2.TEST, backend, level=level, stages=stages, share_memory=True) as net:
        if weights:
            _log.info("%s", net.copy_from(*weights))
        if len(net.inputs) != 1 or net.blobs[net.inputs[0]].shape[1:] != (3, side, side):
            raise NetError(
                f"net '{net.name}': expected one input (N, 3, {side}, {side}), as the WindowData layer makes it; got "
                f"{', '.join(f'{name} {net.blobs[name].shape}' for name in net.inputs) or 'none'}."
            )
        mean = layer.transform_param
        about = {
            "from": f"{transform.where} (WindowData)",
            "channels": "BGR, 0 to 255",
            "windows": f"{'square' if settings.square else 'warped'} to {side} x {side}",
            "context_pad": str(settings.context_pad),
            "mean": mean.mean_file or ", ".join(f"{value:g}" for value in mean.mean_value) or "none",
            "scale": f"{settings.scale:g}",
        }
        return _detect(windows, _AsWindowData(settings), net, about, progress)


class _AsWindowData(NamedTuple):
    settings: WindowSettings

    def load(self, file: str) -> NDArray[np.uint8]:
        path, data = read_image_file("", file)
        return decode_image(data, f"image '{path}'", color="color")

    def window(self, image: NDArray[np.uint8], box: Sequence[float]) -> NDArray[np.float32]:
        ymin, xmin, ymax, xmax = (int(value) for value in box)
        side = self.settings.crop_size
        out = np.empty((3, side, side), np.float32)
        warp_window(image, (xmin, ymin, xmax, ymax), self.settings, False, out)
        return out


def _window_layer(
    param: caffe_pb2.NetParameter, lines: Lines, level: int, stages: list[str]
) -> tuple[caffe_pb2.LayerParameter, str]:
    # Nets that learn from windows are often not tested by them.
    for phase in (caffe_pb2.TEST, caffe_pb2.TRAIN):
        state = net_state(phase, level, [*param.state.stage, *stages])
        for i, layer in enumerate(param.layer):
            where = lines.at("layer", i).where()
            if layer.type == "WindowData" and included(layer, state, where):
                return layer, where
    raise NetError(
        f"net '{param.name}' has no WindowData layer, whose context_pad, crop_mode, mean and scale say how windows are "
        "cut out. Give --model and the options of Caffe's detect.py instead of --from."
    )


def _detect(
    windows: WindowList, prepare: _Prepares, net: Net, about: dict[str, str], progress: Progress | None
) -> Detections:
    """All windows through the net, as many at a time as fit its batch."""
    blob, output = net.blobs[net.inputs[0]], net.outputs[0]
    size = min(max(blob.shape[0], _FEWEST), _MOST)
    bad: list[tuple[str, str]] = []
    good: list[int] = []
    rows: list[NDArray[np.float32]] = []
    waiting: list[NDArray[np.float32]] = []

    def run() -> None:
        blob.reshape(len(waiting), *waiting[0].shape)
        blob.data[...] = net.backend.asarray(np.stack(waiting))
        net.forward()
        rows.append(net.backend.to_host(net.blobs[output].data).reshape(len(waiting), -1).copy())
        waiting.clear()

    for done, (number, array) in enumerate(_arrays(windows, prepare, bad), 1):
        if array is not None:
            waiting.append(array)
            good.append(number)
            if len(waiting) == size:
                run()
        if progress is not None:
            progress(done, len(windows))
    if waiting:
        run()
    if not good:
        raise DataError(f"none of {len(windows)} windows can be looked at; the first: {bad[0][1]}")
    kept = WindowList([windows.files[i] for i in good], windows.boxes[good])
    return Detections(kept, np.concatenate(rows), output_kind(net, output), about, bad)


def _arrays(
    windows: WindowList, prepare: _Prepares, bad: list[tuple[str, str]]
) -> Iterator[tuple[int, NDArray[np.float32] | None]]:
    """Each window's number and what the net takes of it; None where it cannot be looked at."""
    for file, numbers in groupby(range(len(windows)), windows.files.__getitem__):
        image = None
        try:
            image = prepare.load(file)
        except DataError as error:
            bad.append((file, str(error)))
        for number in numbers:
            try:
                yield number, None if image is None else prepare.window(image, windows.boxes[number].tolist())
            except DataError as error:
                bad.append((file, f"'{file}': {error}"))
                yield number, None
