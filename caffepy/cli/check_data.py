"""``caffepy check-data``: what in a database would stop or spoil a training run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from caffepy.cli.command import CaffeCommand
from caffepy.cli.options import any_database_option, open_database, threads_option

if TYPE_CHECKING:
    from caffepy.data.check import DataReport

__all__ = ["command"]


@click.command("check-data", cls=CaffeCommand)
@click.argument("db")
@any_database_option
@click.option("--limit", type=click.IntRange(1), help="Look at so many records, taken evenly. [default: all]")
@click.option("--num-output", type=click.IntRange(1), help="Classes of the net: labels must be below.")
@click.option(
    "--crop-size", type=click.IntRange(0), default=0, help="As in transform_param: images must not be smaller."
)
@click.option("--force-color", is_flag=True, help="Decode as force_color does.")
@click.option("--force-gray", is_flag=True, help="Decode as force_gray does.")
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings too.")
@threads_option
def command(
    db: str,
    backend: str | None,
    limit: int | None,
    num_output: int | None,
    crop_size: int,
    force_color: bool,
    force_gray: bool,
    strict: bool,
    threads: int,
) -> int:
    """Decode the records of DB; tell sizes and labels, and name what a net would stumble on.

    The exit code is 1 if a record cannot be used. Warnings are of what may be meant: for them it is 1 with --strict.
    """
    if force_color and force_gray:
        raise click.UsageError("--force-color and --force-gray exclude each other.")
    from caffepy.cli.output import counting, logged
    from caffepy.data.check import check_data
    from caffepy.host import cores

    with logged() as err:
        source = open_database(db, backend)
        try:
            with counting(err, "records") as progress:
                report = check_data(
                    source,
                    limit=limit,
                    num_output=num_output,
                    crop_size=crop_size,
                    color="color" if force_color else "gray" if force_gray else None,
                    threads=threads or cores(),
                    progress=progress,
                )
        finally:
            source.close()
    for line in _lines(report):
        click.echo(line)
    return 1 if report.bad_count or (strict and report.warnings) else 0


def _lines(report: DataReport) -> list[str]:
    lines = [f"{report.path}: {report.records:,} records, {report.scanned:,} looked at"]
    for shape, count in report.shapes.most_common(5):
        lines.append(f"  {' x '.join(map(str, shape))} (channels x height x width): {count:,}")
    if len(report.shapes) > 5:
        lines.append(f"  and {len(report.shapes) - 5} more sizes")
    labels = report.labels
    if labels:
        each = f"{min(labels.values()):,} to {max(labels.values()):,} records each"
        lines.append(f"  {len(labels):,} labels, from {min(labels)} to {max(labels)}; {each}")
    lines += [f"bad: {reason}" for reason in report.bad]
    if report.bad_count > len(report.bad):
        lines.append(f"bad: {report.bad_count - len(report.bad):,} more")
    lines += [f"warning: {warning}" for warning in report.warnings]
    count = len(report.warnings)
    found = f"{report.bad_count:,} bad, {count} warning{'' if count == 1 else 's'}."
    return [*lines, "Nothing is wrong." if report.ok else found]
