"""The nets of ``models/`` with their data layers replaced by inputs, so that what is measured is the net alone."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from caffepy.net.state import included, net_state
from caffepy.net.summary import net_without_data
from caffepy.proto import caffe_pb2
from caffepy.proto.read import read_net

__all__ = ["SIZES", "benchmark_net", "classes", "inputs", "without"]

MODELS = Path(__file__).parents[2] / "models"

#: Channels, height and width of an image.
SIZES = {
    "alexnet": (3, 227, 227),
    "caffenet": (3, 227, 227),
    "googlenet": (3, 224, 224),
    "lenet": (1, 28, 28),
    "resnet50": (3, 224, 224),
    "vgg16": (3, 224, 224),
}


def benchmark_net(model: str, batch: int, *, train: bool = True, drop: Collection[str] = ()) -> caffe_pb2.NetParameter:
    """The net of ``models/<model>`` for ``batch`` images, to train or (``deploy.prototxt``) to predict.

    Layers that measure accuracy go, as no one asks for it in each step; so do those of the types ``drop``.
    """
    param, lines = read_net(MODELS / model / ("train_val.prototxt" if train else "deploy.prototxt"))
    phase = caffe_pb2.TRAIN if train else caffe_pb2.TEST
    param = net_without_data(param, lines, phase, {"data": (batch, *SIZES[model])})
    state = net_state(phase)
    kept = [layer for layer in param.layer if included(layer, state) and layer.type != "Accuracy"]
    del param.layer[:]
    for layer in kept:
        param.layer.add().CopyFrom(layer)
        del param.layer[-1].include[:]
    return without(param, drop)


def without(param: caffe_pb2.NetParameter, types: Collection[str]) -> caffe_pb2.NetParameter:
    """A copy whose layers of ``types``, each with one bottom and one top, are left out: readers get what they read."""
    result = caffe_pb2.NetParameter(name=param.name)
    renamed: dict[str, str] = {}
    for layer in param.layer:
        bottoms = [renamed.get(name, name) for name in layer.bottom]
        if layer.type in types:
            renamed[layer.top[0]] = bottoms[0]
            continue
        copy = result.layer.add()
        copy.CopyFrom(layer)
        copy.bottom[:] = bottoms
        # In place on a blob that was renamed: the top follows its bottom.
        copy.top[:] = [renamed.get(name, name) if name in layer.bottom else name for name in layer.top]
    return result


def classes(param: caffe_pb2.NetParameter) -> int:
    """How many classes the last fully connected layer tells apart."""
    return [layer.inner_product_param.num_output for layer in param.layer if layer.type == "InnerProduct"][-1]


def inputs(param: caffe_pb2.NetParameter, seed: int = 1) -> dict[str, NDArray[np.float32]]:
    """A value for each top of an Input layer: images of noise, as bright as what the model reads; labels."""
    rng = np.random.default_rng(seed)
    # LeNet's images are scaled to 0..1, the others' have only their mean taken off.
    bright = 0.3 if param.name == "LeNet" else 50
    values: dict[str, NDArray[np.float32]] = {}
    for layer in param.layer:
        if layer.type != "Input":
            continue
        shapes = [tuple(shape.dim) for shape in layer.input_param.shape]
        for i, name in enumerate(layer.top):
            shape = shapes[min(i, len(shapes) - 1)]
            if len(shape) == 4:
                values[name] = bright * rng.standard_normal(shape, np.float32)
            else:
                values[name] = rng.integers(0, classes(param), shape).astype(np.float32)
    return values
