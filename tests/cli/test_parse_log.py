"""caffepy parse-log: options and what it says; what is read is tested in tests/monitor/test_parse_log.py."""

from __future__ import annotations

from tests.monitor.test_parse_log import caffe_log, table


def test_tables_beside_and_elsewhere(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.log").write_text("\n".join(caffe_log()))
    result = run("parse-log", "x.log")
    assert (result.code, result.out) == (0, "")
    assert result.lines == ["Wrote x.log.train, 4 rows", "Wrote x.log.test, 3 rows"]
    assert not (tmp_path / "to").exists()
    result = run("parse_log", "x.log", "to", "--delimiter", "\\t", "--verbose")
    assert result.lines == [
        "Wrote to/x.log.train, 4 rows: loss",
        "Wrote to/x.log.test, 3 rows: accuracy, loss",
    ]
    assert table("to/x.log.test", "\t") == table("x.log.test")
    assert len(table("x.log.test")) == 3
    (tmp_path / "y.log").write_text("\n".join(caffe_log(tests=False) + caffe_log(first=200, tests=False)))
    result = run("parse_log", "y.log", "--output_dir=to", "-verbose")
    assert result.lines == [
        "Wrote to/y.log.train, 4 rows: loss",
        "Not writing to/y.log.test; no lines to write",
        "Resumed at iterations 200",
    ]


def test_the_folder_of_a_run(run, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "train.log").write_text("\n".join(caffe_log()))
    monkeypatch.chdir(folder)
    assert run("parse-log", ".").lines[0] == "Wrote run.train, 4 rows"
    assert run("plot-log", ".").lines == ["Wrote run.png"]


def test_errors(run, tmp_path):
    (tmp_path / "x.log").write_text("\n".join(caffe_log()))
    assert run("parse-log").code == 2
    assert run("parse-log", tmp_path / "x.log", "a", "--output-dir=b").code == 2
    result = run("parse-log", tmp_path / "x.log", tmp_path / "x.log")
    assert result.code == 1
    assert result.err == f"error: {tmp_path / 'x.log'}: File exists\n"
    result = run("parse-log", tmp_path / "x.log", tmp_path, "--delimiter=", "")
    assert result.code != 0
    assert run("parse-log", tmp_path / "x.logs").code == 1
