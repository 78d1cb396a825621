"""``caffepy summary``: a net's layers, shapes, parameters, multiply-adds and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from caffepy.cli.command import CaffeCommand
from caffepy.cli.options import (
    comma_list,
    parse_shapes,
    phase_option,
    python_layers_option,
    shape_option,
    state_options,
)

if TYPE_CHECKING:
    from caffepy.net.summary import LayerSummary, NetSummary

__all__ = ["command"]


@click.command("summary", cls=CaffeCommand)
@click.argument("net", required=False)
@click.option("--model", help="The net's prototxt; the same as NET.")
@phase_option("TEST")
@shape_option
@python_layers_option
@state_options
def command(
    net: str | None,
    model: str | None,
    phase: str,
    shapes: tuple[str, ...],
    allow_python_layers: bool,
    stage: str,
    level: int,
) -> None:
    """Show the layers of NET (a prototxt): output shapes, parameters, multiply-adds (MACs), memory.

    Nothing is computed and no weights are needed. A Data layer whose database is not there is taken as batch_size
    images of crop_size.
    """
    path = net or model
    if path is None:
        raise click.UsageError("Missing argument 'NET': the net's prototxt.")
    from caffepy.cli.output import console, make_table
    from caffepy.net import Net
    from caffepy.net.summary import net_without_data, summarise
    from caffepy.proto import caffe_pb2
    from caffepy.proto.read import read_net

    given = parse_shapes(shapes)
    number = caffe_pb2.Phase.Value(phase.upper())
    stages = comma_list(stage)
    param, lines = read_net(path)
    param = net_without_data(param, lines, number, given, level, stages)
    with Net(
        (param, lines), number, level=level, stages=stages, fill_params=False, check_memory=False,
        allow_python_layers=allow_python_layers,
    ) as built:  # fmt: skip
        summary = summarise(built)
    batch = summary.batch
    rows = [_row(layer, batch) for layer in summary.layers if not layer.inserted]
    total = ["total", "", "", f"{summary.params:,}", _count(summary.macs / batch), _mebibytes(summary.memory)]
    out = console()
    out.print(f"{summary.name or 'unnamed net'}, {phase.upper()} phase, batch of {batch}.")
    out.print("MACs are those for one image, MiB those of the values for the batch.\n")
    out.print(make_table(["layer", "type", "output", "parameters", "MACs", "MiB"], [*rows, total], left=3, foot=1))
    out.print()
    for line in _totals(summary):
        out.print(line)


def _row(layer: LayerSummary, batch: int) -> list[str]:
    shapes = ", ".join("x".join(map(str, shape)) or "1" for _, shape in layer.tops)
    params = f"{layer.params:,}" if layer.params else ""
    macs = _count(layer.macs / batch) if layer.macs else ""
    return [layer.name, layer.type, shapes, params, macs, _mebibytes(layer.memory) if layer.memory else "in place"]


def _totals(summary: NetSummary) -> list[str]:
    weights = summary.params * summary.itemsize
    return [
        f"{summary.params:,} parameters: {_mebibytes(weights)} MiB; to train, with gradients and momentum, "
        f"{_mebibytes(3 * weights)} MiB",
        f"{summary.macs / summary.batch / 1e6:,.1f} M multiply-adds (MACs) for an image, "
        f"{_count(summary.macs)} for the batch (convolutions and fully connected layers)",
        f"{_mebibytes(summary.memory)} MiB of values between layers; to train, with gradients, "
        f"up to {_mebibytes(2 * summary.memory)} MiB",
    ]


def _count(number: float) -> str:
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number:,.0f}"


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.2f}"
