"""A run's figures as tables of text, as Caffe's tools/extra/parse_log.py writes them."""

from __future__ import annotations

import csv
import io
import math
import os
from pathlib import Path

from caffepy.errors import CaffepyError
from caffepy.monitor.parse_log import Row, RunLog
from caffepy.proto.files import atomic_write

__all__ = ["write_tables"]


def write_tables(
    log: RunLog, name: str, folder: str | os.PathLike[str] = ".", delimiter: str = ","
) -> dict[str, tuple[Path, int]]:
    """Write ``folder/name.train`` and ``folder/name.test``; a table without rows is not written.

    Columns are NumIters, Seconds, LearningRate and the outputs by name; a table of training rows without outputs has
    the loss. Lines end as Caffe's do, by CR LF.

    Returns:
        by ``"train"`` and ``"test"``, what was written: path and number of rows.

    Raises:
        CaffepyError: a delimiter that is not one character.
        OSError: the folder is not there, or cannot be written.
    """
    if len(delimiter) != 1:
        raise CaffepyError(f"--delimiter is one character; got '{delimiter}'.")
    written = {}
    for which in ("train", "test"):
        rows: list[Row] = getattr(log, which)
        names = log.outputs(which)
        # The last line of a run, "Iteration 10000, loss = ...", has no outputs and is no row.
        rows = [row for row in rows if row.outputs or not names]
        if not rows:
            continue
        path = Path(folder) / f"{name}.{which}"
        with atomic_write(path) as file:
            file.write(_table(rows, names, delimiter).encode("utf-8"))
        written[which] = path, len(rows)
    return written


def _table(rows: list[Row], names: list[str], delimiter: str) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(["NumIters", "Seconds", "LearningRate", *(names or ["loss"])])
    for row in rows:
        values = [row.outputs.get(name) for name in names] if names else [row.loss]
        writer.writerow([float(row.iteration), _text(row.seconds), _text(row.rate), *map(_text, values)])
    return out.getvalue()


def _text(value: float | None) -> str:
    # As Python's csv writes floats; nothing where there is no value.
    return "" if value is None else "nan" if math.isnan(value) else repr(float(value))
