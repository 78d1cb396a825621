"""``caffepy convert-mnist``: files in MNIST's format into a database."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from caffepy.cli.command import CaffeCommand
from caffepy.cli.options import database_option, resize_options

__all__ = ["command"]


@click.command("convert-mnist", cls=CaffeCommand)
@click.argument("images")
@click.argument("labels")
@click.argument("db_name")
@database_option
@resize_options
@click.option("--encode-type", default="", metavar="jpg|png", help="Store compressed images instead of pixels.")
def command(
    images: str, labels: str, db_name: str, backend: str, resize_height: int, resize_width: int, encode_type: str
) -> None:
    """Make the database DB_NAME of the digits in IMAGES and LABELS (idx3-ubyte and idx1-ubyte files, .gz or not)."""
    from caffepy.cli.output import counting, logged
    from caffepy.data.mnist import convert_mnist

    with logged() as err:
        Path(db_name).absolute().parent.mkdir(parents=True, exist_ok=True)
        with counting(err, "files") as progress:
            count = convert_mnist(
                images,
                labels,
                db_name,
                backend=backend.upper(),
                encode_type=encode_type,
                resize_height=resize_height,
                resize_width=resize_width,
                progress=progress,
            )
        logging.getLogger("caffepy").info("%d images written to %s.", count, db_name)
