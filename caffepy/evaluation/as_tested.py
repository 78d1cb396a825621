"""Classes of image files by a net that is given them exactly as its TEST phase gives it records."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from caffepy.backend import Backend
from caffepy.data.in_order import in_order
from caffepy.errors import DataError, NetError
from caffepy.evaluation.classes import Classes, average_text, output_kind
from caffepy.evaluation.crops import Crops
from caffepy.evaluation.preprocessing import Preprocessing, preprocessing_of
from caffepy.net import Net
from caffepy.net.deploy import deploy_net
from caffepy.proto import caffe_pb2
from caffepy.proto.read import read_net
from caffepy.proto.text import Lines

__all__ = ["classify_as_tested"]

_log = logging.getLogger("caffepy")

# Images of a pass, where the net's own batch is larger.
_MOST_IN_BATCH = 50


def classify_as_tested(
    files: Sequence[str],
    source: str | os.PathLike[str],
    weights: Sequence[str],
    *,
    backend: Backend,
    model: str | None = None,
    crops: int = 1,
    size: tuple[int, int] = (0, 0),
    gray: bool = False,
    threads: int = 1,
    level: int = 0,
    stages: Iterable[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Classes:
    """Classes of ``files`` by the net ``source``, prepared exactly as its TEST phase prepares records.

    The net for prediction is made of ``source`` by `deploy_net`, unless ``model`` is one already.

    Args:
        files: image files.
        source: a train_val.prototxt.
        weights: files of weights; later ones win. A net that learns nothing needs none.
        crops: 1, the centre, or 10, whose outputs are averaged: probabilities, as AlexNet's authors do.
        size, gray: see `preprocessing_of`.
        threads: how many decode.
        progress: called with (done, total) after each image.

    Raises:
        CaffepyError: a file that cannot be read, a net without data layer, images that are too small, none at all.
    """
    param, lines = read_net(source)
    stages = list(stages)
    prepare = preprocessing_of(param, lines, size=size, gray=gray, level=level, stages=stages)
    first, bad = _first_good(files, prepare)
    shape = prepare.input_shape(first)
    if model is None:
        given = {prepare.top: (crops, *shape)}
        net_source = (deploy_net(param, lines, shapes=given, level=level, stages=stages), Lines.unknown())
    else:
        net_source = read_net(model)
    batch = min(max(prepare.batch_size, 10), _MOST_IN_BATCH)
    with Net(net_source, caffe_pb2.TEST, backend, level=level, stages=stages, share_memory=True) as net:
        if weights:
            _log.info("%s", net.copy_from(*weights))
        blob = net.blobs[_only_input(net, shape)]
        fill = Crops(backend, prepare.transform, crops)
        output = net.outputs[0]
        good, rows, done = [], [], len(bad)
        for names, images in _batches(files[len(bad) :], prepare, max(1, batch // crops), threads, bad):
            if images:
                fill.fill(images, [f"image '{name}'" for name in names], blob)
                net.forward()
                scores = backend.to_host(net.blobs[output].data).reshape(len(images), crops, -1)
                rows.append(scores.mean(1, dtype=np.float64).astype(np.float32))
                good += names
            done = len(good) + len(bad)
            if progress is not None:
                progress(done, len(files))
        about = prepare.describe(crops)
        kind = output_kind(net, output)
    if crops == 10:
        about["average"] = average_text(kind)
    return Classes(good, np.concatenate(rows), kind, about, bad)


def _first_good(files: Sequence[str], prepare: Preprocessing) -> tuple[NDArray[np.uint8], list[tuple[str, str]]]:
    """The first image that can be read, and the files before it."""
    if not files:
        raise DataError("there are no images to classify.")
    bad: list[tuple[str, str]] = []
    for file in files:
        try:
            return prepare.load(file), bad
        except DataError as error:
            bad.append((file, str(error)))
    raise DataError(f"none of {len(files)} images can be read; the first: {bad[0][1]}")


def _batches(
    files: Sequence[str], prepare: Preprocessing, most: int, threads: int, bad: list[tuple[str, str]]
) -> Iterator[tuple[list[str], list[NDArray[np.uint8]]]]:
    """Images that go through the net together: as many as fit a batch, of one size of crop."""

    def load(file: str) -> NDArray[np.uint8] | DataError:
        try:
            return prepare.load(file)
        except DataError as error:
            return error

    names: list[str] = []
    images: list[NDArray[np.uint8]] = []
    for file, image in zip(files, in_order(load, files, threads), strict=True):
        if isinstance(image, DataError):
            bad.append((file, str(image)))
            continue
        if images and (len(images) == most or prepare.input_shape(image) != prepare.input_shape(images[0])):
            yield names, images
            names, images = [], []
        names.append(file)
        images.append(image)
    yield names, images


def _only_input(net: Net, shape: tuple[int, ...]) -> str:
    if len(net.inputs) != 1 or not net.outputs:
        raise NetError(
            f"net '{net.name}' has {len(net.inputs)} inputs ({', '.join(net.inputs) or 'none'}) and "
            f"{len(net.outputs)} outputs; to classify images it needs one input and an output."
        )
    name = net.inputs[0]
    own = net.blobs[name].shape
    if len(own) != 4 or own[1:] != shape:
        raise NetError(
            f"net '{net.name}' has an input '{name}' of {own}, but the data layer's images become (N, "
            f"{', '.join(map(str, shape))}). Give the train_val.prototxt and the deploy.prototxt of one net."
        )
    return name
