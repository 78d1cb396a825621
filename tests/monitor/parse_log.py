"""What Caffe's tools/extra/parse_log.py makes of a log: the patterns that it looks for, and in which order."""

from __future__ import annotations

import re
from datetime import datetime

NUMBER = r"([\.\deE+-]+)"
ITERATION = re.compile(r"Iteration (\d+)")
RATE = re.compile(r"lr = ([-+]?[0-9]*\.?[0-9]+([eE]?[-+]?[0-9]+)?)")
OUTPUT = {kind: re.compile(rf"{kind} net output #(\d+): (\S+) = {NUMBER}") for kind in ("Train", "Test")}


def time_of(line, year):
    """The date and time at the start of a line: I1124 03:03:26.123456."""
    day, clock = line.split()[:2]
    return datetime.strptime(f"{year} {day[1:]} {clock}", "%Y %m%d %H:%M:%S.%f")


def parse_log(text, year=2026):
    """Rows of the train and the test table: iteration, seconds since "Solving", learning rate, outputs."""
    lines = iter(text.splitlines())
    start = next(time_of(line, year) for line in lines if "Solving" in line)
    rows = {"Train": [], "Test": []}
    iteration, rate = None, None
    for line in lines:
        if found := ITERATION.search(line):
            iteration = int(found[1])
        if iteration is None:
            continue
        seconds = (time_of(line, year) - start).total_seconds()
        if found := RATE.search(line):
            rate = float(found[1])
        for kind, pattern in OUTPUT.items():
            if found := pattern.search(line):
                table = rows[kind]
                if not table or table[-1]["NumIters"] != iteration:
                    table.append({"NumIters": iteration, "Seconds": seconds, "LearningRate": rate})
                table[-1][found[2]] = float(found[3])
    return rows["Train"], rows["Test"]
