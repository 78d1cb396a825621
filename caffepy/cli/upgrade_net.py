"""``caffepy upgrade-net``: a net or weights of an older Caffe in today's form."""

from __future__ import annotations

import logging

import click

from caffepy.cli.command import CaffeCommand

__all__ = ["command"]

_log = logging.getLogger("caffepy")


@click.command("upgrade-net", cls=CaffeCommand)
@click.argument("net_in", metavar="IN")
@click.argument("net_out", metavar="OUT")
def command(net_in: str, net_out: str) -> None:
    """Write the net IN to OUT in today's form: a prototxt as a prototxt, a .caffemodel as a .caffemodel.

    Layers of the V0 and V1 formats become 'layer' blocks, 'input' fields an Input layer. Comments of a prototxt are
    lost. IN and OUT may be the same file. The other names of this command are those of Caffe's tools:
    upgrade-net-proto-text and upgrade-net-proto-binary.
    """
    from caffepy.cli.output import logged
    from caffepy.proto.upgrade_file import upgrade_net_file

    with logged():
        if not upgrade_net_file(net_in, net_out):
            _log.warning("File already in latest proto format: %s", net_in)
