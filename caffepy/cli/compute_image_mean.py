"""``caffepy compute-image-mean``: the mean image of a database."""

from __future__ import annotations

import logging

import click

from caffepy.cli.command import CaffeCommand
from caffepy.cli.options import database_option, threads_option

__all__ = ["command"]

_log = logging.getLogger("caffepy")


@click.command("compute-image-mean", cls=CaffeCommand)
@click.argument("input_db")
@click.argument("output_file", required=False)
@database_option
@threads_option
def command(input_db: str, output_file: str | None, backend: str, threads: int) -> None:
    """Compute the mean image of INPUT_DB, show the mean of each channel, and write OUTPUT_FILE (.binaryproto)."""
    from caffepy.cli.output import counting, logged
    from caffepy.data.mean import compute_mean, write_mean
    from caffepy.data.source import open_source
    from caffepy.host import cores

    with logged() as err:
        source = open_source(input_db, backend.upper())
        try:
            with counting(err, "files") as progress:
                mean = compute_mean(source, threads=threads or cores(), progress=progress)
        finally:
            source.close()
        if output_file:
            _log.info("Write to %s", output_file)
            write_mean(output_file, mean)
        _log.info("Number of channels: %d", len(mean))
        for channel, values in enumerate(mean):
            _log.info("mean_value channel [%d]: %g", channel, values.mean())
