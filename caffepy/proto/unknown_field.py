"""What to say about a field that a message does not have: the near miss, the fork that has it, where it belongs."""

from __future__ import annotations

from google.protobuf.message import Message

from caffepy.errors import did_you_mean
from caffepy.proto.forks import fork_of

__all__ = ["caffe_name", "unknown_field"]


def caffe_name(message: Message) -> str:
    """The message's type as Caffe's users know it: ``caffe.LayerParameter``."""
    full_name = str(message.DESCRIPTOR.full_name)
    return full_name.replace("caffepy.", "caffe.", 1) if full_name.startswith("caffepy.") else full_name


def unknown_field(field: str, message: Message) -> str:
    """The error about ``field``, in protobuf's words and with what helps."""
    text = f'Message type "{caffe_name(message)}" has no field named "{field}".'
    fork = fork_of(str(message.DESCRIPTOR.name), field)
    if fork:
        return text + fork
    place = _where_it_belongs(field, message)
    return text + (place or did_you_mean(field, [str(name) for name in message.DESCRIPTOR.fields_by_name]))


def _where_it_belongs(field: str, message: Message) -> str:
    """A sentence on where else in the schema a field of this name is, if that tells what went wrong."""
    blocks = [
        str(inner.name)
        for inner in message.DESCRIPTOR.fields
        if inner.message_type is not None and field in inner.message_type.fields_by_name
    ]
    schema = message.DESCRIPTOR.file.message_types_by_name
    name = str(message.DESCRIPTOR.name)
    others = {
        "NetParameter": ("SolverParameter", " It is a setting of a solver: is this a solver's file?"),
        "SolverParameter": (
            "NetParameter",
            ' It is a part of a net: is this a net\'s file? The solver names it, net: "...".',
        ),
        "LayerParameter": ("V1LayerParameter", " It is of the old 'layers { }' form; in a 'layer' write param { }."),
        "V1LayerParameter": ("LayerParameter", " It is of the newer 'layer { }' form; this block is an old 'layers'."),
    }
    if name in others and others[name][0] in schema and field in schema[others[name][0]].fields_by_name:
        return others[name][1]
    if len(blocks) == 1 or (blocks and len(blocks) <= 4):
        return f" It belongs inside {' or '.join(block + ' { }' for block in blocks)}."
    if field in ("layer", "layers") and name != "NetParameter" and "NetParameter" in schema:
        return " A new layer starts inside a block: a '}' is missing before this line."
    return ""
