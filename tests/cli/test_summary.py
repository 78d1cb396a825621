"""caffepy summary: the table and its totals."""

from __future__ import annotations

from pathlib import Path

from caffepy.cli import output
from caffepy.cli.summary import _count

MODELS = Path(__file__).resolve().parents[2] / "models"


def rows(result):
    """The lines of a table, cut at runs of spaces."""
    return [" ".join(line.split()) for line in result.out.splitlines() if line.strip()]


def test_alexnet(run):
    result = run("summary", MODELS / "alexnet" / "deploy.prototxt", "--shape", "data=1,3,227,227")
    assert (result.code, result.err) == (0, "")
    lines = rows(result)
    assert lines[0] == "AlexNet, TEST phase, batch of 1."
    assert lines[2] == "layer type output parameters MACs MiB"
    assert "conv2 Convolution 1x256x27x27 307,456 223.9 M 0.71" in lines
    assert "relu1 ReLU 1x96x55x55 in place" in lines
    assert lines[-4] == "total 60,965,224 724.4 M 5.40"
    assert lines[-3].startswith("60,965,224 parameters: 232.56 MiB; to train, with gradients and momentum, 697.69 MiB")
    assert lines[-2].startswith("724.4 M multiply-adds (MACs) for an image, 724.4 M for the batch")
    assert lines[-1] == "5.40 MiB of values between layers; to train, with gradients, up to 10.79 MiB"


def test_a_net_with_data_layers(run, project):
    result = run("summary", "-phase=train", "net.prototxt")
    lines = rows(result)
    assert lines[0] == "Tiny, TRAIN phase, batch of 64."
    assert "digits Data 64x1x28x28, 64 0.19" in lines
    assert "scale Scale 64x784 1,568 0.19" in lines
    assert "accuracy Accuracy 1 0.00" in rows(run("summary", "net.prototxt"))
    assert "batch of 5" in run("summary", "net.prototxt", "--shape=data=5,1,28,28").out


def test_stages(run, project):
    extra = 'layer { name: "p" type: "Power" bottom: "scale" top: "p" include { stage: "a" } }\n'
    (project / "net.prototxt").write_text((project / "net.prototxt").read_text() + extra)
    assert "Power" not in run("summary", "net.prototxt").out
    assert "Power" in run("summary", "-stage=a", "-model", "net.prototxt").out


def test_wrong_command_lines(run, project):
    assert "Missing argument 'NET'" in run("summary").err
    result = run("summary", "net.prototxt", "--shape", "data=1,x")
    assert result.code == 2
    assert "--shape takes TOP=N,C,H,W, such as data=1,3,227,227; got 'data=1,x'." in result.err
    assert "error: --shape dta: no data layer has a top 'dta'." in run("summary", "net.prototxt", "--shape=dta=1").err


def test_count():
    assert [_count(n) for n in (0, 999, 1000, 724_406_816, 3.86e9, 2.5e12)] == [
        "0", "999", "1.0 k", "724.4 M", "3.9 G", "2.5 T",
    ]  # fmt: skip


def test_a_narrow_terminal_cuts_no_number(run, monkeypatch):
    real = output.console
    monkeypatch.setattr(output, "console", lambda *, stderr=False: narrow(real(stderr=stderr)))
    text = run("summary", MODELS / "googlenet" / "deploy.prototxt").out
    assert max(map(len, text.splitlines())) <= 80
    assert "6,998,552" in text
    assert "\u2026" not in text


def narrow(console):
    console._width = 80
    return console
