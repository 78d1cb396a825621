"""Protobuf's text format (prototxt) into a message, with the line of every field.

The grammar is that of protobuf's C++ TextFormat parser, which is what Caffe reads with; its wording is in the errors.
Fields are looked up by reflection, so any message of protobuf can be read.
"""

from __future__ import annotations

from array import array
from functools import lru_cache
from typing import Final

from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto
from google.protobuf.message import Message

from caffepy.errors import ParseError, did_you_mean
from caffepy.proto.lines import Lines, Places, field_id
from caffepy.proto.tokens import END, FLOAT, INT, NAME, STRING, SYMBOL, Tokens, unescape
from caffepy.proto.unknown_field import caffe_name, unknown_field

__all__ = ["Lines", "parse_text", "to_text"]

MAX_DEPTH: Final = 64
# Far more layers than any net has. Without a limit a text of millions is read for minutes before anything is refused.
MAX_BLOCKS: Final = 50_000

_CLOSER = {"{": "}", "<": ">"}
_BOOLS = {"true": True, "True": True, "t": True, "false": False, "False": False, "f": False}
_REAL = (INT, FLOAT, NAME)
_INTEGERS = {
    FieldDescriptor.TYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.TYPE_SINT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.TYPE_SFIXED32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.TYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.TYPE_SINT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.TYPE_SFIXED64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.TYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.TYPE_FIXED32: (0, (1 << 32) - 1),
    FieldDescriptor.TYPE_UINT64: (0, (1 << 64) - 1),
    FieldDescriptor.TYPE_FIXED64: (0, (1 << 64) - 1),
}


class _Field:
    """What the parser needs of a field, read from the descriptor once."""

    __slots__ = ("enum", "id", "message", "name", "range", "repeated", "type")

    def __init__(self, descriptor: FieldDescriptor, repeated: bool) -> None:
        self.name: str = descriptor.name
        self.id = field_id(descriptor.name)
        self.type: int = descriptor.type
        self.repeated = repeated
        self.message: Descriptor | None = descriptor.message_type
        self.enum: EnumDescriptor | None = descriptor.enum_type
        self.range = _INTEGERS.get(descriptor.type)


class _Fields:
    """The fields of a message by name, and those that it must have."""

    __slots__ = ("by_name", "descriptor", "required")

    def __init__(self, descriptor: Descriptor) -> None:
        # Labels are read from a copy of the descriptor: protobuf 7 has dropped FieldDescriptor.label, and protobuf 5
        # does not have is_repeated yet.
        proto = DescriptorProto()
        descriptor.CopyToProto(proto)
        labels = {field.name: field.label for field in proto.field}
        self.descriptor = descriptor
        self.by_name = {
            field.name: _Field(field, labels[field.name] == FieldDescriptorProto.LABEL_REPEATED)
            for field in descriptor.fields
        }
        self.required = [name for name, label in labels.items() if label == FieldDescriptorProto.LABEL_REQUIRED]


@lru_cache(maxsize=1024)
def _fields_of(descriptor: Descriptor) -> _Fields:
    return _Fields(descriptor)


def parse_text(text: str, message: Message, file: str) -> Lines:
    """Fill ``message`` from protobuf text; gives the line of each field.

    ``file`` is the name that errors begin with, ``file:line:column: ...``.

    Raises:
        ParseError: anything that protobuf's parser refuses: unknown fields, values of another type or out of range, a
            field twice that is not repeated, missing brackets, missing required fields. ``message`` is then filled in
            part.
    """
    parser = _Parser(Tokens(text, file), Places(file))
    block = parser.message_body(message, "", 1, 0)
    return Lines(parser.places, block, 1)


def to_text(message: Message) -> str:
    """The message as prototxt; `parse_text` reads the same message back."""
    return str(text_format.MessageToString(message))


class _Parser:
    """One pass over the tokens; the depth of the calls is the depth of the brackets, at most MAX_DEPTH."""

    def __init__(self, tokens: Tokens, places: Places) -> None:
        self.tokens = tokens
        self.places = places

    def message_body(self, message: Message, closer: str, opened: int, depth: int) -> int:
        """Fields up to ``closer`` (empty: the end of the text); gives the number of the block in `places`."""
        tokens = self.tokens
        fields = _fields_of(message.DESCRIPTOR)
        entries = array("i")
        while tokens.kind == NAME:
            field = fields.by_name.get(tokens.token)
            if field is None:
                tokens.fail(unknown_field(tokens.token, message))
            if not field.repeated and message.HasField(field.name):
                tokens.fail(f'Non-repeated field "{field.name}" is specified multiple times.')
            line = tokens.line
            tokens.advance()
            if field.message is None:
                self.expect(":", f" after '{field.name}', which is a value and not a block")
            elif tokens.token == ":" and tokens.kind == SYMBOL:
                tokens.advance()
            if field.repeated and tokens.token == "[" and tokens.kind == SYMBOL:
                self.list_of(message, field, entries, depth)
            else:
                block = self.value(message, field, depth)
                entries.extend((field.id, line, block))
            if tokens.kind == SYMBOL and tokens.token in ",;":
                tokens.advance()
        self.close(message, closer, opened)
        for name in fields.required:
            if not message.HasField(name):
                tokens.fail(f'Message type "{caffe_name(message)}" is missing required fields: {name}.', opened)
        return self.places.add_block(opened, entries)

    def close(self, message: Message, closer: str, opened: int) -> None:
        """Consume the bracket that ends a message, or the end of the text."""
        tokens = self.tokens
        if closer and tokens.kind == SYMBOL and tokens.token == closer:
            tokens.advance()
        elif closer and tokens.kind == END:
            tokens.fail(
                f"Expected '{closer}', found the end of the file: the block of "
                f"{caffe_name(message)} opened on line {opened} is not closed."
            )
        elif tokens.kind != END:
            extra = ""
            if tokens.kind == SYMBOL and tokens.token in "}>":
                extra = (
                    f" It closes nothing: a bracket too many, or '{closer}' is meant."
                    if closer
                    else (" It closes nothing: one bracket too many before it.")
                )
            elif tokens.kind == SYMBOL and tokens.token == "[":
                extra = " Extensions are not used in Caffe's files."
            inside = f" in the block opened on line {opened}" if closer else ""
            tokens.fail(f"Expected identifier, got: {tokens.shown()}{inside}.{extra}")

    def list_of(self, message: Message, field: _Field, entries: array[int], depth: int) -> None:
        """``[a, b]``, the short form of a repeated field; ``[]`` adds nothing."""
        tokens = self.tokens
        opened = tokens.line
        tokens.advance()
        if tokens.kind == SYMBOL and tokens.token == "]":
            tokens.advance()
            return
        while True:
            line = tokens.line
            entries.extend((field.id, line, self.value(message, field, depth)))
            if tokens.kind == SYMBOL and tokens.token == ",":
                tokens.advance()
            elif tokens.kind == SYMBOL and tokens.token == "]":
                tokens.advance()
                return
            else:
                tokens.fail(f"Expected ',' or ']', found {tokens.shown()}: in the list opened on line {opened}.")

    def value(self, message: Message, field: _Field, depth: int) -> int:
        """One value of ``field``, set in ``message``; gives its block, or -1 for a scalar."""
        if field.message is None:
            value = self.scalar(field)
            if field.repeated:
                getattr(message, field.name).append(value)
            else:
                setattr(message, field.name, value)
            return -1
        tokens = self.tokens
        closer = _CLOSER.get(tokens.token) if tokens.kind == SYMBOL else None
        if closer is None:
            tokens.fail(f"Expected \"{{\", found {tokens.shown()}: '{field.name}' is a block, {field.name} {{ ... }}.")
        if depth >= MAX_DEPTH:
            tokens.fail(f"Message is too deep: more than {MAX_DEPTH} blocks inside each other.")
        opened = tokens.line
        tokens.advance()
        if field.repeated:
            blocks = getattr(message, field.name)
            if len(blocks) >= MAX_BLOCKS:
                tokens.fail(f"more than {MAX_BLOCKS:,} blocks '{field.name}': so many are not read.")
            inner = blocks.add()
        else:
            inner = getattr(message, field.name)
            inner.SetInParent()
        return self.message_body(inner, closer, opened, depth + 1)

    def scalar(self, field: _Field) -> int | float | bool | str | bytes:
        """One value that is not a message."""
        if field.range is not None:
            return self.integer(field, *field.range)
        kind = field.type
        if kind == FieldDescriptor.TYPE_STRING or kind == FieldDescriptor.TYPE_BYTES:
            return self.string(field)
        if kind == FieldDescriptor.TYPE_FLOAT or kind == FieldDescriptor.TYPE_DOUBLE:
            return self.real(field)
        if kind == FieldDescriptor.TYPE_BOOL:
            return self.boolean(field)
        return self.enum(field)

    def expect(self, symbol: str, why: str) -> None:
        if self.tokens.kind != SYMBOL or self.tokens.token != symbol:
            self.tokens.fail(f'Expected "{symbol}", found "{self.tokens.shown()}"{why}.')
        self.tokens.advance()

    def sign(self) -> bool:
        """Consume a minus, if there is one."""
        if self.tokens.kind == SYMBOL and self.tokens.token == "-":
            self.tokens.advance()
            return True
        return False

    def integer(self, field: _Field, low: int, high: int) -> int:
        """A decimal, octal (leading 0) or hexadecimal (leading 0x) integer in [low, high]."""
        tokens = self.tokens
        if low == 0 and tokens.kind == SYMBOL and tokens.token == "-":
            tokens.fail(f"Expected integer, got: -. '{field.name}' takes numbers from 0 to {high}.")
        negative = self.sign()
        if tokens.kind != INT:
            tokens.fail(f"Expected integer, got: {tokens.shown()}. '{field.name}' takes a whole number.")
        token = tokens.token
        base = 16 if token[:2] in ("0x", "0X") else 8 if token[0] == "0" else 10
        number = int(token, base)
        if negative:
            number = -number
        if not low <= number <= high:
            tokens.fail(f"Integer out of range ({tokens.shown()}). '{field.name}' takes numbers from {low} to {high}.")
        tokens.advance()
        return number

    def real(self, field: _Field) -> float:
        """A decimal number, inf, infinity or nan."""
        tokens = self.tokens
        negative = self.sign()
        token = tokens.token
        if tokens.kind == INT and token[0] == "0" and len(token) > 1:
            tokens.fail(f"Expect a decimal number, got: {tokens.shown()}, for '{field.name}'.")
        if (tokens.kind == NAME and token.lower() not in ("inf", "infinity", "nan")) or tokens.kind not in _REAL:
            tokens.fail(f"Expected double, got: {tokens.shown()}. '{field.name}' takes a number.")
        number = float(token.rstrip("fF") if tokens.kind == FLOAT else token)
        tokens.advance()
        return -number if negative else number

    def boolean(self, field: _Field) -> bool:
        """true, True, t, 1, false, False, f or 0."""
        tokens = self.tokens
        if tokens.kind == INT:
            return self.integer(field, 0, 1) == 1
        value = _BOOLS.get(tokens.token) if tokens.kind == NAME else None
        if value is None:
            tokens.fail(
                f'Invalid value for boolean field "{field.name}". Value: "{tokens.shown()}". Write true or false.'
            )
        tokens.advance()
        return value

    def enum(self, field: _Field) -> int:
        """A value of an enum, by name or by number."""
        tokens = self.tokens
        assert field.enum is not None
        names = [str(value.name) for value in field.enum.values]
        start = tokens.token
        if tokens.kind == NAME and tokens.token in field.enum.values_by_name:
            number = int(field.enum.values_by_name[tokens.token].number)
            tokens.advance()
            return number
        if tokens.kind == INT or (tokens.kind == SYMBOL and start == "-"):
            number = self.integer_ahead(field)
            if number in field.enum.values_by_number:
                tokens.advance()
                return number
            start = str(number)
        hint = did_you_mean(start, names)
        if tokens.kind == STRING:
            hint = did_you_mean(start[1:-1], names) + " It is written without quotes."
            if field.enum.name == "LayerType":
                hint += " (A 'layer' block names its type in quotes, an old 'layers' block in capitals.)"
        tokens.fail(
            f'Unknown enumeration value of "{tokens.shown() if tokens.kind != INT else start}" for field '
            f'"{field.name}".{hint} It is one of {", ".join(names)}.'
        )

    def integer_ahead(self, field: _Field) -> int:
        """The integer at the current token, left current so that an error is about it."""
        negative = self.sign()
        if self.tokens.kind != INT:
            self.tokens.fail(f"Expected integer, got: {self.tokens.shown()}, for '{field.name}'.")
        token = self.tokens.token
        number = int(token, 16 if token[:2] in ("0x", "0X") else 8 if token[0] == "0" else 10)
        return -number if negative else number

    def string(self, field: _Field) -> str | bytes:
        """Strings in either quotes; several in a row are one."""
        tokens = self.tokens
        if tokens.kind != STRING:
            hint = f' Put it in quotes: {field.name}: "{tokens.token}".' if tokens.kind in (NAME, INT, FLOAT) else ""
            tokens.fail(f"Expected string, got: {tokens.shown()}.{hint}")
        parts = []
        line = tokens.line
        while tokens.kind == STRING:
            try:
                parts.append(unescape(tokens.token))
            except ValueError as error:
                tokens.fail(f"{error}.")
            tokens.advance()
        joined = b"".join(parts)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return joined
        try:
            return joined.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ParseError(
                f"{tokens.file}:{line}: the string of '{field.name}' is not UTF-8 (byte {joined[error.start]:#04x}). "
                "Save the file as UTF-8."
            ) from None
