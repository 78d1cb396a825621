"""What a net is made of and what a pass costs: shapes, parameters, multiply-adds, memory; nothing is computed.

A multiply-add (MAC) is one product that is added to a sum. Those of convolutions and of fully connected layers are
counted, as is usual: for each output value, as many as it has weights; biases, pooling, normalisation and activations
are not. AlexNet has 724.4 million for an image.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from caffepy.data.source import open_source
from caffepy.errors import DataError, NetError, did_you_mean, prefix
from caffepy.net.build import Entry
from caffepy.net.memory import SAME_DATA
from caffepy.net.net import Net
from caffepy.net.state import included, net_state
from caffepy.proto import caffe_pb2
from caffepy.proto.text import Lines

__all__ = ["LayerSummary", "NetSummary", "multiply_adds", "net_without_data", "summarise"]

#: Where the batch_size of data layers is.
_BATCHED = {
    "Data": "data_param",
    "HDF5Data": "hdf5_data_param",
    "ImageData": "image_data_param",
    "WindowData": "window_data_param",
}


@dataclass(frozen=True)
class LayerSummary:
    """One layer.

    Attributes:
        tops: names and shapes.
        params: learnable values that it owns; those shared with an earlier layer count there.
        macs: multiply-adds of a forward pass of the whole batch.
        memory: bytes of the tops' values, 0 where they are the bottom's.
        inserted: the net made it itself (Split, Cast).
    """

    name: str
    type: str
    tops: list[tuple[str, tuple[int, ...]]]
    params: int
    macs: int
    memory: int
    inserted: bool


@dataclass(frozen=True)
class NetSummary:
    """A net; ``batch`` is the first dimension of its first blob, at least 1, and ``itemsize`` the bytes of a value."""

    name: str
    layers: list[LayerSummary]
    batch: int
    itemsize: int

    @property
    def params(self) -> int:
        """All learnable values."""
        return sum(layer.params for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-adds of a forward pass of the whole batch."""
        return sum(layer.macs for layer in self.layers)

    @property
    def memory(self) -> int:
        """Bytes of all blobs' values."""
        return sum(layer.memory for layer in self.layers)


def summarise(net: Net) -> NetSummary:
    """The summary of ``net`` as it is shaped now."""
    owned = {id(param.blob) for param in net.learnable_params}
    layers = [_layer(entry, owned, net.backend.dtype.itemsize) for entry in net.entries]
    first = next((shape for layer in layers for _, shape in layer.tops), ())
    return NetSummary(net.name, layers, max(first[0], 1) if first else 1, net.backend.dtype.itemsize)


def _layer(entry: Entry, owned: set[int], itemsize: int) -> LayerSummary:
    layer = entry.layer
    bottoms = {id(blob) for blob in entry.bottom}
    own = [blob.count for blob in entry.top if id(blob) not in bottoms]
    return LayerSummary(
        name=layer.name,
        type=layer.type,
        tops=[(name, blob.shape) for name, blob in zip(entry.top_names, entry.top, strict=True) if name],
        params=sum(blob.count for blob in layer.blobs if id(blob) in owned),
        macs=multiply_adds(entry),
        memory=0 if layer.type in SAME_DATA else itemsize * sum(own),
        inserted=layer.type in ("Cast", "Split"),
    )


def multiply_adds(entry: Entry) -> int:
    """Multiply-adds of a layer's forward pass, as it is shaped now; 0 of a layer without products."""
    layer = entry.layer
    if not layer.blobs:
        return 0
    weight = layer.blobs[0]
    if layer.type == "Convolution":
        # Weights (num_output, C / group, kernel...): each output value reads all but the first axis.
        return math.prod(weight.shape[1:]) * sum(blob.count for blob in entry.top)
    if layer.type == "Deconvolution":
        return math.prod(weight.shape[1:]) * sum(blob.count for blob in entry.bottom)
    if layer.type == "InnerProduct":
        return weight.count * entry.top[0].count // max(layer.param.inner_product_param.num_output, 1)
    return 0


def net_without_data(
    param: caffe_pb2.NetParameter,
    lines: Lines,
    phase: int,
    shapes: Mapping[str, tuple[int, ...]],
    level: int = 0,
    stages: Iterable[str] = (),
    batch: int | None = None,
) -> caffe_pb2.NetParameter:
    """A copy of ``param`` whose data layers are Input layers wherever their data is not there or ``shapes`` says so.

    A Data layer without its database takes batch_size and crop_size from its own settings, and three channels (one
    with force_gray).

    Args:
        shapes: by the name of a top that no layer computes; other tops of its layer get ``(N,)``, as labels have.
        batch: the most that the batch_size of a data layer may be; as it is unless given.

    Raises:
        NetError: a name that no such top has, or a data layer whose shape cannot be known.
    """
    copy = caffe_pb2.NetParameter()
    copy.CopyFrom(param)
    state = net_state(phase, level, [*param.state.stage, *stages])
    known: list[str] = []
    for i, layer in enumerate(copy.layer):
        where = lines.at("layer", i).where()
        if layer.bottom or not layer.top or not included(layer, state, where):
            continue
        known += layer.top
        if batch is not None and (field := _BATCHED.get(layer.type)):
            settings = getattr(layer, field)
            settings.batch_size = min(settings.batch_size, batch)
        given = {j: shapes[name] for j, name in enumerate(layer.top) if name in shapes}
        if not given and layer.type == "Data":
            given = _data_shape(layer, where)
        if given:
            _make_input(layer, given)
    for name in shapes:
        if name not in known:
            raise NetError(
                f"--shape {name}: no data layer has a top '{name}'.{did_you_mean(name, known)} "
                f"There are: {', '.join(known) or 'none'}."
            )
    return copy


def _data_shape(layer: caffe_pb2.LayerParameter, where: str) -> dict[int, tuple[int, ...]]:
    """The shape of a Data layer without a database, by the index of its top; empty where there is one."""
    try:
        open_source(layer.data_param.source, caffe_pb2.DataParameter.DB.Name(layer.data_param.backend)).close()
    except DataError as error:
        transform = layer.transform_param
        crop, batch = transform.crop_size, layer.data_param.batch_size
        if not crop or not batch:
            raise NetError(
                f"{prefix(where)}layer '{layer.name}' (Data): {error} To see the net without "
                f"it, give the shape: --shape {layer.top[0]}=N,C,H,W."
            ) from None
        return {0: (batch, 1 if transform.force_gray else 3, crop, crop)}
    return {}


def _make_input(layer: caffe_pb2.LayerParameter, given: Mapping[int, tuple[int, ...]]) -> None:
    batch = next(iter(given.values()))[:1]
    param = caffe_pb2.LayerParameter(name=layer.name, type="Input", top=layer.top)
    old = layer.input_param.shape
    for j in range(len(layer.top)):
        kept = tuple(old[min(j, len(old) - 1)].dim) if layer.type == "Input" and old else batch
        param.input_param.shape.add().dim.extend(given.get(j, kept))
    layer.CopyFrom(param)
