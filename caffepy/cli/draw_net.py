"""``caffepy draw-net``: a picture of a net."""

from __future__ import annotations

import click

from caffepy.cli.command import CaffeCommand

__all__ = ["command"]


@click.command("draw-net", cls=CaffeCommand)
@click.argument("net")
@click.argument("out")
@click.option(
    "--rankdir",
    type=click.Choice(["LR", "TB", "BT"], case_sensitive=False),
    default="LR",
    show_default=True,
    help="From left to right, top to bottom, or bottom to top.",
)
@click.option(
    "--phase",
    type=click.Choice(["TRAIN", "TEST", "ALL"], case_sensitive=False),
    default="ALL",
    show_default=True,
    help="Draw the layers of this phase.",
)
@click.option("--display-lrm/--no-display-lrm", default=False, help="Write lr_mult of weights and bias, too.")
def command(net: str, out: str, rankdir: str, phase: str, display_lrm: bool) -> None:
    """Draw NET (a prototxt) into OUT, an .svg or .png file, or a .dot file for Graphviz, which is not needed.

    Boxes are coloured by kind of layer; layers that work in place are lines in the box of the layer before. What each
    blob holds of an image is written beside the lines, where it can be known without the data. Long nets are laid out
    in rows or columns that fit a page.
    """
    from caffepy.proto import caffe_pb2
    from caffepy.proto.read import read_net
    from caffepy.pycaffe.draw import draw_net_to_file

    param, _ = read_net(net)
    number = None if phase.upper() == "ALL" else caffe_pb2.Phase.Value(phase.upper())
    draw_net_to_file(param, out, rankdir.upper(), number, display_lrm)
    click.echo(f"Drawing net to {out}", err=True)
