"""What each field of Caffe's schema does here: acts and where, ignored, refused, upgraded on reading, or only stored.

Nothing is said twice: a layer's messages are those that its file reads, ignored fields are those of
`caffepy.proto.ignored`, targets of old fields come from `caffepy.proto.upgrade`. Only what has no place of its own
is written down here. tests/test_fields.py proves the status of every field, and of every value of every enum.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import layer_pages
from google.protobuf.descriptor import Descriptor, EnumDescriptor, EnumValueDescriptor, FieldDescriptor

import caffepy
from caffepy.layer import get_layer_class
from caffepy.proto import caffe_pb2
from caffepy.proto.ignored import IGNORED, IGNORED_BY, ignored_why
from caffepy.proto.upgrade import LAYER_TYPES, SOLVER_TYPES, TRANSFORM_FIELDS, TRANSFORMED
from caffepy.proto.upgrade_v0 import BLOCKS, SETTINGS, TRANSFORM

__all__ = ["REFUSED", "REFUSED_BY", "Status", "enum_users", "layer_types", "message_types", "status", "value_status"]


@dataclass(frozen=True)
class Status:
    """What a field does.

    Attributes:
        kind: "acts", "ignored", "refused", "upgraded" or "stored".
        why: the reason, or the error's words.
        layers: types of the layers in which it acts.
        module: the file in which it acts, where that is no layer's.
        targets: what an old field becomes, ``Message.field``, under a word on when where that depends on the type.
        without: layer types that take the message and not this field, and why.
        raising: layer types that refuse this field, and with what words.
    """

    kind: str
    why: str = ""
    layers: tuple[str, ...] = ()
    module: str = ""
    targets: dict[str, str] = field(default_factory=dict)
    without: dict[str, str] = field(default_factory=dict)
    raising: dict[str, str] = field(default_factory=dict)


REFUSED = {
    "V1LayerParameter.LayerType.NONE": "Unknown layer type",
}
"""Fields and enum values that raise wherever they are set, and a part of the error."""

REFUSED_BY = {
    "HDF5Data": {"LayerParameter.transform_param": "does not transform data: take transform_param out"},
    "InfogainLoss": {"LossParameter.normalize": "normalize is deprecated"},
}
"""By layer type, fields that act in other layers and raise in this one, and a part of the error."""

_STORED = {
    "BlobProtoVector.blobs": "no file of Caffe's is one; for scripts that send blobs about",
    "SolverState.current_step": "written for Caffe; a solver that goes on computes it from iter",
}

# By message, or by field where that differs, for what is not read in a layer.
_MODULES = {
    "BlobProto": "caffepy/proto/arrays.py",
    "BlobShape": "caffepy/proto/arrays.py",
    "Datum": "caffepy/data/datum.py",
    "FillerParameter": "caffepy/filler.py",
    "LayerParameter": "caffepy/net/build.py",
    "LayerParameter.blobs": "caffepy/layer.py",
    "LayerParameter.exclude": "caffepy/net/state.py",
    "LayerParameter.include": "caffepy/net/state.py",
    "NetParameter": "caffepy/net/net.py",
    "NetParameter.layer": "caffepy/net/build.py",
    "NetState": "caffepy/net/state.py",
    "NetStateRule": "caffepy/net/state.py",
    "ParamSpec": "caffepy/net/build.py",
    "SolverParameter": "caffepy/solver/solver.py",
    "SolverParameter.base_lr": "caffepy/solver/lr_policy.py",
    "SolverParameter.delta": "caffepy/solver/adagrad.py",
    "SolverParameter.gamma": "caffepy/solver/lr_policy.py",
    "SolverParameter.lr_policy": "caffepy/solver/lr_policy.py",
    "SolverParameter.momentum": "caffepy/solver/sgd.py",
    "SolverParameter.momentum2": "caffepy/solver/adam.py",
    "SolverParameter.net": "caffepy/solver/nets.py",
    "SolverParameter.net_param": "caffepy/solver/nets.py",
    "SolverParameter.power": "caffepy/solver/lr_policy.py",
    "SolverParameter.regularization_type": "caffepy/solver/solver.py",
    "SolverParameter.rms_decay": "caffepy/solver/rmsprop.py",
    "SolverParameter.snapshot_diff": "caffepy/solver/snapshot.py",
    "SolverParameter.snapshot_format": "caffepy/solver/snapshot.py",
    "SolverParameter.snapshot_prefix": "caffepy/solver/snapshot.py",
    "SolverParameter.stepsize": "caffepy/solver/lr_policy.py",
    "SolverParameter.stepvalue": "caffepy/solver/lr_policy.py",
    "SolverParameter.test_net": "caffepy/solver/nets.py",
    "SolverParameter.test_net_param": "caffepy/solver/nets.py",
    "SolverParameter.test_state": "caffepy/solver/nets.py",
    "SolverParameter.train_net": "caffepy/solver/nets.py",
    "SolverParameter.train_net_param": "caffepy/solver/nets.py",
    "SolverParameter.train_state": "caffepy/solver/nets.py",
    "SolverParameter.weight_decay": "caffepy/solver/solver.py",
    "SolverState": "caffepy/solver/snapshot.py",
}

_OLD_SHAPE = "the size of one axis, in files of before 2015"
_NOTES = {
    "BlobProto.channels": _OLD_SHAPE,
    "BlobProto.height": _OLD_SHAPE,
    "BlobProto.num": _OLD_SHAPE,
    "BlobProto.width": _OLD_SHAPE,
    "ConcatParameter.concat_dim": "older name of axis",
    "DataParameter.force_encoded_color": "older name of transform_param.force_color",
    "LossParameter.normalize": "older form of normalization: true is VALID, false BATCH_SIZE",
    "NetState.level": "in a solver; caffepy.Net takes an argument, as Caffe does",
    "NetState.phase": "in a solver; caffepy.Net takes an argument, as Caffe does",
    "SliceParameter.slice_dim": "older name of axis",
}

# V1's parallel lists, one entry a blob. Its other fields keep their names.
_V1 = {
    "blob_share_mode": "ParamSpec.share_mode",
    "blobs_lr": "ParamSpec.lr_mult",
    "param": "ParamSpec.name",
    "weight_decay": "ParamSpec.decay_mult",
    "layer": "V1LayerParameter, field by field",
}
_NET = {
    "NetParameter.input": "LayerParameter.top",
    "NetParameter.input_dim": "InputParameter.shape",
    "NetParameter.input_shape": "InputParameter.shape",
    "NetParameter.layers": "NetParameter.layer",
    "SolverParameter.solver_type": "SolverParameter.type",
}
_TARGETS_OF_TYPES = {
    "SolverParameter.SolverType": SOLVER_TYPES,
    "V1LayerParameter.LayerType": LAYER_TYPES,
}


def message_types() -> list[Descriptor]:
    """All messages of the schema, in its order."""
    return list(caffe_pb2.DESCRIPTOR.message_types_by_name.values())


def layer_types() -> list[str]:
    """The types of this package, sorted."""
    return [name for name in caffepy.layer_types() if get_layer_class(name).__module__.startswith("caffepy.layers.")]


@cache
def _readers() -> dict[str, list[str]]:
    """Layer types by the message, and by the ``LayerParameter.field``, that is theirs."""
    found: dict[str, list[str]] = {}
    for name in layer_types():
        for block in layer_pages.messages(get_layer_class(name)):
            found.setdefault(block.message_type.name, []).append(name)
            found.setdefault(f"LayerParameter.{block.name}", []).append(name)
    return found


def status(one: FieldDescriptor) -> Status:
    """The status of a field of a message.

    Raises:
        KeyError: a field that nothing is known of: neither a layer's file reads its message, nor is it listed.
    """
    message = one.containing_type.name
    key = f"{message}.{one.name}"
    if key in IGNORED:
        moved = one.name in TRANSFORM_FIELDS and one.containing_type.name in _transformed()
        in_v1 = "; in old 'layers' upgraded to transform_param" if moved else ""
        return Status("ignored", IGNORED[key] + in_v1, layers=tuple(_readers().get(message, ())))
    if key in REFUSED:
        return Status("refused", REFUSED[key])
    if key in _STORED:
        return Status("stored", _STORED[key])
    if targets := _targets(one):
        return Status("upgraded", targets=targets)
    if message == "LayerParameter" and one.message_type is not None:
        inner = {IGNORED.get(f"{one.message_type.name}.{field.name}", "") for field in one.message_type.fields}
        if len(inner) == 1 and "" not in inner:
            return Status("ignored", inner.pop(), layers=tuple(_readers().get(key, ())))
    raising = {name: words[key] for name, words in REFUSED_BY.items() if key in words}
    readers = _readers().get(key if message == "LayerParameter" else message, [])
    if not readers:
        return Status("acts", _NOTES.get(key, ""), module=_MODULES.get(key) or _MODULES[message], raising=raising)
    without = {name: ignored_why(key, name) for name in readers if key in IGNORED_BY.get(name, {})}
    layers = tuple(name for name in readers if name not in without and name not in raising)
    return Status("acts", _NOTES.get(key, ""), layers, without=without, raising=raising)


def _transformed() -> set[str]:
    blocks = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name
    return {blocks[name].message_type.name for name in TRANSFORMED.values()}


def _targets(one: FieldDescriptor) -> dict[str, str]:
    message, name = one.containing_type.name, one.name
    if message == "V1LayerParameter":
        return {"": _V1.get(name, f"LayerParameter.{name}")}
    if message == "V0LayerParameter":
        return _targets_of_v0(name)
    key = f"{message}.{name}"
    return {"": _NET[key]} if key in _NET else {}


def _targets_of_v0(name: str) -> dict[str, str]:
    if name in SETTINGS:
        new, types = SETTINGS[name]
        blocks = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name
        return {kind: f"{blocks[BLOCKS[kind]].message_type.name}.{new}" for kind in types}
    if name in TRANSFORM:
        return {"": f"TransformationParameter.{TRANSFORM[name]}"}
    if name == "hdf5_output_param":
        return {"hdf5_output": f"LayerParameter.{name}"}
    return {"": _V1.get(name, f"LayerParameter.{name}")}


@cache
def enum_users(enum: EnumDescriptor) -> list[FieldDescriptor]:
    """The fields that have this enum's values."""
    return [one for message in message_types() for one in message.fields if one.enum_type is enum]


def value_status(value: EnumValueDescriptor) -> Status:
    """The status of one value of an enum: that of the fields that it is a value of."""
    enum = value.type
    owner = f"{enum.containing_type.name}.{enum.name}" if enum.containing_type is not None else enum.name
    key = f"{owner}.{value.name}"
    if key in REFUSED:
        return Status("refused", REFUSED[key])
    users = [status(one) for one in enum_users(enum)]
    kinds = {user.kind for user in users}
    if len(kinds) != 1:
        raise KeyError(f"{key}: the fields of this enum have several kinds of status: {kinds}")
    if owner in _TARGETS_OF_TYPES:
        return Status("upgraded", targets={"": f'type: "{_TARGETS_OF_TYPES[owner][value.name]}"'})
    if kinds == {"upgraded"}:
        new = sorted({target for user in users for target in user.targets.values()})
        return Status("upgraded", targets={"": f"{value.name} of {', '.join(new)}"})
    return Status(kinds.pop(), users[0].why if users[0].kind == "ignored" else "")
