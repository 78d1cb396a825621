"""The page fields.md: every field of every message of Caffe's schema, and what it does here."""

from __future__ import annotations

from collections import Counter

import layer_pages
from field_status import Status, message_types, status, value_status
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from caffepy.proto import caffe_pb2

__all__ = ["page"]

_HEAD = """# Fields

Every field of every message of Caffe 1.0's schema, and what becomes of it here. A test walks this table: it sets each
field and sees what changes.

- acts: it changes what is computed, shown or written, in the layers or the file named.
- ignored: it is accepted, to no effect, for the reason given; the log names it.
- refused: it raises an error with these words.
- upgraded: an older form, which becomes what is named when the file is read.
- stored: it is in files only.
"""


def page() -> str:
    """The whole page."""
    sections: list[str] = []
    counts: Counter[str] = Counter()
    for message in message_types():
        sections += _message(message, counts)
        for enum in message.enum_types:
            sections += _enum(enum, counts)
    for enum in caffe_pb2.DESCRIPTOR.enum_types_by_name.values():
        sections += _enum(enum, counts)
    total = f"{sum(counts.values())} fields and enum values: " + ", ".join(
        f"{counts[kind]} {kind if kind != 'acts' else 'act'}"
        for kind in ("acts", "upgraded", "ignored", "stored", "refused")
    )
    return "\n".join([_HEAD, f"{total}.", "", *sections])


def _message(message: Descriptor, counts: Counter[str]) -> list[str]:
    lines = [f"## {message.name}", "", "| | field | type | default | |", "| --: | --- | --- | --- | --- |"]
    for field in message.fields:
        found = status(field)
        counts[found.kind] += 1
        lines.append(
            f"| {field.number} | `{field.name}` | {_type(field)} | {layer_pages.default_of(field)} | {_text(found)} |"
        )
    return [*lines, ""]


def _enum(enum: EnumDescriptor, counts: Counter[str]) -> list[str]:
    owner = f"{enum.containing_type.name}." if enum.containing_type is not None else ""
    lines = [f"### {owner}{enum.name}", "", "| | value | |", "| --: | --- | --- |"]
    for value in enum.values:
        found = value_status(value)
        counts[found.kind] += 1
        lines.append(f"| {value.number} | `{value.name}` | {_text(found)} |")
    return [*lines, ""]


def _type(field: FieldDescriptor) -> str:
    if field.message_type is not None:
        kind = f"[{field.message_type.name}](#{field.message_type.name.lower()})"
        return f"{kind}, repeated" if field.is_repeated else kind
    return layer_pages.type_of(field)


def _links(types: tuple[str, ...]) -> str:
    return ", ".join(f"[{name}]({layer_pages.page_of(name)})" for name in types)


def _text(found: Status) -> str:
    if found.kind in ("ignored", "stored"):
        return f"{found.kind}: {found.why}"
    if found.kind == "refused":
        return f'refused: "{found.why}"'
    if found.kind == "upgraded":
        return "upgraded to " + _targets(found.targets)
    parts = ["acts"]
    if found.layers:
        parts = [f"acts in {_links(found.layers)}"]
    elif found.module:
        parts = [f"acts in `{found.module}`"]
    if found.why:
        parts.append(found.why)
    # One reason for several fields of several layers is said once for each reason.
    reasons: dict[str, list[str]] = {}
    for name, why in found.without.items():
        reasons.setdefault(f"ignored by {{}}: {why}", []).append(name)
    for name, why in found.raising.items():
        reasons.setdefault(f'refused by {{}}: "{why}"', []).append(name)
    parts += [text.format(_links(tuple(names))) for text, names in reasons.items()]
    return "; ".join(parts)


def _targets(targets: dict[str, str]) -> str:
    by_target: dict[str, list[str]] = {}
    for when, target in targets.items():
        by_target.setdefault(target, []).append(when)
    return ", ".join(
        f"`{target}`" + (f" ({', '.join(whens)})" if whens != [""] else "") for target, whens in by_target.items()
    )
