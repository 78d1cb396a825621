"""Pictures of nets: pycaffe's ``caffe.draw``. Neither Graphviz nor pydot is needed, except for `get_pydot_graph`."""

from __future__ import annotations

import os
from typing import Any

from caffepy.drawing import dot
from caffepy.drawing.graph import KINDS, blob_shapes, kind, net_graph
from caffepy.drawing.layout import lay_out
from caffepy.drawing.png import png
from caffepy.drawing.svg import svg
from caffepy.errors import CaffepyError, NetError, did_you_mean
from caffepy.proto import caffe_pb2
from caffepy.proto.files import atomic_write

__all__ = [
    "DrawError",
    "choose_color_by_layertype",
    "draw_net",
    "draw_net_to_file",
    "get_edge_label",
    "get_layer_label",
    "get_layer_lr_mult",
    "get_pooling_types_dict",
    "get_pydot_graph",
]

_DIRECTIONS = ("LR", "TB", "BT")
_TEXT = ("dot", "gv", "raw")


class DrawError(NetError, ValueError):
    """A kind of picture, a direction or a layer that cannot be drawn so."""


def draw_net(
    caffe_net: caffe_pb2.NetParameter,
    rankdir: str = "LR",
    ext: str = "png",
    phase: int | None = None,
    display_lrm: bool = False,
) -> bytes:
    """A picture of a net: layers as boxes, coloured by kind, with those that work in place on them; shapes on edges.

    Long nets are laid out in several columns (rows, from left to right), so that they fit a page. Shapes are shown
    where they can be known without the data.

    Args:
        caffe_net: the net.
        rankdir: "LR" from left to right, "TB" from top to bottom, "BT" from bottom to top.
        ext: "png", "svg", or "dot", also "raw": text for Graphviz.
        phase: show the layers of this phase; all of them unless given.
        display_lrm: show lr_mult of weights and bias.

    Returns:
        the file's bytes.

    Raises:
        DrawError: another kind of picture or direction.
        NetError: a layer with include and exclude rules.
    """
    kind_of_file = ext.lower().lstrip(".")
    if kind_of_file not in ("png", "svg", *_TEXT):
        hint = did_you_mean(kind_of_file, ["png", "svg", *_TEXT])
        raise DrawError(f"pictures are png or svg, and dot is text for Graphviz; got '{ext}'.{hint}")
    if rankdir not in _DIRECTIONS:
        raise DrawError(f"rankdir is one of {', '.join(_DIRECTIONS)}; got '{rankdir}'.")
    if kind_of_file in _TEXT:
        return dot.dot(caffe_net, rankdir, phase=phase, display_lrm=display_lrm).encode()
    shapes = blob_shapes(caffe_net, caffe_pb2.TEST if phase is None else phase)
    picture = lay_out(net_graph(caffe_net, phase=phase, shapes=shapes, display_lrm=display_lrm), rankdir)
    return png(picture) if kind_of_file == "png" else svg(picture)


def draw_net_to_file(
    caffe_net: caffe_pb2.NetParameter,
    filename: str | os.PathLike[str],
    rankdir: str = "LR",
    phase: int | None = None,
    display_lrm: bool = False,
) -> None:
    """Write `draw_net`'s picture, of the kind that the file's name ends in.

    Raises:
        DrawError: as `draw_net`.
        OSError: the file cannot be written.
    """
    path = os.fspath(filename)
    image = draw_net(caffe_net, rankdir, os.path.splitext(path)[1], phase, display_lrm)
    with atomic_write(path) as file:
        file.write(image)


def get_pydot_graph(
    caffe_net: caffe_pb2.NetParameter,
    rankdir: str,
    label_edges: bool = True,
    phase: int | None = None,
    display_lrm: bool = False,
) -> Any:
    """The net as a graph of the package pydot, with layers as boxes and blobs as octagons.

    Args:
        caffe_net, rankdir, phase, display_lrm: see `draw_net`.
        label_edges: write what layers make on the edges.

    Raises:
        CaffepyError: pydot is not installed.
    """
    try:
        import pydot  # type: ignore[import-not-found]
    except ImportError as error:
        raise CaffepyError(
            "get_pydot_graph needs the package pydot: pip install pydot. draw_net does without."
        ) from error
    text = dot.dot(caffe_net, rankdir, label_edges=label_edges, phase=phase, display_lrm=display_lrm)
    return pydot.graph_from_dot_data(text)[0]


def get_pooling_types_dict() -> dict[int, str]:
    """Names of pooling methods by number."""
    return {number: name for name, number in caffe_pb2.PoolingParameter.PoolMethod.items()}


def get_edge_label(layer: caffe_pb2.LayerParameter) -> str:
    """What a layer makes in short, as Graphviz wants it: its batch size or num_output, or two quotation marks."""
    return dot.edge_label(layer) or '""'


def get_layer_lr_mult(layer: caffe_pb2.LayerParameter) -> tuple[float, float]:
    """lr_mult of weights and bias.

    Raises:
        DrawError: a layer without them, or with more than two.
    """
    if layer.type not in ("Convolution", "Deconvolution", "InnerProduct"):
        raise DrawError(f"{layer.type} layers do not have a learning rate multiplier.")
    if len(layer.param) > 2:
        raise DrawError(
            f"Could not parse the learning rate multiplier: layer '{layer.name}' has {len(layer.param)} param."
        )
    return dot.lr_mults(layer)


def get_layer_label(layer: caffe_pb2.LayerParameter, rankdir: str, display_lrm: bool = False) -> str:
    """Name, type and window of a layer, in quotation marks, as Graphviz wants it."""
    return dot.quoted(dot.layer_label(layer, rankdir, display_lrm))


def choose_color_by_layertype(layertype: str) -> str:
    """The colour of a layer's box, as ``#rrggbb``."""
    return KINDS[kind(layertype)]
