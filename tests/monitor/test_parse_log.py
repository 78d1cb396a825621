"""Logs read: Caffe's and ours, whole, cut off, resumed, compressed; and the tables made of them."""

from __future__ import annotations

import csv
import gzip
import math
import os
import threading
import time
from datetime import datetime, timedelta

import pytest

from caffepy.errors import CaffepyError
from caffepy.monitor.log_tables import write_tables
from caffepy.monitor.parse_log import LogError, parse_lines, read_log
from tests.monitor import parse_log as caffes


def head(when, level="I"):
    return f"{level}{when:%m%d %H:%M:%S.%f} 12345 solver.cpp:1] "


def caffe_log(first=0, last=400, begin=datetime(2016, 3, 4, 10, 0, 0, 250), solving=True, tests=True, rate=0.01):
    """Lines as Caffe 1.0 writes them: tests each 200 iterations, display each 100, a second for 100 iterations."""
    when = begin
    lines = [f"Log file created at: {when:%Y/%m/%d %H:%M:%S}", "Running on machine: x"] if not first else []
    lines += [head(when) + "Initializing solver from parameters:", "test_iter: 100", "base_lr: 0.01"]
    if solving:
        lines.append(head(when) + "Solving LeNet")
    for iteration in range(first, last + 1, 100):
        when += timedelta(seconds=1, microseconds=7)
        loss = 2 / (1 + iteration / 100)
        if tests and iteration % 200 == 0:
            lines += [
                head(when) + f"Iteration {iteration}, Testing net (#0)",
                head(when) + f"    Test net output #0: accuracy = {1 - loss / 4:g}",
                head(when) + f"    Test net output #1: loss = {loss:g} (* 1 = {loss:g} loss)",
            ]
        if iteration == last:
            break
        lines += [
            head(when) + f"Iteration {iteration} (99.9 iter/s, 1s/100 iters), loss = {loss + 0.5:g}",
            head(when + timedelta(microseconds=9)) + f"    Train net output #0: loss = {loss:g} (* 1 = {loss:g} loss)",
            head(when + timedelta(microseconds=20)) + f"Iteration {iteration}, lr = {rate:g}",
        ]
    return lines


def table(path, delimiter=","):
    with open(path, newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def test_the_tables_are_caffes(tmp_path):
    lines = [*caffe_log(), head(datetime(2016, 3, 4, 10, 0, 9)) + "Iteration 400, loss = 0.5"]
    (tmp_path / "x.log").write_text("\n".join(lines))
    write_tables(read_log(tmp_path / "x.log"), "x.log", tmp_path)
    # The reference does not fill the rates before the first, as Caffe's script does.
    for which, rows in zip(("train", "test"), caffes.parse_log("\n".join(lines), 2016), strict=True):
        expected = [{name: str(float(0.01 if v is None else v)) for name, v in row.items()} for row in rows]
        assert table(tmp_path / f"x.log.{which}") == expected
        assert len(expected) == (4 if which == "train" else 3)
    text = (tmp_path / "x.log.train").read_bytes()
    assert text.startswith(b"NumIters,Seconds,LearningRate,loss\r\n0.0,1.000016,0.01,2.0\r\n")


def test_the_rate_is_that_of_its_iteration():
    lines = caffe_log(last=200) + caffe_log(first=200, rate=0.001, solving=False)
    log = parse_lines(lines, 2016)
    assert [(row.iteration, row.rate) for row in log.train] == [(0, 0.01), (100, 0.01), (200, 0.001), (300, 0.001)]
    # Tests come before their iteration's rate is logged.
    assert [(row.iteration, row.rate) for row in log.test] == [(0, 0.01), (200, 0.001), (400, 0.001)]
    assert not log.resumed


def test_losses_and_what_is_one():
    log = parse_lines(caffe_log(), 2016)
    assert [row.loss for row in log.train[:2]] == [2.5, 1.5]
    assert log.train[0].losses == log.test[0].losses == {"loss": 2}
    line = head(datetime(2016, 1, 1)) + "Iteration 7, Testing\n    Test net output #0: a/loss1 = 5 (* 0.3 = 1.5 loss)"
    assert parse_lines([line], 2016).test[0].losses == {"a/loss1": 1.5}
    assert log.outputs("test") == ["accuracy", "loss"]


def test_a_resumed_run_is_one_run():
    # Killed after iteration 300; the last snapshot was of 200.
    log = parse_lines(
        caffe_log(last=400)[:-3] + caffe_log(first=200, last=600, begin=datetime(2016, 3, 4, 12, 0, 0)), 2016
    )
    assert log.resumed == [200]
    assert [row.iteration for row in log.train] == [0, 100, 200, 300, 400, 500]
    assert [row.iteration for row in log.test] == [0, 200, 400, 600]
    seconds = [row.seconds for row in log.train]
    assert seconds == sorted(seconds)
    # Four seconds before and one after the pause of two hours.
    assert seconds[2] == pytest.approx(5, abs=0.01)


def test_a_run_begun_anew_replaces_the_one_before():
    log = parse_lines(caffe_log() + caffe_log(last=200, begin=datetime(2016, 3, 5)), 2016)
    assert [row.iteration for row in log.train] == [0, 100]
    assert log.train[0].seconds == pytest.approx(1, abs=0.01)
    assert log.resumed == []


@pytest.mark.parametrize("cut", [900, 1000, 1100, 1213])
def test_a_log_cut_off_anywhere(tmp_path, cut):
    text = "\n".join(caffe_log()).encode()
    whole = parse_lines(text.decode().splitlines(), 2016)
    (tmp_path / "x.log").write_bytes(text[:cut])
    found = read_log(tmp_path / "x.log")
    assert 0 < len(found.train) < 4
    assert found.train[:-1] == whole.train[: len(found.train) - 1]


def test_compressed_and_cut_off(tmp_path):
    text = "\n".join(caffe_log(last=40000)).encode()
    packed = gzip.compress(text)
    (tmp_path / "x.log.gz").write_bytes(packed)
    found = read_log(tmp_path / "x.log.gz")
    assert (len(found.train), found.truncated) == (400, "")
    (tmp_path / "x.log.gz").write_bytes(packed[: len(packed) // 2])
    found = read_log(tmp_path / "x.log.gz")
    assert 20 < len(found.train) < 400
    assert "end-of-stream" in found.truncated


def test_a_pipe_and_lines_without_end(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    text = "\n".join(caffe_log()).encode()
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(gzip.compress(text)))
    writer.start()
    assert len(read_log(tmp_path / "pipe").train) == 4
    writer.join()
    (tmp_path / "x.log").write_bytes(b"Iteration 1 " * 200_000 + b"\n" + text)
    began = time.perf_counter()
    assert len(read_log(tmp_path / "x.log").train) == 4
    assert time.perf_counter() - began < 10


def test_numbers_that_are_none_and_several_of_a_name():
    when = head(datetime(2016, 1, 1))
    log = parse_lines(
        [
            f"{when}Solving ",
            f"{when}Iteration 7, Testing net (#0)",
            f"{when}Test loss: 0.75",
            f"{when}    Test net output #0: acc = 0.5",
            f"{when}    Test net output #1: class = 0.1",
            f"{when}    Test net output #2: class = 0.2",
            f"{when}    Test net output #3: class = 0.3",
            f"{when}Iteration 7, Testing net (#1)",
            f"{when}    Test net output #0: acc = 1e-05",
            f"{when}Iteration 7, loss = -nan",
            f"{when}    Train net output #0: loss = nan (* 1 = nan loss)",
            f"{when}    Train net output #1: other = -inf",
            f"{when}Iteration 7, lr = 1e-05",
        ],
        2016,
    )
    assert log.test[0].outputs == {"acc": 0.5, "class": 0.1, "class[1]": 0.2, "class[2]": 0.3, "acc#1": 1e-05}
    assert log.test[0].loss == 0.75
    assert (log.test[0].rate, log.train[0].rate) == (1e-05, 1e-05)
    assert math.isnan(log.train[0].loss)
    assert math.isnan(log.train[0].outputs["loss"])
    assert log.train[0].outputs["other"] == -math.inf


def test_lines_that_two_processes_wrote_into_each_other():
    when = head(datetime(2016, 1, 1))
    log = parse_lines(
        [f"{when}Iteration 1, loss = 1.5.25", f"{when}  Train net output #0: a = 2.0.5 (* 1 = . loss)"], 2016
    )
    assert (log.train[0].loss, log.train[0].outputs, log.train[0].losses) == (1.5, {"a": 2.0}, {})
    assert parse_lines([f"{when}Iteration 1, loss = .e5"], 2016).train == []


def test_years_end_and_other_heads():
    begin = datetime(2016, 12, 31, 23, 59, 58)
    log = parse_lines(caffe_log(begin=begin), 2000)
    assert [round(row.seconds) for row in log.train] == [1, 2, 3, 4]
    assert [round(row.seconds) for row in log.test] == [1, 3, 5]
    # glog of today has a year, and without a head there is no time.
    lines = [line.replace("I0304 ", "I20160304 ") for line in caffe_log()]
    assert [round(row.seconds) for row in parse_lines(lines, 2000).train] == [1, 2, 3, 4]
    bare = parse_lines([line.split("] ")[-1] for line in caffe_log()], 2016)
    assert [row.outputs["loss"] for row in bare.train] == pytest.approx([2, 1, 2 / 3, 0.5], rel=1e-5)
    assert all(math.isnan(row.seconds) for row in bare.train)


def test_rows_differ_in_their_outputs(tmp_path):
    when = head(datetime(2016, 1, 1))
    lines = [f"{when}Iteration {i}, lr = 1\n{when}  Train net output #0: {name} = 1" for i, name in enumerate("aba")]
    (tmp_path / "x.log").write_text("\n".join(lines))
    written = write_tables(read_log(tmp_path / "x.log"), "x", tmp_path, "\t")
    assert written == {"train": (tmp_path / "x.train", 3)}
    rows = table(tmp_path / "x.train", "\t")
    assert [(row["a"], row["b"]) for row in rows] == [("1.0", ""), ("", "1.0"), ("1.0", "")]
    with pytest.raises(CaffepyError, match="--delimiter is one character; got ',,'"):
        write_tables(read_log(tmp_path / "x.log"), "x", tmp_path, ",,")


def test_losses_alone(tmp_path):
    when = head(datetime(2016, 1, 1))
    log = parse_lines([f"{when}Iteration {i}, loss = 0.{i}" for i in (1, 2)], 2016)
    write_tables(log, "x", tmp_path)
    assert [row["loss"] for row in table(tmp_path / "x.train")] == ["0.1", "0.2"]


def test_our_own_run(run_of_two_parts):
    """The log and the metrics of a run that was resumed, and its folder."""
    logs = [read_log(run_of_two_parts / name) for name in ("train.log", "metrics.jsonl", ".")]
    for log in logs:
        train = [row for row in log.train if row.outputs]
        assert [row.iteration for row in train] == [0, 10, 20, 30]
        assert [row.iteration for row in log.test] == [0, 20, 40]
        assert log.outputs("test") == ["accuracy", "loss"]
        assert [row.rate for row in train] == [0.5, 0.5, 0.5, 0.25]
        seconds = [row.seconds for row in train]
        assert seconds == sorted(seconds)
        for ours, first in zip((*train, *log.test), (*logs[0].train[:4], *logs[0].test), strict=True):
            assert ours.outputs == pytest.approx(first.outputs, rel=1e-4)
            assert ours.losses == pytest.approx({"loss": ours.outputs["loss"]})


@pytest.fixture(scope="module")
def run_of_two_parts(tmp_path_factory):
    from caffepy.cli.main import main
    from tests.cli.conftest import DIGITS, NET, SOLVER

    folder = tmp_path_factory.mktemp("run")
    before = os.getcwd()
    os.chdir(folder)
    try:
        for part in ("train", "test"):
            files = [str(DIGITS / f"{part}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")]
            assert main(["convert-mnist", *files, part]) == 0
        (folder / "net.prototxt").write_text(NET.format(digits="."))
        (folder / "half.prototxt").write_text(SOLVER.replace("max_iter: 40", "max_iter: 30"))
        (folder / "solver.prototxt").write_text(SOLVER)
        assert main(["train", "-solver=half.prototxt"]) == 0
        assert main(["train", "-solver=solver.prototxt", "-snapshot=out/tiny_iter_20.solverstate"]) == 0
    finally:
        os.chdir(before)
    return folder / "out"


def test_errors(tmp_path):
    (tmp_path / "other.log").write_text("hello\n")
    with pytest.raises(LogError, match=r"other\.log: no figures: expected lines such as 'Iteration 100"):
        read_log(tmp_path / "other.log")
    with pytest.raises(LogError, match=r"cannot be read: No such file or directory\. There are: other\.log"):
        read_log(tmp_path / "ohter.log")
    with pytest.raises(LogError, match="cannot be read: Is a directory"):
        read_log(tmp_path)
    (tmp_path / "zeros.log").write_bytes(bytes(1 << 20))
    with pytest.raises(LogError, match="no figures"):
        read_log(tmp_path / "zeros.log")
