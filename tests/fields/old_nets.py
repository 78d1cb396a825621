"""Old nets that set one field of an old form, and what it becomes."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.descriptor import EnumValueDescriptor, FieldDescriptor
from google.protobuf.message import Message

from caffepy.errors import NetError
from caffepy.layer import layer_types
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from caffepy.proto.lines import Lines
from caffepy.proto.upgrade import upgrade_net, upgrade_solver
from tests.fields.messages import key_of, other_values, places, put

__all__ = ["becomes", "is_dropped", "type_is_refused", "value_becomes"]

#: Old inputs come by twos: a name and its sizes.
INPUTS = {
    "input": {"input": ["x"], "input_dim": [2, 3, 4, 5]},
    "input_dim": {"input": ["x"], "input_dim": [2, 3, 4, 5]},
    "input_shape": {"input": ["x"], "input_shape": [caffe_pb2.BlobShape(dim=[2, 3])]},
}


def becomes(field: FieldDescriptor, when: str, target: str) -> None:
    """Assert that a net or solver which sets ``field`` is read as one that sets ``target``, ``Message.field``, to that.

    ``when`` is the type of the V0 layer, where that makes a difference.
    """
    message = field.containing_type.name
    if message == "SolverParameter":
        _in_solver(field, target)
    elif message == "NetParameter":
        _in_net(field, target)
    elif target.endswith("field by field"):
        # V0, inside of V1: its own rows say what becomes of it.
        read = _upgraded(caffe_pb2.V0LayerParameter(name="r", type="relu"))
        assert [(layer.name, layer.type) for layer in read.layer] == [("r", "ReLU")]
    else:
        for value in other_values(field):
            _in_layer(field, when, target, value)


def _in_layer(field: FieldDescriptor, when: str, target: str, value: Any) -> None:
    old = getattr(caffe_pb2, field.containing_type.name)()
    if field.name != "type":
        _put_type(old, when)
    else:
        value = "relu" if field.containing_type.name == "V0LayerParameter" else value
    before = _upgraded(old)
    put(old, field.name, value)
    after = _upgraded(old)
    _compare(field, target, before, after)
    if field.message_type is None and field.name != "type":
        assert value in _all_values(after, target), f"{key_of(field)} becomes {target} with another value"


def _all_values(message: Message, key: str) -> list[Any]:
    found = [_value(place.owner, place.field) for place in places(message) if key_of(place.field) == key]
    return [one for value in found for one in (value if isinstance(value, list) else [value])]


def _put_type(old: Message, when: str) -> None:
    if isinstance(old, caffe_pb2.V0LayerParameter):
        old.type = when or "relu"
    else:
        old.type = caffe_pb2.V1LayerParameter.RELU  # type: ignore[attr-defined]


def _upgraded(old: Message) -> caffe_pb2.NetParameter:
    net = caffe_pb2.NetParameter()
    if isinstance(old, caffe_pb2.V0LayerParameter):
        net.layers.add().layer.CopyFrom(old)
    else:
        net.layers.add().CopyFrom(old)
    upgrade_net(net, Lines.unknown())
    return net


def _compare(field: FieldDescriptor, target: str, before: Message, after: Message) -> None:
    """Assert that ``target`` is set after, to the value that a place before it does not have."""
    had = [_value(place.owner, place.field) for place in places(before) if key_of(place.field) == target]
    has = [_value(place.owner, place.field) for place in places(after) if key_of(place.field) == target]
    assert has, f"{key_of(field)} does not become {target}: it is not set"
    assert has != had, f"{key_of(field)} does not become {target}: that is {had} without it too"


def _value(owner: Message, field: FieldDescriptor) -> Any:
    value = getattr(owner, field.name)
    return list(value) if field.is_repeated else value


def _in_net(field: FieldDescriptor, target: str) -> None:
    net, before = caffe_pb2.NetParameter(), caffe_pb2.NetParameter()
    if field.name == "layers":
        net.layers.add(name="r", type=caffe_pb2.V1LayerParameter.RELU)
    else:
        for name, value in INPUTS[field.name].items():
            getattr(net, name).extend(value)
            if name != field.name:
                getattr(before, name).extend(value)
    upgrade_net(net, Lines.unknown())
    upgrade_net(before, Lines.unknown())
    _compare(field, target, before, net)
    assert not getattr(net, field.name)


def _in_solver(field: FieldDescriptor, target: str) -> None:
    for value in field.enum_type.values:
        solver = caffe_pb2.SolverParameter(solver_type=value.name)
        upgrade_solver(solver, Lines.unknown())
        assert solver.type.upper() == value.name
        assert not solver.HasField(field.name)
    assert target == "SolverParameter.type"


def is_dropped(field: FieldDescriptor) -> None:
    """Assert that a V0 layer of no type keeps anything of ``field``."""
    from caffepy.proto.upgrade_v0 import BLOCKS

    for kind in BLOCKS:
        old = caffe_pb2.V0LayerParameter(type=kind)
        before = _upgraded(old)
        put(old, field.name, other_values(field)[0])
        assert _upgraded(old) == before, f"{key_of(field)} acts in {kind}"


def value_becomes(value: EnumValueDescriptor, targets: list[str]) -> None:
    """Assert that a layer (or solver) with this value of an old enum is read as one with the new value."""
    owner, enum = value.type.containing_type.name, value.type.name
    if (owner, enum) == ("SolverParameter", "SolverType"):
        solver = caffe_pb2.SolverParameter(solver_type=value.name)
        upgrade_solver(solver, Lines.unknown())
        assert targets == [f'type: "{solver.type}"']
    elif (owner, enum) == ("V1LayerParameter", "LayerType"):
        layer = _upgraded(caffe_pb2.V1LayerParameter(type=value.name)).layer[0]
        assert targets == [f'type: "{layer.type}"']
        assert layer.type in layer_types()
    elif (owner, enum) == ("V1LayerParameter", "DimCheckMode"):
        spec = _upgraded(caffe_pb2.V1LayerParameter(blob_share_mode=[value.name])).layer[0].param[0]
        assert targets == [f"{caffe_pb2.ParamSpec.DimCheckMode.Name(spec.share_mode)} of ParamSpec.share_mode"]
    else:
        assert (owner, enum) == ("V0LayerParameter", "PoolMethod")
        pooling = _upgraded(caffe_pb2.V0LayerParameter(type="pool", pool=value.name)).layer[0].pooling_param
        assert pooling.HasField("pool")
        assert targets == [f"{caffe_pb2.PoolingParameter.PoolMethod.Name(pooling.pool)} of PoolingParameter.pool"]


def type_is_refused(value: EnumValueDescriptor, words: str) -> None:
    """Assert that a layer of this type of V1 cannot be built, and that the error says so."""
    net = _upgraded(caffe_pb2.V1LayerParameter(type=value.name, name="old"))
    with pytest.raises(NetError, match=words):
        Net(net)
