"""``caffepy compute-image-mean``: the mean image of a database."""

from __future__ import annotations

import logging

import click

from caffepy.cli.command import CaffeCommand
from caffepy.cli.options import any_database_option, open_database, threads_option

__all__ = ["command"]

_log = logging.getLogger("caffepy")


@click.command("compute-image-mean", cls=CaffeCommand)
@click.argument("input_db")
@click.argument("output_file", required=False)
@any_database_option
@threads_option
def command(input_db: str, output_file: str | None, backend: str | None, threads: int) -> None:
    """Compute the mean image of INPUT_DB, show the mean of each channel, and write OUTPUT_FILE (.binaryproto)."""
    from caffepy.cli.output import counting, logged
    from caffepy.data.mean import compute_mean, write_mean
    from caffepy.host import cores

    with logged() as err:
        source = open_database(input_db, backend)
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
