"""Where commands write: Caffe's lines to stderr, tables to a terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from caffepy.cli.command import MINLOGLEVEL

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["console", "counting", "log_to", "logged", "make_table", "plain_lines", "plainly_logged", "told_level"]


def console(*, stderr: bool = False) -> Console:
    """A console for one of the two streams as it is now; wide enough for any table where it is no terminal."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    terminal = stream.isatty()
    # Said outright: FORCE_COLOR, which CI services set, would make rich take a log file for a terminal.
    return Console(file=stream, force_terminal=terminal, width=None if terminal else 160, highlight=False, markup=False)


@contextmanager
def logged() -> Iterator[Console]:
    """Caffe's lines to stderr while the block runs, bare on a terminal, else in glog's shape; gives stderr."""
    from caffepy.monitor.log import GlogFormatter

    target = console(stderr=True)
    handler: logging.Handler
    if target.is_terminal:
        handler = plain_lines(target)
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(GlogFormatter())
    handler.setLevel(told_level())
    with log_to(handler):
        yield target


@contextmanager
def plainly_logged() -> Iterator[Console]:
    """Bare lines to stderr, terminal or not, for commands whose output is not a log; gives stderr."""
    target = console(stderr=True)
    handler = plain_lines(target)
    handler.setLevel(told_level())
    with log_to(handler):
        yield target


def told_level() -> int:
    """The level of `logging` below which stderr gets nothing: as -minloglevel says, or GLOG_minloglevel."""
    from caffepy.monitor.log import least_level

    context = click.get_current_context(silent=True)
    return least_level(context.meta.get(MINLOGLEVEL) if context else None)


@contextmanager
def counting(target: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """A function to call with (done, total): a bar on a terminal, else a line after each thousand, as Caffe's tools."""
    log = logging.getLogger("caffepy")
    if not target.is_terminal:

        def line(done: int, total: int) -> None:
            if done % 1000 == 0 or done == total:
                log.info("Processed %d %s.", done, what)

        yield line
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=target, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def log_to(*handlers: logging.Handler) -> Iterator[None]:
    """Send what caffepy logs to ``handlers`` and nowhere else while the block runs."""
    log = logging.getLogger("caffepy")
    level, propagate = log.level, log.propagate
    log.setLevel(logging.INFO)
    log.propagate = False
    for handler in handlers:
        log.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()
        log.setLevel(level)
        log.propagate = propagate


class _Lines(logging.Handler):
    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        self._write(self.format(record))


def plain_lines(target: Console) -> logging.Handler:
    """Records as bare text on a terminal, warnings marked."""

    def write(text: str) -> None:
        target.print(text, soft_wrap=True)

    class Plain(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            head = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
            return head + record.getMessage()

    handler = _Lines(write)
    handler.setFormatter(Plain())
    # Of each layer of each net, a line.
    handler.addFilter(lambda record: record.name != "caffepy.net")
    return handler


def make_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1, foot: int = 0) -> Table:
    """A table: the first ``left`` columns flush left, the others right; a rule above the last ``foot`` rows."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for i, column in enumerate(columns):
        # Where the terminal is narrow, names go on in the next line; numbers are never cut.
        table.add_column(column, justify="left" if i < left else "right", no_wrap=i >= left, overflow="fold")
    rows = list(rows)
    for i, row in enumerate(rows):
        table.add_row(*row, end_section=bool(foot) and i == len(rows) - foot - 1)
    return table
