"""Fields set inside a message: which there are, and the message without one of them, or with another value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from caffepy.proto import caffe_pb2

__all__ = [
    "Place",
    "key_of",
    "near_values",
    "other_values",
    "places",
    "put",
    "set_in_layers",
    "value_key",
    "with_value",
    "without",
]


@dataclass(frozen=True)
class Place:
    """A field that is set: in which message, and in a layer of which type (empty outside of layers)."""

    owner: Message
    field: FieldDescriptor
    layer: str


def key_of(field: FieldDescriptor) -> str:
    """``Message.field``."""
    return f"{field.containing_type.name}.{field.name}"


def value_key(enum: EnumDescriptor, value: str) -> str:
    """``Message.Enum.VALUE``, or ``Enum.VALUE`` of an enum that is no message's."""
    owner = f"{enum.containing_type.name}." if enum.containing_type is not None else ""
    return f"{owner}{enum.name}.{value}"


def places(message: Message, layer: str = "") -> Iterator[Place]:
    """Every field that is set, from the outside in. Blobs count as they are, not number by number."""
    if message.DESCRIPTOR.name == "LayerParameter":
        layer = message.type
    for field, value in message.ListFields():
        yield Place(message, field, layer)
        if field.message_type is not None:
            for inner in [value] if isinstance(value, Message) else value:
                yield from places(inner, layer)


def _found(message: Message, key: str, layer: str) -> list[Place]:
    return [place for place in places(message) if key_of(place.field) == key and layer in ("", place.layer)]


def without(message: Message, key: str, layer: str = "") -> Message | None:
    """A copy in which ``key`` is set nowhere (in layers of type ``layer``); None where it is not set at all."""
    copy = type(message)()
    copy.CopyFrom(message)
    found = _found(copy, key, layer)
    for place in found:
        place.owner.ClearField(place.field.name)
    return copy if found else None


def near_values(message: Message, key: str, layer: str = "") -> list[Any]:
    """Numbers near to those that the field ``key`` has; other values of an enum; nothing for strings and messages."""
    found = _found(message, key, layer)
    if not found or found[0].field.message_type is not None:
        return []
    field, value = found[0].field, getattr(found[0].owner, found[0].field.name)
    if field.enum_type is not None:
        return [other.number for other in field.enum_type.values]
    if field.type == FieldDescriptor.TYPE_STRING:
        return []
    if field.type == FieldDescriptor.TYPE_BYTES:
        return [value[::-1]]
    first = value[0] if field.is_repeated else value
    if isinstance(first, bool):
        return [not first]
    near = [first + 1, first - 1, 2 * first, 0]
    unsigned = field.type in (FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_UINT64)
    return [other for other in near if not (unsigned and other < 0)]


def with_value(message: Message, key: str, value: Any, layer: str = "") -> Message:
    """A copy in which the field ``key`` is ``value`` wherever it is set, or each of its list."""
    copy = type(message)()
    copy.CopyFrom(message)
    for place in _found(copy, key, layer):
        if place.field.is_repeated:
            values = getattr(place.owner, place.field.name)
            values[:] = [value] * len(values)
        else:
            setattr(place.owner, place.field.name, value)
    return copy


def other_values(field: FieldDescriptor) -> list[Any]:
    """Values that are not the field's default."""
    if field.message_type is not None:
        message = getattr(caffe_pb2, field.message_type.name)()
        first = next((one for one in field.message_type.fields if one.message_type is None), None)
        if first is not None:
            _put(message, first, other_values(first)[0])
        return [message]
    if field.enum_type is not None:
        return [value.number for value in field.enum_type.values if value.number != field.default_value]
    if field.type == FieldDescriptor.TYPE_BOOL:
        return [not field.default_value]
    if field.type == FieldDescriptor.TYPE_STRING:
        return ["gaussian"] if field.name == "type" else ["other"]
    if field.type == FieldDescriptor.TYPE_BYTES:
        return [b"other"]
    return [2 if field.is_repeated else field.default_value + 2]


def _put(owner: Message, field: FieldDescriptor, value: Any) -> None:
    if field.is_repeated:
        values = getattr(owner, field.name)
        del values[:]
        values.append(value)
    elif field.message_type is not None:
        getattr(owner, field.name).CopyFrom(value)
        getattr(owner, field.name).SetInParent()
    else:
        setattr(owner, field.name, value)


def put(owner: Message, name: str, value: Any) -> None:
    """Set the field ``name``, of whatever kind, to one value."""
    _put(owner, owner.DESCRIPTOR.fields_by_name[name], value)


def set_in_layers(message: Message, field: FieldDescriptor, value: Any, layer: str) -> Message | None:
    """A copy with ``field`` set in every layer of type ``layer``; None where there is no such layer."""
    copy = type(message)()
    copy.CopyFrom(message)
    inside = [copy] if copy.DESCRIPTOR.name == "LayerParameter" else getattr(copy, "layer", [])
    layers = [one for one in inside if one.type == layer]
    for one in layers:
        owner = one
        if field.containing_type.name != "LayerParameter":
            block = next(b for b in one.DESCRIPTOR.fields if b.message_type is field.containing_type)
            owner = getattr(one, block.name)
        _put(owner, field, value)
    return copy if layers else None
