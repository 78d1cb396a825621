"""Nets and solvers of every age into today's form, in the order of Caffe's src/caffe/util/upgrade_proto.cpp.

=====  =================================================  =======================================================
step   what is found                                      what it becomes
=====  =================================================  =======================================================
1      V0: ``layers { layer { type: "conv" } }``          V1; ``padding`` layers go into the layer they feed
2      V1: ``data_param { scale mean_file ... }``         ``transform_param``
3      V1: ``layers { type: CONVOLUTION blobs_lr: 1 }``   ``layer { type: "Convolution" param { lr_mult: 1 } }``
4      ``input``, ``input_dim``, ``input_shape``          an Input layer named ``input``, the first of the net
5      BatchNorm with three ``param``                     the same with lr_mult and decay_mult 0: nothing to learn
=====  =================================================  =======================================================

Messages are changed in place. A layer keeps its line. What was converted is logged, one line for each kind.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from caffepy.errors import ParseError, prefix
from caffepy.proto.caffe_pb2 import LayerParameter, NetParameter, ParamSpec, SolverParameter, V1LayerParameter
from caffepy.proto.lines import Lines
from caffepy.proto.upgrade_v0 import upgrade_v0

__all__ = [
    "LAYER_TYPES",
    "SOLVER_TYPES",
    "TRANSFORMED",
    "TRANSFORM_FIELDS",
    "default_snapshot_prefix",
    "net_is_old",
    "solver_is_old",
    "upgrade_net",
    "upgrade_solver",
]

LAYER_TYPES = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ACCURACY": "Accuracy",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss",
    "CONVOLUTION": "Convolution",
    "DATA": "Data",
    "DECONVOLUTION": "Deconvolution",
    "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData",
    "ELTWISE": "Eltwise",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "HINGE_LOSS": "HingeLoss",
    "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData",
    "INFOGAIN_LOSS": "InfogainLoss",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "MEMORY_DATA": "MemoryData",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "MVN": "MVN",
    "POOLING": "Pooling",
    "POWER": "Power",
    "RELU": "ReLU",
    "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence",
    "SLICE": "Slice",
    "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "SPLIT": "Split",
    "TANH": "TanH",
    "THRESHOLD": "Threshold",
    "WINDOW_DATA": "WindowData",
}
"""V1's enum to the type that a ``layer`` has."""

SOLVER_TYPES = {
    "SGD": "SGD",
    "NESTEROV": "Nesterov",
    "ADAGRAD": "AdaGrad",
    "RMSPROP": "RMSProp",
    "ADADELTA": "AdaDelta",
    "ADAM": "Adam",
}
"""The enum ``solver_type`` to the string ``type``."""

TRANSFORMED = {
    V1LayerParameter.DATA: "data_param",
    V1LayerParameter.IMAGE_DATA: "image_data_param",
    V1LayerParameter.WINDOW_DATA: "window_data_param",
}
"""V1's data layers to the block whose TRANSFORM_FIELDS go to transform_param."""

TRANSFORM_FIELDS = ("scale", "mean_file", "crop_size", "mirror")
"""Names in the block as in transform_param."""

_log = logging.getLogger("caffepy")


def net_is_old(net: NetParameter) -> bool:
    """Whether `upgrade_net` has anything to convert."""
    return bool(net.layers or net.input or any(map(_is_old_batch_norm, net.layer)))


def solver_is_old(solver: SolverParameter) -> bool:
    """Whether `upgrade_solver` has anything to convert, in the solver or in the nets written inside it."""
    nets = [solver.net_param, solver.train_net_param, *solver.test_net_param]
    return solver.HasField("solver_type") or any(map(net_is_old, nets))


def upgrade_net(net: NetParameter, lines: Lines) -> Lines:
    """Convert ``net`` in place; gives its lines, in which ``at("layer", i)`` is where layer i was written.

    Raises:
        ParseError: a net that mixes forms, or whose legacy inputs and their shapes do not match.
    """
    source = lines.file or "the net"
    if net.layers:
        if net.layer:
            raise ParseError(
                f"{prefix(lines.at('layer').where())}a net is written either in 'layer' or in 'layers' (V1) "
                f"blocks; this one also has 'layers', first at {lines.at('layers').where() or 'an unknown line'}, and "
                "Caffe would drop the 'layer' blocks."
            )
        if any(layer.HasField("layer") for layer in net.layers):
            _log.info("%s: upgraded from the V0 format of 2013", source)
            lines = upgrade_v0(net, lines)
        moved = [_move_transform(layer) for layer in net.layers]
        if any(moved):
            _log.info("%s: moved scale, mean_file, crop_size and mirror to transform_param", source)
        _log.info("%s: upgraded %d layers from the V1 format ('layers')", source, len(net.layers))
        lines = _upgrade_v1(net, lines)
    if net.input:
        lines = _inputs_to_layer(net, lines, source)
    elif net.input_dim or net.input_shape:
        field = "input_dim" if net.input_dim else "input_shape"
        _log.warning("%s: '%s' without 'input' has no effect", lines.at(field).where() or source, field)
    frozen = [layer for layer in net.layer if _is_old_batch_norm(layer)]
    for layer in frozen:
        for spec in layer.param:
            spec.lr_mult = spec.decay_mult = 0
    if frozen:
        _log.info("%s: set lr_mult and decay_mult of %d old BatchNorm layers to 0", source, len(frozen))
    return lines


def _is_old_batch_norm(layer: LayerParameter) -> bool:
    three = layer.type == "BatchNorm" and len(layer.param) == 3
    return three and any(spec.lr_mult or spec.decay_mult for spec in layer.param)


def _move_transform(layer: V1LayerParameter) -> bool:
    """Step 2 for one layer; true if there was something to move."""
    name = TRANSFORMED.get(layer.type)
    if name is None or not layer.HasField(name):
        return False
    block = getattr(layer, name)
    moved = [field for field in TRANSFORM_FIELDS if block.HasField(field)]
    for field in moved:
        setattr(layer.transform_param, field, getattr(block, field))
        block.ClearField(field)
    return bool(moved)


def _upgrade_v1(net: NetParameter, lines: Lines) -> Lines:
    """Step 3."""
    places = [lines.at("layers", index) for index in range(len(net.layers))]
    for old in net.layers:
        new = net.layer.add()
        if old.HasField("type"):
            new.type = LAYER_TYPES[V1LayerParameter.LayerType.Name(old.type)]
        for field, value in old.ListFields():
            name = field.name
            if name == "name":
                new.name = value
            elif name in ("bottom", "top", "loss_weight"):
                getattr(new, name).extend(value)
            elif name in ("include", "exclude", "blobs"):
                getattr(new, name).MergeFrom(value)
            elif name.endswith("_param"):
                getattr(new, name).CopyFrom(value)
        _param_specs(old, new)
    net.ClearField("layers")
    return lines.replaced(layers=[], layer=places)


def _param_specs(old: V1LayerParameter, new: LayerParameter) -> None:
    """V1's parallel lists ``param``, ``blob_share_mode``, ``blobs_lr``, ``weight_decay`` into one ParamSpec a blob."""
    count = max(len(old.param), len(old.blob_share_mode), len(old.blobs_lr), len(old.weight_decay))
    specs = [new.param.add() for _ in range(count)]
    for spec, name in zip(specs, old.param, strict=False):
        spec.name = name
    for spec, mode in zip(specs, old.blob_share_mode, strict=False):
        spec.share_mode = ParamSpec.PERMISSIVE if mode == V1LayerParameter.PERMISSIVE else ParamSpec.STRICT
    for spec, rate in zip(specs, old.blobs_lr, strict=False):
        spec.lr_mult = rate
    for spec, decay in zip(specs, old.weight_decay, strict=False):
        spec.decay_mult = decay


def _inputs_to_layer(net: NetParameter, lines: Lines, source: str) -> Lines:
    """Step 4: one Input layer with a top for each ``input``. Without any shape the inputs are dropped, as in Caffe."""
    count = len(net.input)
    place = lines.at("input")
    if net.input_shape:
        if len(net.input_shape) < count:
            raise ParseError(
                f"{prefix(lines.at('input', len(net.input_shape)).where())}{count} 'input' but {len(net.input_shape)} "
                "'input_shape': write one shape for each input."
            )
        shapes = [list(shape.dim) for shape in net.input_shape]
    elif net.input_dim:
        if len(net.input_dim) < 4 * count:
            raise ParseError(
                f"{prefix(place.where())}Incorrect input blob dimension specifications: {count} 'input' need "
                f"{4 * count} 'input_dim' (four for each), got {len(net.input_dim)}. For other than four axes use "
                "input_shape."
            )
        shapes = [list(net.input_dim[start : start + 4]) for start in range(0, len(net.input_dim), 4)]
    else:
        shapes = []
        _log.warning("%s: dropped 'input', which has neither input_shape nor input_dim", place.where() or source)
    if shapes:
        if len(shapes) > count:
            _log.warning("%s: more input shapes than inputs; the last are not used", place.where() or source)
        layer = LayerParameter(name="input", type="Input", top=net.input)
        for shape in shapes[:count]:
            layer.input_param.shape.add(dim=shape)
        net.layer.insert(0, layer)
        layers = [lines.at("layer", index) for index in range(len(net.layer) - 1)]
        lines = lines.replaced(input=[], input_dim=[], input_shape=[], layer=[place, *layers])
        _log.info("%s: made an Input layer of the %d legacy 'input' fields", source, count)
    for field in ("input", "input_shape", "input_dim"):
        net.ClearField(field)
    return lines


def upgrade_solver(solver: SolverParameter, lines: Lines) -> Lines:
    """Convert a solver and the nets written inside it, in place; gives its lines.

    Raises:
        ParseError: both ``type`` and the old ``solver_type`` are set.
    """
    if solver.HasField("solver_type"):
        if solver.HasField("type"):
            raise ParseError(
                f"{prefix(lines.at('solver_type').where())}Failed to upgrade solver: old solver_type field (enum) and "
                "new type field (string) cannot be both specified in solver proto text. Remove solver_type; 'type' "
                f"is at {lines.at('type').where() or 'an unknown line'}."
            )
        solver.type = SOLVER_TYPES[SolverParameter.SolverType.Name(solver.solver_type)]
        solver.ClearField("solver_type")
        _log.info('%s: solver_type became type: "%s"', lines.at("solver_type").where() or "the solver", solver.type)
    for field in ("net_param", "train_net_param"):
        if solver.HasField(field):
            lines = lines.replaced(**{field: [upgrade_net(getattr(solver, field), lines.at(field))]})
    if solver.test_net_param:
        nets = [upgrade_net(net, lines.at("test_net_param", i)) for i, net in enumerate(solver.test_net_param)]
        lines = lines.replaced(test_net_param=nets)
    return lines


def default_snapshot_prefix(solver: SolverParameter, path: str | os.PathLike[str]) -> None:
    """Set ``snapshot_prefix`` as Caffe does: the solver's path without its ending, or its name in a folder given."""
    file = os.fspath(path)
    if not solver.HasField("snapshot_prefix"):
        solver.snapshot_prefix = os.path.splitext(file)[0]
        _log.info("snapshot_prefix was not specified and is set to %s", solver.snapshot_prefix)
    elif os.path.isdir(solver.snapshot_prefix):
        solver.snapshot_prefix = os.path.join(solver.snapshot_prefix, Path(file).stem)
        _log.info("snapshot_prefix was a directory and is replaced to %s", solver.snapshot_prefix)
