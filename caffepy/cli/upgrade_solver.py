"""``caffepy upgrade-solver``: a solver.prototxt of an older Caffe in today's form."""

from __future__ import annotations

import logging

import click

from caffepy.cli.command import CaffeCommand

__all__ = ["command"]

_log = logging.getLogger("caffepy")


@click.command("upgrade-solver", cls=CaffeCommand)
@click.argument("solver_in", metavar="IN")
@click.argument("solver_out", metavar="OUT")
def command(solver_in: str, solver_out: str) -> None:
    """Write the solver.prototxt IN to OUT in today's form.

    The field 'solver_type' becomes 'type', and nets written inside the solver are upgraded as by upgrade-net. Comments
    are lost. IN and OUT may be the same file. The other name of this command is that of Caffe's tool:
    upgrade-solver-proto-text.
    """
    from caffepy.cli.output import logged
    from caffepy.proto.upgrade_file import upgrade_solver_file

    with logged():
        if not upgrade_solver_file(solver_in, solver_out):
            _log.warning("File already in latest proto format: %s", solver_in)
