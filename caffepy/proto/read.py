"""Nets and solvers from text, weights and states from binary files, and both kinds of file written.

What is read comes in today's form: see `caffepy.proto.upgrade`.
"""

from __future__ import annotations

import difflib
import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from caffepy.errors import CaffepyError, ParseError, WeightsError, reason
from caffepy.proto.caffe_pb2 import BlobProto, NetParameter, SolverParameter, SolverState
from caffepy.proto.file_kind import HEAD, file_kind, looks_like_text
from caffepy.proto.files import atomic_write
from caffepy.proto.lines import Lines
from caffepy.proto.text import parse_text, to_text
from caffepy.proto.upgrade import default_snapshot_prefix, upgrade_net, upgrade_solver

__all__ = [
    "check_binary",
    "parse_binary",
    "parse_net",
    "parse_solver",
    "read_binary",
    "read_net",
    "read_solver",
    "read_text",
    "write_binary",
    "write_text",
]

StrPath = str | os.PathLike[str]

MAX_TEXT: Final = 1 << 30
"""Longest text read, bytes."""
MAX_BINARY: Final = (1 << 31) - 1
"""Longest binary message, bytes: protobuf's own limit."""

# Files of a folder that is given for one, named in the message.
_SHOWN = (".prototxt", ".caffemodel", ".solverstate")
# What messages call a file that holds one.
_CALLED = {"SolverState": "solver state", "BlobProto": "blob"}


def read_net(path: StrPath) -> tuple[NetParameter, Lines]:
    """A net's prototxt, upgraded, and its lines.

    Raises:
        ParseError: as `read_text` and `parse_net`.
    """
    return parse_net(read_text(path, "net"), os.fspath(path))


def read_solver(path: StrPath) -> tuple[SolverParameter, Lines]:
    """A solver's prototxt, upgraded, with snapshot_prefix set as Caffe sets it, and its lines.

    Raises:
        ParseError: as `read_text` and `parse_solver`.
    """
    solver, lines = parse_solver(read_text(path, "solver"), os.fspath(path))
    default_snapshot_prefix(solver, path)
    return solver, lines


def parse_net(text: str, file: str = "<string>") -> tuple[NetParameter, Lines]:
    """A net from a string; ``file`` is what errors call it.

    Raises:
        ParseError: it is no net, or an older one that cannot be upgraded.
    """
    net = NetParameter()
    lines = parse_text(text, net, file)
    return net, upgrade_net(net, lines)


def parse_solver(text: str, file: str = "<string>") -> tuple[SolverParameter, Lines]:
    """A solver from a string; ``file`` is what errors call it.

    Raises:
        ParseError: it is no solver, or an older one that cannot be upgraded.
    """
    solver = SolverParameter()
    lines = parse_text(text, solver, file)
    return solver, upgrade_solver(solver, lines)


def read_text(path: StrPath, what: str) -> str:
    """The text of a prototxt; ``what`` it should hold is for errors.

    Raises:
        ParseError: a file that is not there, is too long, or is no text.
    """
    data = _read_bytes(path, MAX_TEXT, what, ParseError)
    head = data[:HEAD]
    kind = file_kind(head)
    if not kind and not looks_like_text(head):
        holds_net = not _decode(data, NetParameter())
        kind = "binary: a .caffemodel holds weights, not the text of a net" if holds_net else "binary"
    if kind:
        raise ParseError(f"{os.fspath(path)}: expected the text of a {what} (prototxt), but the file is {kind}.")
    # Comments in other encodings are common and harmless; a string that is not UTF-8 is refused by the parser.
    return data.decode("utf-8", "surrogateescape")


def read_binary(path: StrPath, message: Message) -> None:
    """Fill ``message`` from a .caffemodel, .solverstate or .binaryproto file.

    A net comes as it is in the file: `caffepy.proto.upgrade.upgrade_net` converts V0 and V1.

    Raises:
        WeightsError: a file that is not there, not of this kind, cut off, damaged, or over 2 GiB.
    """
    wanted = str(message.DESCRIPTOR.name)
    data = _read_bytes(path, MAX_BINARY, _CALLED.get(wanted, "weights"), WeightsError)
    _refuse_kind(path, data[:HEAD], wanted)
    parse_binary(path, data, message, len(data))


def parse_binary(path: StrPath, data: bytes, message: Message, size: int) -> None:
    """Fill ``message`` from what `read_binary` has read; errors name ``path`` and its ``size``.

    Raises:
        WeightsError: as `read_binary`.
    """
    wanted = str(message.DESCRIPTOR.name)
    failure = _decode(data, message)
    # Some numbers of another message's fields are also fields of this one; forks' fields are unknown too, and kept.
    other = _other_message(data, wanted) if failure or len(UnknownFieldSet(message)) else ""
    if failure or other:
        failure = failure or "it is another kind of file"
        raise WeightsError(f"{os.fspath(path)}: Failed to parse {wanted} file: {failure} ({size:,} bytes).{other}")


def check_binary(path: StrPath, message: Message) -> bytes:
    """The first bytes of a file that may hold ``message``: refuses at once what `read_binary` refuses by them.

    Raises:
        WeightsError: as `read_binary`.
    """
    wanted = str(message.DESCRIPTOR.name)
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except (OSError, ValueError) as error:
        raise _not_opened(path, _CALLED.get(wanted, "weights"), error, WeightsError) from None
    _refuse_kind(path, head, wanted)
    return head


def _refuse_kind(path: StrPath, head: bytes, wanted: str) -> None:
    kind, ask = file_kind(head), ""
    if not kind and looks_like_text(head):
        kind = "text, such as a prototxt"
        ask = " Are model and weights swapped?" if wanted == "NetParameter" else ""
    if kind:
        raise WeightsError(f"{os.fspath(path)}: expected a binary {wanted}, but the file is {kind}.{ask}")


def write_binary(path: StrPath, message: Message) -> None:
    """Write ``message`` to ``path`` in one step: after a crash the old file or the new one is there, whole.

    Raises:
        WeightsError: the disk refuses it, a required field is missing, or it is larger than 2 GiB.
    """
    if not message.IsInitialized():
        raise WeightsError(f"{os.fspath(path)}: not written: required fields are missing: {_missing(message)}.")
    size = message.ByteSize()
    if size > MAX_BINARY:
        raise WeightsError(
            f"{os.fspath(path)}: not written: {size:,} bytes are more than the 2 GiB that a protobuf file may have. "
            "Use HDF5 (snapshot_format: HDF5)."
        )
    try:
        with atomic_write(path) as file:
            file.write(message.SerializeToString())
    except OSError as error:
        raise WeightsError(f"{os.path.abspath(path)}: not written: {reason(error)}.") from error


def write_text(path: StrPath, message: Message) -> None:
    """Write ``message`` as prototxt, in one step as `write_binary` does.

    Raises:
        ParseError: the disk refuses it.
    """
    try:
        with atomic_write(path) as file:
            file.write(to_text(message).encode())
    except OSError as error:
        raise ParseError(f"{os.path.abspath(path)}: not written: {reason(error)}.") from error


def _decode(data: bytes, message: Message) -> str:
    """Decode; gives what went wrong, or the empty string."""
    try:
        message.ParseFromString(data)
    except DecodeError:
        return "it is cut off or damaged"
    if not message.IsInitialized():
        return f"required fields are missing: {_missing(message)}"
    if not message.ListFields():
        return "it holds none of the fields of this kind of file"
    _mend_strings(message)
    return ""


def _mend_strings(message: Message) -> None:
    """Make text of strings that are not UTF-8, such as layers named in GBK, which protobuf gives as bytes.

    Bytes that are none become ``\\xd6``; a prototxt is UTF-8, so such a name has no partner either way.
    """
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_STRING:
            if isinstance(value, bytes):
                setattr(message, field.name, value.decode("utf-8", "backslashreplace"))
            elif not isinstance(value, str) and any(isinstance(part, bytes) for part in value):
                value[:] = [p.decode("utf-8", "backslashreplace") if isinstance(p, bytes) else p for p in value]
        elif field.message_type is not None and field.message_type.name != "BlobProto":
            for inner in [value] if isinstance(value, Message) else value:
                _mend_strings(inner)


def _missing(message: Message) -> str:
    return ", ".join(message.FindInitializationErrors())  # type: ignore[attr-defined]  # not in the stubs


def _other_message(data: bytes, wanted: str) -> str:
    """A hint on which of Caffe's other files this is."""
    others: tuple[tuple[Message, str], ...] = (
        (NetParameter(), "It holds a net's weights (.caffemodel)."),
        (SolverState(), "It holds a solver's state (.solverstate): pass it as the snapshot to restore."),
        (BlobProto(), "It holds one blob, such as a mean image (.binaryproto)."),
    )
    for message, hint in others:
        if message.DESCRIPTOR.name != wanted and not _decode(data, message):
            known = message.ByteSize()
            message.DiscardUnknownFields()
            if message.ByteSize() == known:
                return f" {hint}"
    return ""


def _read_bytes(path: StrPath, limit: int, what: str, error_type: type[CaffepyError]) -> bytes:
    """All bytes of a file, at most ``limit``."""
    try:
        with open(path, "rb") as file:
            return _bounded(file, limit)
    except _TooLongError as error:
        raise error_type(f"{os.fspath(path)}: {error}") from None
    except MemoryError:
        size = os.path.getsize(path)
        raise error_type(f"{os.fspath(path)}: out of memory: the file has {size:,} bytes.") from None
    except (OSError, ValueError) as error:
        raise _not_opened(path, what, error, error_type) from None


def _not_opened(path: StrPath, what: str, error: Exception, error_type: type[CaffepyError]) -> CaffepyError:
    why = "File not found" if isinstance(error, FileNotFoundError) else reason(error)
    return error_type(
        f"Could not open file {os.fspath(path)} ({why}): tried {os.path.abspath(path)!r} for the {what}, "
        f"from the working folder {os.getcwd()}.{_near_files(Path(path))}"
    )


class _TooLongError(Exception):
    """The file is longer than the limit."""


def _bounded(file: BinaryIO, limit: int) -> bytes:
    status = os.fstat(file.fileno())
    if stat.S_ISREG(status.st_mode) and status.st_size > limit:
        raise _TooLongError(f"the file has {status.st_size:,} bytes; at most {limit:,} are read.")
    parts, total = [], 0
    while part := file.read(max(1 << 20, min(limit, status.st_size + 1))):
        total += len(part)
        if total > limit:
            raise _TooLongError(f"the file has more than {limit:,} bytes, the most that are read.")
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _near_files(path: Path) -> str:
    """What is there instead: files of like names in the folder, the files of a folder given, or the missing folder."""
    try:
        if path.is_dir():
            inside = sorted(entry.name for entry in path.iterdir() if entry.suffix in _SHOWN)[:5]
            return f" It is a folder{', with ' + ', '.join(inside) if inside else ''}."
        if not path.parent.is_dir():
            return f" The folder {str(path.parent)!r} does not exist."
        names = [entry.name for entry in path.parent.iterdir()]
    except (OSError, ValueError):
        return ""
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(str(path.parent / name)) for name in near)}?" if near else ""
