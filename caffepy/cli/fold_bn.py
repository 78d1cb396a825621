"""``caffepy fold-bn``: a net and weights without BatchNorm, Scale and Bias, that compute the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from caffepy.cli.command import CaffeCommand
from caffepy.cli.options import (
    comma_list,
    copy_weights,
    parse_shapes,
    python_layers_option,
    shape_option,
    state_options,
    weights_options,
)

if TYPE_CHECKING:
    from caffepy.net import Net
    from caffepy.net.fold_bn import Folded

__all__ = ["command"]


@click.command("fold-bn", cls=CaffeCommand)
@click.argument("net")
@click.argument("weights")
@click.argument("out_net", metavar="OUT.prototxt")
@click.argument("out_weights", metavar="OUT.caffemodel")
@shape_option
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    default=1e-3,
    show_default=True,
    help="The largest relative difference of a blob with which the result is written.",
)
@python_layers_option
@weights_options
@state_options
def command(net: str, weights: str, out_net: str, out_weights: str, **flags: Any) -> None:
    """Fold BatchNorm, Scale and Bias layers of NET (a prototxt) with WEIGHTS into the layers beside them.

    What each of them does in TEST goes into weights and bias of the Convolution, InnerProduct or Deconvolution before
    it, or else of the one after it where that is exact. Those that have to stay are listed with the reason. OUT has the
    layers of the TEST phase.

    Both nets then run on the same random inputs; the largest difference of a blob is shown, and nothing is
    written if it is beyond rounding.
    """
    from caffepy.errors import NetError
    from caffepy.net.fold_bn import fold_bn, largest_difference
    from caffepy.net.summary import net_without_data
    from caffepy.proto import caffe_pb2
    from caffepy.proto.read import read_net, write_text

    given = parse_shapes(flags["shapes"])
    level, stages = flags["level"], comma_list(flags["stage"])
    param, lines = read_net(net)
    ready = net_without_data(param, lines, caffe_pb2.TEST, given, level, stages)
    with _build((ready, lines), flags) as original:
        click.echo(str(copy_weights(original, weights, flags)), err=True)
        folded = fold_bn(param, original)
        with _build(_without_data(folded, given, level, stages), flags) as other:
            folded.copy_to(other)
            name, apart, relative = largest_difference(original, other, folded)
            before, after = (sum(one.blob.count for one in each.learnable_params) for each in (original, other))
            _show(folded, f"{before:,} parameters became {after:,}")
            click.echo(f"largest difference on random inputs: {apart:.2g}, relative {relative:.2g} (blob '{name}')")
            if not relative <= flags["tolerance"]:
                raise NetError(
                    f"the folded net differs by {relative:.2g}, more than --tolerance {flags['tolerance']:g}, so "
                    "nothing is written. Variances near 0 make large factors: are the weights those of a trained net?"
                )
            other.save(out_weights)
    write_text(out_net, folded.net)
    click.echo(f"Wrote {out_net} and {out_weights}", err=True)


def _show(folded: Folded, parameters: str) -> None:
    from caffepy.cli.output import console, make_table

    rows = [[layer, kind, f"folded into {into}"] for layer, (kind, into) in folded.into.items()]
    rows += [[one.name, one.type, f"kept: {one.why}"] for one in folded.kept]
    out = console()
    if rows:
        out.print(make_table(["layer", "type", "result"], rows, left=3))
        out.print()
    if folded.left_out:
        out.print(f"left out, as they are not in TEST: {', '.join(folded.left_out)}")
    out.print(f"{len(folded.into)} layers folded, {len(folded.kept)} kept; {parameters}")


def _without_data(folded: Folded, given: dict[str, tuple[int, ...]], level: int, stages: list[str]) -> Any:
    from caffepy.net.summary import net_without_data
    from caffepy.proto import caffe_pb2
    from caffepy.proto.text import Lines

    lines = Lines.unknown()
    return net_without_data(folded.net, lines, caffe_pb2.TEST, given, level, stages), lines


def _build(source: Any, flags: dict[str, Any]) -> Net:
    from caffepy.net import Net
    from caffepy.proto import caffe_pb2

    return Net(
        source,
        caffe_pb2.TEST,
        level=flags["level"],
        stages=comma_list(flags["stage"]),
        fill_params=False,
        allow_python_layers=flags["allow_python_layers"],
    )
