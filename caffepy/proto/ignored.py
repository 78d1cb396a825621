"""The one table of fields that are read and have no effect here; every other field acts, or raises where it is used."""

from __future__ import annotations

from google.protobuf.message import Message

from caffepy.proto.lines import Lines

__all__ = ["IGNORED", "ignored_fields", "ignored_note"]

_ENGINE = "the backend chooses how to compute"
_TRANSFORM = "a 'layer' is transformed by transform_param alone, as in Caffe 1.0"
_COMMAND_LINE = "the command line decides: --gpu"

IGNORED: dict[str, str] = {
    "ConvolutionParameter.engine": _ENGINE,
    "ConvolutionParameter.force_nd_im2col": _ENGINE,
    "LRNParameter.engine": _ENGINE,
    "PoolingParameter.engine": _ENGINE,
    "ReLUParameter.engine": _ENGINE,
    "SPPParameter.engine": _ENGINE,
    "SigmoidParameter.engine": _ENGINE,
    "SoftmaxParameter.engine": _ENGINE,
    "TanHParameter.engine": _ENGINE,
    "DataParameter.crop_size": _TRANSFORM,
    "DataParameter.mean_file": _TRANSFORM,
    "DataParameter.mirror": _TRANSFORM,
    "DataParameter.scale": _TRANSFORM,
    "ImageDataParameter.crop_size": _TRANSFORM,
    "ImageDataParameter.mean_file": _TRANSFORM,
    "ImageDataParameter.mirror": _TRANSFORM,
    "ImageDataParameter.scale": _TRANSFORM,
    "PythonParameter.share_in_parallel": "each device is a process with its own layers",
    "RecurrentParameter.debug_info": "no unrolled net is inside the layer; a net's debug_info shows the layer",
    "SolverParameter.device_id": _COMMAND_LINE,
    "SolverParameter.layer_wise_reduce": "when gradients are reduced is chosen by the library",
    "SolverParameter.solver_mode": _COMMAND_LINE,
    "WindowDataParameter.crop_size": _TRANSFORM,
    "WindowDataParameter.mean_file": _TRANSFORM,
    "WindowDataParameter.mirror": _TRANSFORM,
}
"""``Message.field`` to the reason why it has no effect."""

_SKIPPED = ("BlobProto",)


def ignored_fields(message: Message, lines: Lines) -> dict[str, list[str]]:
    """The keys of IGNORED that ``message`` or a message in it sets, with the places (``file:line``) of each."""
    found: dict[str, list[str]] = {}
    pending = [(message, lines)]
    while pending:
        current, places = pending.pop()
        name = str(current.DESCRIPTOR.name)
        for field, value in current.ListFields():
            key = f"{name}.{field.name}"
            if key in IGNORED:
                found.setdefault(key, []).append(places.at(field.name).where())
            elif field.message_type is not None and field.message_type.name not in _SKIPPED:
                values = [value] if isinstance(value, Message) else value
                pending.extend((inner, places.at(field.name, index)) for index, inner in enumerate(values))
    return {key: sorted(found[key], key=_by_line) for key in sorted(found)}


def ignored_note(message: Message, lines: Lines) -> str:
    """One line for the log about all ignored fields of a net or solver; empty if it sets none."""
    notes = []
    for key, places in ignored_fields(message, lines).items():
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        where = f" ({places[0]}{more})" if places[0] else more
        notes.append(f"{key}{where}: {IGNORED[key]}")
    return "Without effect here: " + "; ".join(notes) if notes else ""


def _by_line(where: str) -> tuple[str, int]:
    file, _, line = where.rpartition(":")
    return (file, int(line)) if line.isdigit() else (where, 0)
