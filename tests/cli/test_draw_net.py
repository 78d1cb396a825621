"""caffepy draw-net: options and kinds of file; what pictures hold is tested in tests/drawing and tests/pycaffe."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

MODELS = Path(__file__).resolve().parents[2] / "models"


def text_of(path):
    return path.read_text(encoding="utf-8")


def test_googlenet_fits_a_page_in_each_kind(run, tmp_path):
    net = MODELS / "googlenet" / "deploy.prototxt"
    for name in ("g.png", "g.svg", "g.dot"):
        result = run("draw_net", net, tmp_path / name)
        assert (result.code, result.out, result.err) == (0, "", f"Drawing net to {tmp_path / name}\n")
    with Image.open(tmp_path / "g.png") as image:
        width, height = image.size
    # Within a sheet's proportions, upright or not, give or take.
    assert 0.5 < width / height < 2.0
    assert "inception_4a" in text_of(tmp_path / "g.svg")
    assert text_of(tmp_path / "g.dot").startswith('digraph "GoogleNet"')


def test_phase_rankdir_and_rates(run, project):
    assert run("draw-net", "net.prototxt", "all.dot").code == 0
    assert "(Accuracy)" in text_of(project / "all.dot")
    assert "rankdir=LR" in text_of(project / "all.dot")
    assert run("draw-net", "--phase=TRAIN", "-rankdir", "TB", "net.prototxt", "train.dot").code == 0
    assert "(Accuracy)" not in text_of(project / "train.dot")
    assert "rankdir=TB" in text_of(project / "train.dot")
    net = MODELS / "lenet" / "train_val.prototxt"
    for flags, written in ((["--display_lrm"], True), ([], False)):
        assert run("draw-net", net, "lenet.svg", *flags).code == 0
        assert ("lr mult: 1, 2" in text_of(project / "lenet.svg")) == written


def test_shapes_are_on_the_edges(run, tmp_path):
    assert run("draw-net", MODELS / "alexnet" / "train_val.prototxt", tmp_path / "a.svg").code == 0
    assert "96x55x55" in text_of(tmp_path / "a.svg")


def test_errors(run, project):
    result = run("draw-net", "net.prototxt", "net.jpg")
    assert result.code == 1
    assert "pictures are png or svg, and dot is text for Graphviz; got '.jpg'" in result.err
    assert run("draw-net", "net.prototxt").code == 2
    assert run("draw-net", "net.prototxt", "n.svg", "--rankdir=RL").code == 2
    result = run("draw-net", "net.prototxt", "no/n.svg")
    assert result.code == 1
    assert "No such file or directory" in result.err
    assert run("draw-net", "nte.prototxt", "n.svg").code == 1
    assert not (project / "net.jpg").exists()
