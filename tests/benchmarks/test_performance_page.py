"""The table of docs/performance.md: rows replaced by name, kept by machine and day, missed rows explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.performance_page import BEGIN, END, REASONS, unexplained, update
from tests.benchmarks.rows import Row

PAGE = f"before\n\n{BEGIN}\n{END}\n\nafter\n"
FAST = Row("a step", 0.4, 0.25, summary="1 ms, PyTorch 4 ms")
SLOW = Row("a | b", 1.5, 1.2, at_least=True)
START = Row("start", 3.0, 3.5, unit="s")
GONE = Row("Caffe", 0.5, skipped="CAFFE_BIN does not name Caffe's binary")


def test_verdicts():
    assert [row.verdict for row in (FAST, SLOW, START, GONE)] == ["met", "**missed**", "**missed**", "not measured"]
    assert Row("x", 0.4, 0.4).met
    assert Row("x", 1.5, 1.5, at_least=True).met
    assert (Row("x", 0.4, 0.41).met, Row("x", 1.5, 1.49, at_least=True).met, GONE.met) == (False, False, None)


def test_a_row_in_words():
    assert str(START) == "start: 3.50 s (at most 3.00 s: missed)"
    assert str(Row("x", 1.0, 2.0, stretch=True, details=["d"])) == "x: 2.00 (at most 1.00, a stretch: missed)\n    d"
    assert str(GONE) == "Caffe: not measured: CAFFE_BIN does not name Caffe's binary (at most 0.50: not measured)"


def test_a_table_is_written_between_the_markers():
    page = update(PAGE, [FAST, SLOW, START, GONE], "a machine", "2026-01-02")
    assert page.startswith("before\n\n")
    assert page.endswith(f"\n{END}\n\nafter\n")
    assert page.partition(BEGIN)[2].partition(END)[0].strip().splitlines() == [
        "Measured on 2026-01-02: a machine.",
        "",
        "| what | target | measured | medians | |",
        "| --- | --- | --- | --- | --- |",
        "| a step | at most 0.40 | 0.25 | 1 ms, PyTorch 4 ms | met |",
        r"| a \| b | at least 1.50 | 1.20 |  | **missed** |",
        "| start | at most 3.00 s | 3.50 s |  | **missed** |",
        "| Caffe | at most 0.50 | not measured: CAFFE_BIN does not name Caffe's binary |  |  |",
    ]


def test_rows_are_replaced_by_name():
    page = update(PAGE, [FAST, SLOW], "a machine", "2026-01-02")
    again = update(page, [Row("a | b", 1.5, 2.0, at_least=True)], "a machine", "2026-01-02")
    assert again == page.replace("| 1.20 |  | **missed** |", "| 2.00 |  | met |")
    assert update(page, [FAST, SLOW], "a machine", "2026-01-02") == page


def test_rows_of_another_day_stand_by_themselves():
    page = update(PAGE, [FAST, SLOW], "a machine", "2026-01-02")
    page = update(page, [SLOW], "a machine", "2026-02-03")
    assert page.count("| what |") == 2
    assert page.index("2026-01-02") < page.index("| a step |") < page.index("2026-02-03") < page.index("| a \\| b |")
    page = update(page, [FAST], "a machine", "2026-02-03")
    assert "2026-01-02" not in page


def test_missed_rows_need_a_reason():
    page = PAGE + f"{REASONS}\n\n**start**: the disk.\n\n## Next\n\na | b\n"
    rows = [FAST, SLOW, START, GONE, Row("wish", 1.0, 2.0, stretch=True)]
    assert unexplained(page, rows) == ["a | b"]
    assert unexplained(PAGE, rows) == ["a | b", "start"]


def test_the_page_has_a_table():
    with pytest.raises(ValueError, match="the page has no table"):
        update("nothing", [FAST], "a machine", "2026-01-02")
    page = (Path(__file__).parents[2] / "docs" / "performance.md").read_text(encoding="utf-8")
    assert REASONS in page
    assert "| a step |" in update(page, [FAST], "a machine", "2026-01-02")
