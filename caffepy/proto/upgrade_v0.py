"""The format of 2013, one flat list of settings for all layer types, into V1."""

from __future__ import annotations

import logging
from typing import Any

from google.protobuf.message import Message

from caffepy.errors import ParseError, did_you_mean, prefix
from caffepy.proto.caffe_pb2 import NetParameter, V0LayerParameter, V1LayerParameter
from caffepy.proto.lines import Lines

__all__ = ["BLOCKS", "SETTINGS", "TRANSFORM", "upgrade_v0"]

_TYPES = {
    "accuracy": V1LayerParameter.ACCURACY,
    "bnll": V1LayerParameter.BNLL,
    "concat": V1LayerParameter.CONCAT,
    "conv": V1LayerParameter.CONVOLUTION,
    "data": V1LayerParameter.DATA,
    "dropout": V1LayerParameter.DROPOUT,
    "euclidean_loss": V1LayerParameter.EUCLIDEAN_LOSS,
    "flatten": V1LayerParameter.FLATTEN,
    "hdf5_data": V1LayerParameter.HDF5_DATA,
    "hdf5_output": V1LayerParameter.HDF5_OUTPUT,
    "im2col": V1LayerParameter.IM2COL,
    "images": V1LayerParameter.IMAGE_DATA,
    "infogain_loss": V1LayerParameter.INFOGAIN_LOSS,
    "innerproduct": V1LayerParameter.INNER_PRODUCT,
    "lrn": V1LayerParameter.LRN,
    "multinomial_logistic_loss": V1LayerParameter.MULTINOMIAL_LOGISTIC_LOSS,
    "pool": V1LayerParameter.POOLING,
    "relu": V1LayerParameter.RELU,
    "sigmoid": V1LayerParameter.SIGMOID,
    "softmax": V1LayerParameter.SOFTMAX,
    "softmax_loss": V1LayerParameter.SOFTMAX_LOSS,
    "split": V1LayerParameter.SPLIT,
    "tanh": V1LayerParameter.TANH,
    "window_data": V1LayerParameter.WINDOW_DATA,
}
BLOCKS = {
    "concat": "concat_param",
    "conv": "convolution_param",
    "data": "data_param",
    "dropout": "dropout_param",
    "hdf5_data": "hdf5_data_param",
    "images": "image_data_param",
    "infogain_loss": "infogain_loss_param",
    "innerproduct": "inner_product_param",
    "lrn": "lrn_param",
    "pool": "pooling_param",
    "window_data": "window_data_param",
}
"""V0's type to the block that has its settings in V1."""

SETTINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "num_output": ("num_output", ("conv", "innerproduct")),
    "biasterm": ("bias_term", ("conv", "innerproduct")),
    "weight_filler": ("weight_filler", ("conv", "innerproduct")),
    "bias_filler": ("bias_filler", ("conv", "innerproduct")),
    "pad": ("pad", ("conv", "pool")),
    "kernelsize": ("kernel_size", ("conv", "pool")),
    "group": ("group", ("conv",)),
    "stride": ("stride", ("conv", "pool")),
    "pool": ("pool", ("pool",)),
    "dropout_ratio": ("dropout_ratio", ("dropout",)),
    "local_size": ("local_size", ("lrn",)),
    "alpha": ("alpha", ("lrn",)),
    "beta": ("beta", ("lrn",)),
    "k": ("k", ("lrn",)),
    "source": ("source", ("data", "hdf5_data", "images", "window_data", "infogain_loss")),
    "batchsize": ("batch_size", ("data", "hdf5_data", "images", "window_data")),
    "rand_skip": ("rand_skip", ("data", "images")),
    "shuffle_images": ("shuffle", ("images",)),
    "new_height": ("new_height", ("images",)),
    "new_width": ("new_width", ("images",)),
    "concat_dim": ("concat_dim", ("concat",)),
    "det_fg_threshold": ("fg_threshold", ("window_data",)),
    "det_bg_threshold": ("bg_threshold", ("window_data",)),
    "det_fg_fraction": ("fg_fraction", ("window_data",)),
    "det_context_pad": ("context_pad", ("window_data",)),
    "det_crop_mode": ("crop_mode", ("window_data",)),
}
"""V0's field to its name in the block of the layer's type, and the types that have it."""

TRANSFORM = {"scale": "scale", "meanfile": "mean_file", "cropsize": "crop_size", "mirror": "mirror"}
"""V0's field to that of transform_param, for every type."""

_log = logging.getLogger("caffepy")


def upgrade_v0(net: NetParameter, lines: Lines) -> Lines:
    """Turn every layer of ``net.layers`` from V0 to V1, in place; gives the lines, without those of padding layers.

    A setting that the layer's type does not have is dropped with a warning, as Caffe does.

    Raises:
        ParseError: an unknown type, a layer that is not V0, or a padding layer that does not feed one convolution or
            pooling.
    """
    for index, layer in enumerate(net.layers):
        if not layer.HasField("layer"):
            raise ParseError(
                f"{prefix(lines.at('layers', index).where())}this 'layers' block has no 'layer' block inside, as "
                "the V0 blocks of this net have. A net is written in one format."
            )
    places = _fold_padding(net, lines)
    for layer, place in zip(net.layers, places, strict=True):
        _upgrade_layer(layer, place)
    return lines.replaced(layers=places)


def _fold_padding(net: NetParameter, lines: Lines) -> list[Lines]:
    """Give the pad of each ``padding`` layer to the layer that reads its top; gives the lines of the layers left."""
    last_writer: dict[str, V1LayerParameter | None] = dict.fromkeys(net.input)
    places, folded = [], []
    for index, layer in enumerate(net.layers):
        place = lines.at("layers", index)
        for position, bottom in enumerate(layer.bottom):
            if bottom not in last_writer:
                raise ParseError(
                    f"{prefix(place.at('bottom', position).where())}Unknown blob input {bottom} to layer "
                    f"'{layer.layer.name}'.{did_you_mean(bottom, list(last_writer))}"
                )
            source = last_writer[bottom]
            if source is not None and source.layer.type == "padding":
                _check_padding(layer, source, place)
                layer.layer.pad = source.layer.pad
                layer.bottom[position] = source.bottom[0]
        for top in layer.top:
            last_writer[top] = layer
        if layer.layer.type == "padding":
            folded.append(index)
        else:
            places.append(place)
    for index in reversed(folded):
        del net.layers[index]
    return places


def _check_padding(layer: V1LayerParameter, padding: V1LayerParameter, place: Lines) -> None:
    if layer.layer.type not in ("conv", "pool"):
        raise ParseError(
            f"{prefix(place.where())}Padding layer input to non-convolutional / non-pooling layer type "
            f"{layer.layer.type}: layer '{layer.layer.name}' reads the top of '{padding.layer.name}'. Remove the "
            "padding layer."
        )
    if (len(layer.bottom), len(padding.bottom), len(padding.top)) != (1, 1, 1):
        raise ParseError(
            f"{prefix(place.where())}Padding Layer takes a single blob as input: '{padding.layer.name}' has "
            f"{len(padding.bottom)} bottoms and {len(padding.top)} tops, and '{layer.layer.name}', which reads it, "
            f"{len(layer.bottom)} bottoms; all must be 1."
        )


def _upgrade_layer(layer: V1LayerParameter, place: Lines) -> None:
    old = V0LayerParameter()
    old.CopyFrom(layer.layer)
    layer.ClearField("layer")
    if old.HasField("type"):
        if old.type not in _TYPES:
            where = place.at("layer").at("type").where()
            raise ParseError(f"{prefix(where)}Unknown layer name: {old.type}.{did_you_mean(old.type, list(_TYPES))}")
        layer.type = _TYPES[old.type]
    for field, value in old.ListFields():
        name = field.name
        if name == "name":
            layer.name = value
        elif name in ("blobs", "blobs_lr", "weight_decay"):
            getattr(layer, name).MergeFrom(value)
        elif name in TRANSFORM:
            setattr(layer.transform_param, TRANSFORM[name], value)
        elif name == "hdf5_output_param" and old.type == "hdf5_output":
            layer.hdf5_output_param.CopyFrom(value)
        elif name in SETTINGS and old.type in SETTINGS[name][1]:
            _set(getattr(layer, BLOCKS[old.type]), SETTINGS[name][0], value)
        elif name != "type":
            where = place.at("layer").at(name).where()
            _log.warning("%s: Unknown parameter %s for layer type %s; it is dropped", where, name, old.type)


def _set(block: Message, name: str, value: Any) -> None:
    """Set one setting; those of a convolution's window are lists since V1."""
    current = getattr(block, name)
    if hasattr(current, "append"):
        current.append(value)
    elif hasattr(current, "CopyFrom"):
        current.CopyFrom(value)
    else:
        # PoolMethod of V0 is another enum with the same numbers.
        setattr(block, name, value)
