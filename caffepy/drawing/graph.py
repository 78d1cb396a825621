"""What a picture of a net shows: a box for each layer, with the layers that work in place on its tops, and edges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from caffepy.errors import CaffepyError
from caffepy.net import Net
from caffepy.net.state import included, net_state
from caffepy.net.summary import net_without_data
from caffepy.proto import caffe_pb2
from caffepy.proto.text import Lines
from caffepy.proto.upgrade import upgrade_net

__all__ = ["KINDS", "Box", "Edge", "Graph", "Row", "blob_shapes", "kind", "net_graph", "settings"]

#: Kind of layer to its colour.
KINDS = {
    "data": "#d9d9d9",
    "convolution": "#f4a3a0",
    "pooling": "#fbc98b",
    "product": "#cfaef0",
    "activation": "#b5e0b1",
    "normalisation": "#f7ec9c",
    "combination": "#a8d5e8",
    "loss": "#e2b9a1",
    "other": "#b3c6f2",
}
_TYPES = {
    "convolution": {"Convolution", "Deconvolution", "Im2col"},
    "pooling": {"Pooling", "SPP"},
    "product": {"InnerProduct", "Embed", "RNN", "LSTM"},
    "activation": {
        "AbsVal", "BNLL", "Clip", "Dropout", "ELU", "Exp", "Log", "PReLU", "Power", "ReLU", "Sigmoid", "Softmax",
        "Swish", "TanH", "Threshold",
    },
    "normalisation": {"BatchNorm", "Bias", "LRN", "MVN", "Scale"},
    "combination": {"Concat", "Crop", "Eltwise", "Filter", "Flatten", "Reshape", "Slice", "Split", "Tile"},
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A line of text in a box; ``strong`` for the first of a layer. ``kind`` is its layer's."""

    text: str
    kind: str
    strong: bool = False


@dataclass
class Box:
    """A layer, and those that work in place on what it makes."""

    rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class Edge:
    """From box number ``source`` to ``target``, an earlier one to a later; ``blob`` and what is written beside it."""

    source: int
    target: int
    blob: str
    label: str


@dataclass
class Graph:
    """Boxes in the order of the file, and the edges between them."""

    name: str
    boxes: list[Box] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)


def kind(layer_type: str) -> str:
    """What sort of layer a type is, a key of `KINDS`."""
    for name, types in _TYPES.items():
        if layer_type in types:
            return name
    if layer_type.endswith("Data") or layer_type in ("Input", "Parameter"):
        return "data"
    return "loss" if layer_type.endswith("Loss") or layer_type in ("Accuracy", "ArgMax") else "other"


def settings(layer: caffe_pb2.LayerParameter) -> str:
    """A layer's type with what it is known by: ``Convolution 64, 7x7/2, pad 3``."""
    if layer.type in ("Convolution", "Deconvolution"):
        conv = layer.convolution_param
        size = list(conv.kernel_size) or ([conv.kernel_h, conv.kernel_w] if conv.kernel_h else [1])
        stride = list(conv.stride) or ([conv.stride_h, conv.stride_w] if conv.stride_h else [1])
        pad = list(conv.pad) or ([conv.pad_h, conv.pad_w] if conv.pad_h or conv.pad_w else [0])
        return f"{layer.type} {conv.num_output}, {_window(size, stride, pad)}" + (
            f", group {conv.group}" if conv.group > 1 else ""
        )
    if layer.type == "Pooling":
        pool = layer.pooling_param
        name = caffe_pb2.PoolingParameter.PoolMethod.Name(pool.pool)
        if pool.global_pooling:
            return f"{name} pooling, global"
        size = [pool.kernel_h, pool.kernel_w] if pool.kernel_h else [pool.kernel_size]
        stride = [pool.stride_h, pool.stride_w] if pool.stride_h else [pool.stride]
        pad = [pool.pad_h, pool.pad_w] if pool.pad_h or pool.pad_w else [pool.pad]
        return f"{name} pooling {_window(size, stride, pad)}"
    if layer.type == "InnerProduct":
        return f"InnerProduct {layer.inner_product_param.num_output}"
    if layer.type == "Dropout":
        return f"Dropout {layer.dropout_param.dropout_ratio:g}"
    if layer.type == "Eltwise":
        return f"Eltwise {caffe_pb2.EltwiseParameter.EltwiseOp.Name(layer.eltwise_param.operation)}"
    if layer.type == "Python":
        return f"Python {layer.python_param.module}.{layer.python_param.layer}"
    return layer.type


def _window(size: list[int], stride: list[int], pad: list[int]) -> str:
    text = _times(size if len(size) > 1 else [size[0]] * 2)
    if set(stride) != {1}:
        text += f"/{_times(stride)}"
    return text + (f", pad {_times(pad)}" if any(pad) else "")


def _times(numbers: list[int]) -> str:
    return "x".join(map(str, numbers))


def net_graph(
    param: caffe_pb2.NetParameter,
    *,
    phase: int | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    display_lrm: bool = False,
) -> Graph:
    """The graph of ``param``, which may be of an old format.

    Args:
        phase: show the layers of this phase; all of them unless given.
        shapes: of blobs by name, written on the edges; the batch is left out.
        display_lrm: show lr_mult of weights and bias.

    Raises:
        NetError: a layer with include and exclude rules.
    """
    net = caffe_pb2.NetParameter()
    net.CopyFrom(param)
    upgrade_net(net, Lines.unknown())
    graph = Graph(net.name)
    #: By blob, the boxes that hold who made it last: two where one is for TRAIN and one for TEST.
    makers: dict[str, list[int]] = {}
    phases: list[set[int]] = []
    for layer in net.layer:
        if phase is not None and not included(layer, net_state(phase)):
            continue
        rows = _rows(layer, display_lrm)
        in_place = len(layer.bottom) == 1 and list(layer.top) == list(layer.bottom)
        if in_place and len(makers.get(layer.bottom[0], ())) == 1:
            graph.boxes[makers[layer.bottom[0]][0]].rows.append(
                Row(f"{layer.name}: {settings(layer)}", kind(layer.type))
            )
            continue
        number = len(graph.boxes)
        graph.boxes.append(Box(rows))
        phases.append(_phases(layer))
        for blob in dict.fromkeys(layer.bottom):
            text = _shape_text((shapes or {}).get(blob))
            sources = [maker for maker in makers.get(blob, ()) if phases[maker] & phases[number]]
            graph.edges += [Edge(source, number, blob, text) for source in sources]
        for blob in layer.top:
            makers[blob] = [maker for maker in makers.get(blob, ()) if phases[maker] - phases[number]] + [number]
    return graph


def _phases(layer: caffe_pb2.LayerParameter) -> set[int]:
    both = {int(caffe_pb2.TRAIN), int(caffe_pb2.TEST)}
    # One that a stage or level asks for may be in either.
    return {phase for phase in both if included(layer, net_state(phase))} or both


def _rows(layer: caffe_pb2.LayerParameter, display_lrm: bool) -> list[Row]:
    sort = kind(layer.type)
    rows = [Row(layer.name or layer.type, sort, True), Row(settings(layer), sort)]
    if display_lrm and layer.type in ("Convolution", "Deconvolution", "InnerProduct"):
        mults = [spec.lr_mult for spec in layer.param] + [1.0, 1.0]
        rows.append(Row(f"lr mult: {mults[0]:g}, {mults[1]:g}", sort))
    return rows


def _shape_text(shape: tuple[int, ...] | None) -> str:
    return "" if shape is None or len(shape) < 2 else "x".join(map(str, shape[1:]))


def blob_shapes(param: caffe_pb2.NetParameter, phase: int = caffe_pb2.TEST) -> dict[str, tuple[int, ...]]:
    """Shapes of the blobs of a net in one phase, by name; none where it cannot be built here.

    Nothing is computed, and data that is not there is not needed where the prototxt tells its size.
    """
    net = caffe_pb2.NetParameter()
    net.CopyFrom(param)
    try:
        lines = upgrade_net(net, Lines.unknown())
        without = net_without_data(net, lines, phase, {})
        with Net((without, lines), phase, fill_params=False, check_memory=False) as built:
            return {name: blob.shape for name, blob in built.blobs.items()}
    except CaffepyError:
        return {}
