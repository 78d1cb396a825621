"""The figures of a run, read from its log: Caffe's, caffepy's own, or ``metrics.jsonl``; compressed by gzip or not.

What is looked for are the lines that Caffe's tools/extra/parse_log.py looks for. A log may end anywhere, begin late,
and hold a run that was interrupted and resumed, or several runs one after the other.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from caffepy.errors import CaffepyError, reason
from caffepy.monitor.metrics import metrics_in

__all__ = ["LogError", "Row", "RunLog", "parse_lines", "read_log"]

_NUMBER = r"([-+]?(?:nan|inf|(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?))"
_HEAD = re.compile(r"[IWEF](\d{4})?(\d\d)(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))? ")
_ITERATION = re.compile(r"Iteration (\d{1,18})\b")
_LOSS = re.compile(rf"Iteration \d+.*, loss = {_NUMBER}", re.IGNORECASE)
_TEST_LOSS = re.compile(rf"Test loss: {_NUMBER}", re.IGNORECASE)
_RATE = re.compile(rf"\blr = {_NUMBER}", re.IGNORECASE)
_OUTPUT = re.compile(
    rf"(Train|Test) net output #(\d{{1,9}}): (\S+) = {_NUMBER}(?: \(\* \S+ = {_NUMBER} loss)?", re.IGNORECASE
)
_NET = re.compile(r"Testing net \(#(\d{1,9})\)")
_CREATED = re.compile(r"Log file created at: (\d{4})/")
# A line that is longer is none of a log's, and patterns take time with its square.
_LONGEST_LINE = 1 << 12
# Rows of a run of a million iterations, each displayed.
_MOST_ROWS = 2_000_000
# glog's heads have no year: a clock that goes back so far has passed its end.
_DAY = timedelta(days=1)


class LogError(CaffepyError):
    """A log that cannot be read, or in which there are no figures."""


@dataclass
class Row:
    """The figures of one iteration; ``seconds`` the run took until then, without pauses."""

    iteration: int
    seconds: float
    rate: float = math.nan
    #: The loss that is logged with the iteration, a mean of average_loss iterations; of a test its total loss.
    loss: float = math.nan
    #: By name; the second value of a name is ``name[1]``, and another test net's is ``name#1``.
    outputs: dict[str, float] = field(default_factory=dict)
    #: Of the outputs that are losses, what they add to the whole: the value times the loss_weight.
    losses: dict[str, float] = field(default_factory=dict)


@dataclass
class RunLog:
    """A run. ``resumed`` are the iterations at which it went on; ``truncated`` tells why no more could be read."""

    train: list[Row] = field(default_factory=list)
    test: list[Row] = field(default_factory=list)
    resumed: list[int] = field(default_factory=list)
    truncated: str = ""

    def outputs(self, which: str) -> list[str]:
        """Names of the outputs of the ``"train"`` or ``"test"`` rows, in the order in which they come."""
        return list(dict.fromkeys(name for row in getattr(self, which) for name in row.outputs))


def read_log(path: str | os.PathLike[str]) -> RunLog:
    """The figures in a log, or in the folder of a run (its train.log, else its metrics.jsonl).

    Raises:
        LogError: it cannot be read, or there is no iteration in it.
    """
    where = Path(path)
    try:
        if where.is_dir():
            where = next((where / name for name in ("train.log", "metrics.jsonl") if (where / name).is_file()), where)
        year = datetime.fromtimestamp(where.stat().st_mtime).year
        log = _read(where, year)
    except OSError as error:
        names = [entry.name for entry in where.parent.glob("*.log*")] if where.parent.is_dir() else []
        near = sorted(name for name in names if name.endswith((".log", ".gz")))[:5]
        hint = f" There are: {', '.join(near)}." if near else ""
        raise LogError(f"{where}: cannot be read: {reason(error)}.{hint}") from error
    if not log.train and not log.test:
        raise LogError(
            f"{where}: no figures: expected lines such as 'Iteration 100, loss = 0.25' or 'Test net output #0: "
            "accuracy = 0.97', as Caffe's log and caffepy's train.log have, or a metrics.jsonl. Is this the log of a "
            "training run?"
        )
    return log


def _read(path: Path, year: int) -> RunLog:
    with open(path, "rb") as raw:
        # A pipe cannot go back.
        packed = raw.peek(2)[:2] == b"\x1f\x8b"
        stream: io.BufferedIOBase = gzip.GzipFile(fileobj=raw) if packed else raw
        # What is read before the end of a file cut off counts.
        ended: list[str] = []
        lines = _lines(stream, ended)
        first = next((line for line in lines if line.strip()), "")
        every = _with(first, lines)
        log = _from_metrics(metrics_in(every)) if first.lstrip().startswith("{") else parse_lines(every, year)
        log.truncated = "".join(ended)
        return log


def _with(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _lines(stream: io.BufferedIOBase, ended: list[str]) -> Iterator[str]:
    try:
        while line := stream.readline(_LONGEST_LINE):
            yield line.decode("utf-8", "replace")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        ended.append(str(error))


def parse_lines(lines: Iterable[str], year: int) -> RunLog:
    """The figures in the lines of a log, whose times are of ``year`` unless they say so.

    A run that goes on at iteration N replaces what was logged of N and later ones; a run that begins anew, all.

    Raises:
        LogError: more rows than any run has.
    """
    parser = _Parser(year)
    for line in lines:
        parser.line(line)
    return parser.finish()


class _Parser:
    def __init__(self, year: int) -> None:
        self.log = RunLog()
        self.clock = _Clock(year)
        self.iteration = -1
        self.rate = math.nan
        self.net = 0
        self.started = False
        #: The loss of an iteration whose outputs are still to come.
        self.loss = math.nan
        self.row: dict[str, Row | None] = {"train": None, "test": None}
        #: By name, the number of its first value among the outputs.
        self.first: dict[str, dict[str, int]] = {"train": {}, "test": {}}

    def line(self, line: str) -> None:
        if created := _CREATED.match(line):
            self.clock.year = int(created[1])
        self.clock.see(line)
        if "Solving " in line:
            self.clock.begin(again=bool(self.log.train or self.log.test))
            self.started, self.rate = True, math.nan
        if found := _ITERATION.search(line):
            self._at(int(found[1]))
        if self.iteration < 0:
            return
        if found := _NET.search(line):
            self.net = int(found[1])
        elif found := _OUTPUT.search(line):
            self._output(found)
        elif found := _TEST_LOSS.search(line):
            self._row("test").loss = float(found[1])
        elif found := _LOSS.search(line):
            self._loss(float(found[1]))
        elif found := _RATE.search(line):
            self._rate(float(found[1]))

    def _at(self, iteration: int) -> None:
        if self.started:
            # The first iteration of a run: what was logged of it and after it was not kept.
            self.started = False
            if (self.log.train or self.log.test) and iteration:
                self.log.resumed.append(iteration)
            self.log.train = [row for row in self.log.train if row.iteration < iteration]
            self.log.test = [row for row in self.log.test if row.iteration < iteration]
            if not iteration:
                self.log.resumed.clear()
                self.clock.forget()
            self.row = {"train": None, "test": None}
        if iteration != self.iteration:
            self.iteration, self.loss, self.net = iteration, math.nan, 0
            self.row = {"train": None, "test": None}

    def _row(self, which: str) -> Row:
        row = self.row[which]
        if row is None:
            row = self.row[which] = Row(self.iteration, self.clock.seconds(), self.rate)
            rows: list[Row] = getattr(self.log, which)
            rows.append(row)
            if len(rows) > _MOST_ROWS:
                raise LogError(f"the log has more than {_MOST_ROWS:,} rows.")
        return row

    def _output(self, found: re.Match[str]) -> None:
        which = found[1].lower()
        row = self._row(which)
        if not row.outputs:
            row.seconds = self.clock.seconds()
        name, number = found[3] + (f"#{self.net}" if which == "test" and self.net else ""), int(found[2])
        first = self.first[which]
        if number == 0:
            first.clear()
        place = number - first.setdefault(name, number)
        name += f"[{place}]" if place > 0 else ""
        row.outputs[name] = float(found[4])
        if found[5]:
            row.losses[name] = float(found[5])
        if which == "train":
            row.loss = self.loss

    def _loss(self, loss: float) -> None:
        self.loss = loss
        # Where nothing is put out a row has its loss alone.
        self._row("train").loss = loss

    def _rate(self, rate: float) -> None:
        self.rate = rate
        # It is logged after the outputs of its iteration.
        if (row := self.row["train"]) is not None:
            row.rate = rate

    def finish(self) -> RunLog:
        # Old logs say nothing of the rate before the first iteration is done; tests come before their iteration's rate.
        _fill(self.log.train)
        rates = {row.iteration: row.rate for row in self.log.train if not math.isnan(row.rate)}
        for row in self.log.test:
            row.rate = rates.get(row.iteration, row.rate)
        _fill(self.log.test)
        return self.log


def _fill(rows: list[Row]) -> None:
    """The rates before the first that is known are that one."""
    known = next((row.rate for row in rows if not math.isnan(row.rate)), math.nan)
    for row in rows:
        if not math.isnan(row.rate):
            return
        row.rate = known


class _Clock:
    """Seconds since a run began, from the heads of its lines; the time between two parts of a run does not count."""

    def __init__(self, year: int) -> None:
        self.year = year
        self.now: datetime | None = None
        self.start: datetime | None = None
        #: When the last figure was logged.
        self.last: datetime | None = None
        #: Seconds that earlier parts of the run took.
        self.before = 0.0

    def see(self, line: str) -> None:
        if (head := _HEAD.match(line)) is None:
            return
        year, month, day, hour, minute, second = (int(part or 0) for part in head.groups()[:6])
        try:
            now = datetime(year or self.year, month, day, hour, minute, second, int((head[7] or "0").ljust(6, "0")))
            if self.now is not None and now < self.now - _DAY and not year:
                now = now.replace(year=now.year + 1)
                self.year += 1
        except ValueError:
            return
        self.now = now
        self.start = self.start or now

    def begin(self, *, again: bool) -> None:
        """A run begins, or goes on ``again``."""
        if again and self.last is not None and self.start is not None:
            self.before += (self.last - self.start).total_seconds()
        self.start = self.now

    def forget(self) -> None:
        """What ran before is not part of this run."""
        self.before = 0.0

    def seconds(self) -> float:
        """Until the line seen last, which has a figure; NaN in a log without times."""
        if self.now is None or self.start is None:
            return math.nan
        self.last = self.now
        return self.before + (self.now - self.start).total_seconds()


def _from_metrics(records: Iterable[dict[str, Any]]) -> RunLog:
    """The same from the records of a ``metrics.jsonl``; seconds are those that iterations and tests took."""
    log = RunLog()
    seconds, last, rate = 0.0, 0, math.nan
    for record in records:
        iteration, kind = record["iter"], record.get("kind")
        if kind == "train":
            speed = _number(record.get("iter_per_s"))
            seconds += (iteration - last) / speed if speed > 0 and iteration > last else 0.0
            last, rate = max(last, iteration), _number(record.get("lr"))
        elif kind == "test":
            took = _number(record.get("seconds"))
            seconds += took if took > 0 else 0.0
        else:
            continue
        net = record.get("net") or 0
        row = Row(iteration, seconds, rate, _number(record.get("loss")))
        rows = log.train if kind == "train" else log.test
        if kind == "test" and net and rows and rows[-1].iteration == iteration:
            row = rows[-1]
        else:
            rows.append(row)
        for name, value in (record.get("outputs") or {}).items():
            for i, one in enumerate(value if isinstance(value, list) else [value]):
                label = name + (f"#{net}" if net else "") + (f"[{i}]" if i else "")
                row.outputs[label] = _number(one)
                # The file does not say which are.
                if "loss" in name:
                    row.losses[label] = _number(one)
    rates = {row.iteration: row.rate for row in log.train}
    for row in log.test:
        row.rate = rates.get(row.iteration, row.rate)
    _fill(log.test)
    return log


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
