"""``caffepy gradcheck``: whether each layer's backward pass is the derivative of its forward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from caffepy.cli.command import CaffeCommand
from caffepy.cli.options import comma_list, state_options

if TYPE_CHECKING:
    from caffepy.testing.check_net import LayerCheck

__all__ = ["command"]

# Images are enough that a batch is one; more cost time and show no other mistakes.
_BATCH = 2


@click.command("gradcheck", cls=CaffeCommand)
@click.argument("net", required=False)
@click.option("--model", help="The net's prototxt; the same as NET.")
@click.option("--phase", type=click.Choice(["TRAIN", "TEST"], case_sensitive=False), default="TRAIN", show_default=True)
@click.option("--layer", "layers", multiple=True, metavar="NAME", help="Check this layer only. May be repeated.")
@click.option("--weights", metavar="FILE", help="Check with these weights; with fillers' unless given.")
@click.option("--shape", "shapes", multiple=True, metavar="TOP=N,C,H,W", help="Shape of a data top. May be repeated.")
@click.option("--directions", type=click.IntRange(1), default=3, show_default=True, help="Directions for each blob.")
@click.option("--step", type=click.FloatRange(0, min_open=True), default=1e-5, show_default=True, help="Step size.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the random inputs and fillers.")
@click.option("--allow-python-layers/--no-allow-python-layers", default=False, help="Import what the net names.")
@state_options
def command(
    net: str | None,
    model: str | None,
    phase: str,
    layers: tuple[str, ...],
    weights: str | None,
    shapes: tuple[str, ...],
    directions: int,
    step: float,
    seed: int,
    allow_python_layers: bool,
    stage: str,
    level: int,
) -> int:
    """Check the gradients of every layer of NET (a prototxt), on the CPU in float64.

    Each layer's backward pass is held against central differences of its forward pass, for each blob that it reads
    or learns along a few random directions. Data layers give random numbers and labels, two images at a time. The
    exit code is 1 where a gradient is wrong; the worst element is then named.
    """
    path = net or model
    if path is None:
        raise click.UsageError("Missing argument 'NET': the net's prototxt.")
    from caffepy.cli.output import console, make_table
    from caffepy.cli.summary import parse_shape
    from caffepy.devices import get_backend
    from caffepy.errors import NetError, did_you_mean
    from caffepy.net import Net
    from caffepy.net.summary import net_without_data
    from caffepy.proto import caffe_pb2
    from caffepy.proto.read import read_net
    from caffepy.testing import check_net, feed_inputs

    number = caffe_pb2.Phase.Value(phase.upper())
    stages = comma_list(stage)
    param, lines = read_net(path)
    given = dict(parse_shape(text) for text in shapes)
    param = net_without_data(param, lines, number, given, level, stages, batch=_BATCH)
    backend = get_backend("cpu", "float64")
    with Net(
        (param, lines), number, backend, level=level, stages=stages, weights=weights, seed=seed,
        allow_python_layers=allow_python_layers,
    ) as built:  # fmt: skip
        for name in layers:
            if name not in built.layer_dict:
                hint = did_you_mean(name, list(built.layer_dict))
                raise NetError(f"--layer {name}: {path} has no such layer in this phase.{hint}")
        feed_inputs(built, seed)
        checks = []
        for check in check_net(built, layers, directions=directions, step=step):
            click.echo(f"{check.name}: {_outcome(check)}", err=True)
            checks.append(check)
    out = console()
    rows = [row for check in checks for row in _rows(check)]
    out.print(make_table(["layer", "type", "blob", "values", "error", "result"], rows, left=3))
    for check in checks:
        for one in check.compared:
            if one.failure:
                out.print(f"\nlayer '{check.name}' ({check.type}), {one.name}: wrong gradient.\n{one.failure}")
    wrong = sum(check.failed for check in checks)
    blobs = sum(len(check.compared) for check in checks)
    out.print(
        f"\n{blobs} gradients of {len(checks)} layers checked: " + (f"{wrong} layers are wrong" if wrong else "ok")
    )
    return 1 if wrong else 0


def _outcome(check: LayerCheck) -> str:
    return f"skipped, {check.skipped}" if check.skipped else "FAILED" if check.failed else "ok"


def _rows(check: LayerCheck) -> list[list[str]]:
    if check.skipped:
        return [[check.name, check.type, "", "", "", f"skipped: {check.skipped}"]]
    return [
        [
            check.name,
            check.type,
            one.name,
            f"{one.size:,}",
            f"{one.error:.1e}",
            "FAILED" if one.failure else "ok" if one.effect else "ok, all zeros",
        ]
        for one in check.compared
    ]
