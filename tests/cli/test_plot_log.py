"""caffepy plot-log: its words in Caffe's order and by options."""

from __future__ import annotations

import pytest

from caffepy.monitor import plot_log
from caffepy.monitor.plot_log import CHARTS
from tests.monitor.test_parse_log import caffe_log


@pytest.fixture
def logs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.log", "b.log", "x/train.log", "y/train.log"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("\n".join(caffe_log()))
    return tmp_path


@pytest.fixture
def asked(monkeypatch):
    """What the command asks to be drawn; it is not drawn."""
    calls = []
    monkeypatch.setattr(plot_log, "plot_logs", lambda path, logs, **rest: calls.append((path, list(logs), rest)))
    return calls


REST = {"chart": None, "seconds": False, "window": None, "title": None}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a.log"], ("a.log.png", ["a"], REST)),
        (["6", "o.png", "a.log", "b.log"], ("o.png", ["a", "b"], {**REST, "chart": CHARTS[6]})),
        (["test accuracy vs. seconds", "a.log"], ("a.log.png", ["a"], {**REST, "chart": CHARTS[1]})),
        (["--chart=train_loss", "-out", "o.svg", "a.log"], ("o.svg", ["a"], {**REST, "chart": CHARTS[6]})),
        (["x/train.log", "y/train.log"], ("train.log.png", ["x/train", "y/train"], REST)),
        (["a.log", "o.png"], ("o.png", ["a"], REST)),
        (["x", "y", "--seconds"], ("x.png", ["x", "y"], {**REST, "seconds": True})),
        (["o.pdf", "a.log", "--smooth", "0"], ("o.pdf", ["a"], {**REST, "window": 1})),
        (["a.log", "--smooth=7", "--title=T"], ("a.log.png", ["a"], {**REST, "window": 7, "title": "T"})),
    ],
)
def test_words(run, logs, asked, words, expected):
    result = run("plot_log", *words)
    assert (result.code, result.lines) == (0, [f"Wrote {expected[0]}"])
    assert asked == [expected]


def test_a_picture_is_written(run, logs):
    assert run("plot-log", "a.log", "b.log").code == 0
    assert (logs / "a.log.png").read_bytes().startswith(b"\x89PNG")
    assert run("plot_training_log", "6", "o.png", "a.log").code == 0
    assert run("plot-log", "--list-charts").out.splitlines()[6] == "6: Train loss vs. Iters"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "Missing argument 'LOG...'"),
        (["o.png"], 2, "Missing argument 'LOG...'"),
        (["o.png", "a.log", "p.png"], 2, "one picture is written; got o.png, p.png"),
        (["o.png", "a.log", "--out=p.svg"], 2, "one picture is written; got p.svg, o.png"),
        (["8", "o.png", "a.log"], 1, "'8' is not a valid chart type"),
        (["o.jpg", "a.log"], 1, "pictures are png, svg, pdf"),
        (["c.log"], 1, "c.log: cannot be read: No such file or directory. There are: a.log, b.log."),
        (["a.log", "a.log"], 2, "a log is given twice"),
    ],
)
def test_errors(run, logs, words, code, said):
    result = run("plot-log", *words)
    assert result.code == code
    assert said in result.err
