"""The one table of fields that are read and have no effect here; every other field acts, or raises where it is used.

docs/field_table.py makes a page of it, and tests/test_fields.py holds every field against it.
"""

from __future__ import annotations

from google.protobuf.message import Message

from caffepy.proto.lines import Lines

__all__ = ["IGNORED", "IGNORED_BY", "ignored_fields", "ignored_note", "ignored_why"]

_ENGINE = "the backend chooses how to compute"
_TRANSFORM = "a 'layer' is transformed by transform_param alone, as in Caffe 1.0"
_COMMAND_LINE = "the command line decides: --gpu"
_UNREAD_V0 = "no layer type of V0 reads it; dropped with a warning, as in Caffe"

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
    "V0LayerParameter.new_channels": _UNREAD_V0,
    "V0LayerParameter.new_num": _UNREAD_V0,
    "WindowDataParameter.crop_size": _TRANSFORM,
    "WindowDataParameter.mean_file": _TRANSFORM,
    "WindowDataParameter.mirror": _TRANSFORM,
}
"""``Message.field`` to the reason why it has no effect."""

_OWN_MESSAGE = "the layer has a message of its own, and takes prefetch alone from here, as in Caffe"
_ONLY_PREFETCH = dict.fromkeys(("backend", "batch_size", "force_encoded_color", "rand_skip", "source"), _OWN_MESSAGE)

IGNORED_BY: dict[str, dict[str, str]] = {
    "Im2col": {
        f"ConvolutionParameter.{field}": "it lays windows out, and has no filters"
        for field in ("bias_filler", "bias_term", "group", "num_output", "weight_filler")
    },
    "ImageData": {
        **{f"DataParameter.{field}": why for field, why in _ONLY_PREFETCH.items()},
        "TransformationParameter.force_color": "is_color decides, as in Caffe",
        "TransformationParameter.force_gray": "is_color decides, as in Caffe",
    },
    "WindowData": {
        **{f"DataParameter.{field}": why for field, why in _ONLY_PREFETCH.items()},
        "TransformationParameter.force_color": "windows are always in colour, as in Caffe",
        "TransformationParameter.force_gray": "windows are always in colour, as in Caffe",
        "TransformationParameter.scale": "window_data_param.scale is the factor, as in Caffe",
    },
}
"""By layer type, fields that act in other layers and have no effect in this one, and why."""

_SKIPPED = ("BlobProto",)


def ignored_why(key: str, layer: str = "") -> str:
    """Why the field ``key``, ``Message.field``, has no effect (in a layer of type ``layer``); empty if it has."""
    return IGNORED.get(key) or IGNORED_BY.get(layer, {}).get(key, "")


def ignored_fields(message: Message, lines: Lines) -> dict[str, list[str]]:
    """The fields without effect that ``message`` or a message in it sets, with the places (``file:line``) of each.

    Keys are those of IGNORED; with `` in Type`` those of IGNORED_BY.
    """
    found: dict[str, list[str]] = {}
    pending = [(message, lines, "")]
    while pending:
        current, places, layer = pending.pop()
        name = str(current.DESCRIPTOR.name)
        layer = str(getattr(current, "type", "")) if name == "LayerParameter" else layer
        for field, value in current.ListFields():
            key = f"{name}.{field.name}"
            if ignored_why(key, layer):
                named = key if key in IGNORED else f"{key} in {layer}"
                found.setdefault(named, []).append(places.at(field.name).where())
            elif field.message_type is not None and field.message_type.name not in _SKIPPED:
                values = [value] if isinstance(value, Message) else value
                pending.extend((inner, places.at(field.name, index), layer) for index, inner in enumerate(values))
    return {key: sorted(found[key], key=_by_line) for key in sorted(found)}


def ignored_note(message: Message, lines: Lines) -> str:
    """One line for the log about all ignored fields of a net or solver; empty if it sets none."""
    notes = []
    for named, places in ignored_fields(message, lines).items():
        key, _, layer = named.partition(" in ")
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        where = f" ({places[0]}{more})" if places[0] else more
        notes.append(f"{named}{where}: {ignored_why(key, layer)}")
    return "Without effect here: " + "; ".join(notes) if notes else ""


def _by_line(where: str) -> tuple[str, int]:
    file, _, line = where.rpartition(":")
    return (file, int(line)) if line.isdigit() else (where, 0)
