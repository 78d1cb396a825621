"""``caffepy parse-log``: the figures of a run's log as two tables."""

from __future__ import annotations

import os

import click

from caffepy.cli.command import CaffeCommand

__all__ = ["command"]


@click.command("parse-log", cls=CaffeCommand)
@click.argument("log")
@click.argument("folder", metavar="[OUTPUT_DIR]", required=False)
@click.option("--output-dir", metavar="FOLDER", help="The same as OUTPUT_DIR. [default: the current folder]")
@click.option("--delimiter", default=",", show_default=True, help="Between columns; \\t for a tab.")
@click.option("--verbose/--no-verbose", default=False, help="Say more: the columns, and where the run was resumed.")
def command(log: str, folder: str | None, output_dir: str | None, delimiter: str, verbose: bool) -> None:
    """Write OUTPUT_DIR/LOG.train and LOG.test, with columns as Caffe's parse_log.py has them.

    LOG is Caffe's log, caffepy's train.log or metrics.jsonl, compressed by gzip or not, or the folder of a run. A log
    may be cut off. Where a run went on from a snapshot, what was logged after that snapshot and lost is left out, and
    the pause does not count in the seconds.
    """
    if folder is not None and output_dir is not None:
        raise click.UsageError(f"the folder is given twice: '{folder}' and '{output_dir}'.")
    from caffepy.monitor.log_tables import write_tables
    from caffepy.monitor.parse_log import read_log

    target = folder or output_dir or "."
    found = read_log(log)
    os.makedirs(target, exist_ok=True)
    name = os.path.basename(os.path.abspath(log))
    written = write_tables(found, name, target, delimiter.replace("\\t", "\t"))
    for which in ("train", "test"):
        if which not in written:
            click.echo(f"Not writing {os.path.join(target, f'{name}.{which}')}; no lines to write", err=True)
            continue
        path, rows = written[which]
        columns = f": {', '.join(found.outputs(which)) or 'loss'}" if verbose else ""
        click.echo(f"Wrote {path}, {rows:,} rows{columns}", err=True)
    if verbose and found.resumed:
        click.echo(f"Resumed at iterations {', '.join(map(str, found.resumed))}", err=True)
    if found.truncated:
        click.echo(f"warning: {log}: {found.truncated}; what was before that is written", err=True)
