"""``caffepy gradcheck``: whether each layer's backward pass is the derivative of its forward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from caffepy.cli.command import CaffeCommand
from caffepy.cli.options import (
    comma_list,
    copy_weights,
    parse_shapes,
    phase_option,
    python_layers_option,
    shape_option,
    state_options,
    weights_options,
)

if TYPE_CHECKING:
    from caffepy.net import Net
    from caffepy.testing.check_gradient import Comparison
    from caffepy.testing.check_net import LayerCheck

__all__ = ["command"]

# Two images make a batch; more would cost time and show no other mistakes.
_BATCH = 2


@click.command("gradcheck", cls=CaffeCommand)
@click.argument("net", required=False)
@click.option("--model", help="The net's prototxt; the same as NET.")
@phase_option("TRAIN")
@click.option("--layer", "layers", multiple=True, metavar="NAME", help="Check this layer only. May be repeated.")
@click.option("--weights", default="", metavar="FILE,...", help="Check with these weights; with fillers' unless given.")
@shape_option
@click.option("--directions", type=click.IntRange(1), default=3, show_default=True, help="Directions for each blob.")
@click.option("--elements", type=click.IntRange(0), default=0, help="Check so many elements of each blob singly, too.")
@click.option("--step", type=click.FloatRange(0, min_open=True), default=1e-5, show_default=True, help="Step size.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, min_open=True),
    default=1e-6,
    show_default=True,
    help="The largest relative error that is right.",
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of random inputs and fillers.")
@python_layers_option
@weights_options
@state_options
def command(net: str | None, model: str | None, **flags: Any) -> None:
    """Check the gradients of every layer of NET (a prototxt), on the CPU in float64.

    Each layer's backward pass is held against central differences of its forward pass, for each blob that it reads
    or learns along a few random directions, which move all its elements at once. Of a blob of more than a million,
    a single wrong element may be lost in the sum: see --elements.

    A data layer reads its data, two images at a time, or gives random numbers and labels where --shape says so or
    a database is not there. Weights that are zero, for want of a filler, are drawn.

    The exit code is 1 where a gradient is wrong; the worst element is then named.
    """
    path = net or model
    if path is None:
        raise click.UsageError("Missing argument 'NET': the net's prototxt.")
    from caffepy.cli.output import console, make_table
    from caffepy.testing import check_net

    settings = {name: flags[name] for name in ("directions", "elements", "step", "threshold")}
    checks = []
    with _net(path, flags) as built:
        for check in check_net(built, flags["layers"], **settings):
            click.echo(f"{check.name}: {_outcome(check)}", err=True)
            checks.append(check)
    out = console()
    rows = [row for check in checks for row in _rows(check)]
    out.print(make_table(["layer", "type", "blob", "values", "error", "result"], rows, left=3))
    for check in checks:
        for one in check.compared:
            if one.failure:
                what = "wrong gradient" if one.size else "a pass fails"
                out.print(f"\nlayer '{check.name}' ({check.type}), {one.name}: {what}.\n{one.failure}")
    wrong = sum(check.failed for check in checks)
    blobs = sum(not one.skipped for check in checks for one in check.compared)
    out.print(
        f"\n{blobs} gradients of {len(checks)} layers checked: " + (f"{wrong} layers are wrong" if wrong else "ok")
    )
    if wrong:
        click.get_current_context().exit(1)


def _net(path: str, flags: dict[str, Any]) -> Net:
    """The net in float64, fed."""
    from caffepy.devices import get_backend
    from caffepy.errors import NetError, did_you_mean
    from caffepy.net import Net
    from caffepy.net.summary import net_without_data
    from caffepy.proto import caffe_pb2
    from caffepy.proto.read import read_net
    from caffepy.testing import feed_inputs, fill_zero_params

    number = caffe_pb2.Phase.Value(flags["phase"].upper())
    level, stages = flags["level"], comma_list(flags["stage"])
    param, lines = read_net(path)
    given = parse_shapes(flags["shapes"])
    param = net_without_data(param, lines, number, given, level, stages, batch=_BATCH)
    built = Net(
        (param, lines), number, get_backend("cpu", "float64"), level=level, stages=stages, seed=flags["seed"],
        allow_python_layers=flags["allow_python_layers"],
    )  # fmt: skip
    try:
        for name in flags["layers"]:
            if name not in built.layer_dict:
                hint = did_you_mean(name, list(built.layer_dict))
                raise NetError(f"--layer {name}: {path} has no such layer in this phase.{hint}")
        fill_zero_params(built, flags["seed"])
        if flags["weights"]:
            click.echo(str(copy_weights(built, flags["weights"], flags)), err=True)
        feed_inputs(built, flags["seed"])
    except BaseException:
        built.close()
        raise
    return built


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
            "" if one.skipped else f"{one.error:.1e}",
            _result(one),
        ]
        for one in check.compared
    ]


def _result(one: Comparison) -> str:
    if one.skipped:
        return f"skipped: {one.skipped}"
    return "FAILED" if one.failure else "ok" if one.effect else "ok, all zeros"
