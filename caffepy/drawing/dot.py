"""A net as text for Graphviz, as pycaffe gives it: layers are boxes, blobs octagons."""

from __future__ import annotations

from caffepy.drawing.graph import KINDS, kind
from caffepy.net.state import included, net_state
from caffepy.proto import caffe_pb2
from caffepy.proto.text import Lines
from caffepy.proto.upgrade import upgrade_net

__all__ = ["dot", "edge_label", "layer_label", "lr_mults", "quoted"]


def dot(
    param: caffe_pb2.NetParameter,
    rankdir: str = "LR",
    *,
    label_edges: bool = True,
    phase: int | None = None,
    display_lrm: bool = False,
) -> str:
    """The text of the graph of ``param``; the arguments are those of `caffepy.draw.get_pydot_graph`."""
    net = caffe_pb2.NetParameter()
    net.CopyFrom(param)
    upgrade_net(net, Lines.unknown())
    lines = [f"digraph {quoted(net.name or 'Net')} {{", f"rankdir={rankdir};"]
    blobs: dict[str, None] = {}
    for i, layer in enumerate(net.layer):
        if phase is not None and not included(layer, net_state(phase)):
            continue
        colour = KINDS[kind(layer.type)]
        label = quoted(layer_label(layer, rankdir, display_lrm))
        lines.append(f'layer{i} [shape=box, style=filled, fillcolor="{colour}", label={label}];')
        blobs.update(dict.fromkeys([*layer.bottom, *layer.top]))
        numbers = {name: j for j, name in enumerate(blobs)}
        lines += [f"blob{numbers[name]} -> layer{i};" for name in layer.bottom]
        text = edge_label(layer) if label_edges else ""
        lines += [f"layer{i} -> blob{numbers[name]} [label={quoted(text)}];" for name in layer.top]
    lines += [
        f'blob{j} [shape=octagon, style=filled, fillcolor="#E0E0E0", label={quoted(name)}];'
        for j, name in enumerate(blobs)
    ]
    return "\n".join([*lines, "}", ""])


def quoted(text: str) -> str:
    """``text`` as a string of the dot language; a line break stays one."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def edge_label(layer: caffe_pb2.LayerParameter) -> str:
    """What a layer makes in short: its batch size or num_output; empty for most."""
    if layer.type == "Data":
        return f"Batch {layer.data_param.batch_size}"
    if layer.type in ("Convolution", "Deconvolution"):
        return str(layer.convolution_param.num_output)
    return str(layer.inner_product_param.num_output) if layer.type == "InnerProduct" else ""


def layer_label(layer: caffe_pb2.LayerParameter, rankdir: str, display_lrm: bool) -> str:
    """Name, type and window of a layer: on one line where boxes lie below each other, else on several."""
    parts = [layer.name, f"({layer.type})"]
    if layer.type == "Pooling":
        pool = layer.pooling_param
        parts[1] = f"(Pooling {caffe_pb2.PoolingParameter.PoolMethod.Name(pool.pool)})"
        parts += _window(pool.kernel_size, pool.stride, pool.pad)
    elif layer.type in ("Convolution", "Deconvolution"):
        conv = layer.convolution_param
        parts += _window([*conv.kernel_size, 1][0], [*conv.stride, 1][0], [*conv.pad, 0][0])
    if display_lrm and layer.type in ("Convolution", "Deconvolution", "InnerProduct"):
        parts.append("lr mult: {:.1f}, {:.1f}".format(*lr_mults(layer)))
    return (" " if rankdir in ("TB", "BT") else "\n").join(parts)


def _window(size: int, stride: int, pad: int) -> list[str]:
    return [f"kernel size: {size}", f"stride: {stride}", f"pad: {pad}"]


def lr_mults(layer: caffe_pb2.LayerParameter) -> tuple[float, float]:
    """lr_mult of weights and bias; 1 where it is not given."""
    weights, bias, *_ = [*(spec.lr_mult for spec in layer.param), 1.0, 1.0]
    return weights, bias
