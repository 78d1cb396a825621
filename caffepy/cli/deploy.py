"""``caffepy deploy``: a deploy.prototxt from a train_val.prototxt."""

from __future__ import annotations

import click

from caffepy.cli.command import CaffeCommand
from caffepy.cli.options import comma_list, parse_shapes, shape_option, state_options

__all__ = ["command"]


@click.command("deploy", cls=CaffeCommand)
@click.argument("net", metavar="TRAIN_VAL")
@click.argument("target", metavar="[OUT]", required=False)
@click.option("--batch", type=click.IntRange(1), default=10, show_default=True, help="Images in a batch.")
@shape_option
@state_options
def command(net: str, target: str | None, batch: int, shapes: tuple[str, ...], stage: str, level: int) -> None:
    """Write the net for prediction that belongs to TRAIN_VAL to OUT, or to stdout.

    Data layers become an Input layer of the size that they give, SoftmaxWithLoss becomes Softmax with the top prob,
    other losses what they compare. Labels, Accuracy, auxiliary losses (of a smaller loss_weight), fillers and learning
    rates go. Names of layers stay, so that the .caffemodel fits.
    """
    from caffepy.net.deploy import deploy_net
    from caffepy.proto.read import read_net, write_text
    from caffepy.proto.text import to_text

    param, lines = read_net(net)
    given = parse_shapes(shapes)
    result = deploy_net(param, lines, batch=batch, shapes=given, level=level, stages=comma_list(stage))
    if target is None:
        click.echo(to_text(result), nl=False)
    else:
        write_text(target, result)
        click.echo(f"Wrote {target}", err=True)
