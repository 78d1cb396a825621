"""``caffepy plot-log``: a picture of runs from their logs."""

from __future__ import annotations

import os

import click

from caffepy.cli.command import CaffeCommand

__all__ = ["command"]


@click.command("plot-log", cls=CaffeCommand)
@click.argument("words", metavar="[CHART] [OUT.png] LOG...", nargs=-1)
@click.option("--chart", help="The same as CHART.")
@click.option("--out", metavar="FILE", help="The picture: .png, .svg or .pdf. [default: LOG.png]")
@click.option("--seconds/--iterations", default=False, help="What the overview's axis is. [default: iterations]")
@click.option("--smooth", type=click.IntRange(0), help="Mean of so many training losses; 0: none. [default: by number]")
@click.option("--title", help="Above the picture.")
@click.option("--list-charts", is_flag=True, help="Show the types of chart, and end.")
def command(
    words: tuple[str, ...],
    chart: str | None,
    out: str | None,
    seconds: bool,
    smooth: int | None,
    title: str | None,
    list_charts: bool,
) -> None:
    """Draw loss, accuracy and learning rate of the runs in LOGs, which are those that parse-log reads.

    With CHART, one of the types of Caffe's plot_training_log.py, a number (6) or a name ("train loss", "test accuracy
    vs seconds"), that one curve of each run. Several logs are drawn in one picture.
    """
    from caffepy.monitor.figure import check_kind
    from caffepy.monitor.parse_log import read_log
    from caffepy.monitor.plot_log import CHARTS, find_chart, plot_logs

    if list_charts:
        for number, known in enumerate(CHARTS):
            click.echo(f"{number}: {known.title}")
        return
    logs = list(words)
    # Whatever is there is a log, and so is what looks like the path of one.
    if logs and chart is None and not os.path.exists(logs[0]) and not {".", os.sep} & {*logs[0].replace("vs.", "")}:
        chart = logs.pop(0)
    pictures = [word for word in logs if _is_picture(word)]
    if pictures and (out is not None or len(pictures) > 1):
        raise click.UsageError(f"one picture is written; got {', '.join([*([out] if out else []), *pictures])}.")
    out = pictures[0] if pictures else out
    logs = [word for word in logs if word not in pictures]
    if not logs:
        raise click.UsageError("Missing argument 'LOG...': the log of a run.")
    wanted = None if chart is None else find_chart(chart)
    out = out or f"{os.path.basename(os.path.abspath(logs[0]))}.png"
    check_kind(out)
    found = {name: read_log(path) for name, path in zip(_names(logs), logs, strict=True)}
    for name, log in found.items():
        if log.truncated:
            click.echo(f"warning: {name}: {log.truncated}; what was before that is drawn", err=True)
    window = smooth if smooth is None else max(smooth, 1)
    plot_logs(out, found, chart=wanted, seconds=seconds, window=window, title=title)
    click.echo(f"Wrote {out}", err=True)


def _is_picture(word: str) -> bool:
    # Those that are not written, too: what is wrong with them is said.
    return os.path.splitext(word)[1].lower() in (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".gif", ".bmp", ".eps")


def _names(paths: list[str]) -> list[str]:
    """What tells the logs apart: their names, or their paths without what all have."""
    if len(set(paths)) < len(paths):
        raise click.UsageError("a log is given twice.")
    parts = [os.path.abspath(path).split(os.sep) for path in paths]
    for count in range(1, max(map(len, parts)) + 1):
        names = [os.sep.join(part[-count:]) for part in parts]
        if len(set(names)) == len(names):
            break
    short = [name.removesuffix(".gz").removesuffix(".log") for name in names]
    return short if len(set(short)) == len(short) else names
