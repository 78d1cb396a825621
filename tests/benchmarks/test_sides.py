"""What single sides and scripts compute: Caffe's memory and its log, pictures to read, the roofline's labels."""

from __future__ import annotations

import io
import re
import stat
import sys

import pytest
from PIL import Image

from caffepy.data.source import open_source
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net, read_solver
from tests.benchmarks.layers import Limits, Pass
from tests.benchmarks.machine import compile_modules
from tests.benchmarks.peak_memory import caffe_bytes
from tests.benchmarks.photographs import make_database
from tests.benchmarks.roofline import _labels, draw
from tests.benchmarks.sides.caffe_training import Side as CaffeSide

NET = """
layer { name: "in" type: "Input" top: "x" top: "t"
  input_param { shape { dim: 5 dim: 2 dim: 4 dim: 4 } shape { dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 3 kernel_size: 1 } }
layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }
layer { name: "flat" type: "Flatten" bottom: "c" top: "f" }
layer { name: "one" type: "InnerProduct" bottom: "f" top: "a" inner_product_param { num_output: 7 } }
layer { name: "two" type: "InnerProduct" bottom: "f" top: "b" inner_product_param { num_output: 7 } }
layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "s" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "s" bottom: "t" top: "loss" }
"""


def test_bytes_that_caffe_keeps():
    blobs, params = caffe_bytes(parse_net(NET)[0])
    inputs = 5 * 2 * 16 + 5  # no one asks for their diffs
    conv = 5 * 3 * 16  # data and diff; in place and flat it is the same memory, split in two only its data is
    scores = 5 * 7
    assert blobs == 4 * (inputs + 2 * conv + 2 * conv + 3 * 2 * scores + 2)
    assert params == 4 * 3 * (3 * 2 + 3 + 2 * (7 * 48 + 7))


@pytest.fixture
def caffe(tmp_path):
    """A program that logs as Caffe does; ``say`` sets what, and its exit code."""
    path = tmp_path / "caffe"

    def say(lines, code=0):
        text = "\n".join(f"I1124 {line}" for line in lines)
        path.write_text(f"#!{sys.executable}\nimport sys\nsys.stderr.write({text!r})\nsys.exit({code})\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    return say


LOG = [
    "23:59:58.000000    1 solver.cpp:272] Solving LeNet",
    "23:59:58.500000    1 solver.cpp:218] Iteration 0 (0 iter/s, 0s/1 iters), loss = 2.3",
    "23:59:58.600000    1 sgd_solver.cpp:105] Iteration 0, lr = 0.0001",
    "23:59:59.250000    1 solver.cpp:218] Iteration 1 (0.5 iter/s, 2s/1 iters), loss = 2.3",
    "00:00:01.000000    1 solver.cpp:218] Iteration 2 (0.5 iter/s, 2s/1 iters), loss = 2.3",
]


def test_caffes_step_is_read_off_its_log(caffe, tmp_path):
    side = CaffeSide(caffe(LOG), "lenet", 4, 1, str(tmp_path))
    assert side.step() == pytest.approx(1.75)
    assert side.parts()["peak"] > 1 << 20
    param, _ = read_solver(side.solver)
    assert (param.max_iter, param.display, param.solver_mode) == (3, 1, caffe_pb2.SolverParameter.CPU)
    data = param.net_param.layer[0]
    assert (data.type, list(data.dummy_data_param.shape[0].dim)) == ("DummyData", [4, 1, 28, 28])
    assert [filler.type for filler in data.dummy_data_param.data_filler] == ["constant"]


def test_caffe_that_fails_is_said(caffe, tmp_path):
    side = CaffeSide(caffe(LOG, 3), "lenet", 4, 1, str(tmp_path))
    with pytest.raises(RuntimeError, match=r"caffe ended with 3: I1124 23:59:58"):
        side.step()
    side = CaffeSide(caffe(LOG[:4]), "lenet", 4, 1, str(tmp_path))
    with pytest.raises(RuntimeError, match=r"showed 2 iterations of 3"):
        side.step()


def test_pictures_are_made_where_there_are_no_photographs(tmp_path):
    database, what = make_database(tmp_path / "none", tmp_path)
    assert re.fullmatch(r"96 generated JPEGs \(there is no folder of photographs\), \d+ KiB each", what)
    source = open_source(database)
    datum = caffe_pb2.Datum.FromString(source.read(0)[1])
    assert len(source) == 96
    source.close()
    assert datum.encoded
    assert Image.open(io.BytesIO(datum.data)).size == (256, 256)


def test_photographs_are_taken_where_there_are_some(tmp_path):
    folder = tmp_path / "cats"
    folder.mkdir()
    for name in ("b.jpg", "a.jpg"):
        Image.new("RGB", (230, 240)).save(folder / name)
    (folder / "c.txt").write_text("")
    _, what = make_database(folder, tmp_path)
    assert what == "2 JPEGs of cats, 1 KiB each"


def _pass(name, way, speed, intensity, seconds=1.0):
    return Pass(name, "Convolution", way, seconds, None, speed * 1e9 * seconds, speed * 1e9 * seconds / intensity)


def test_marks_that_lie_on_one_another_share_a_label():
    passes = [
        _pass("fc6", "forward", 100, 30),
        _pass("conv1", "forward", 100, 90),
        _pass("fc7", "forward", 104, 31),
        _pass("fc8", "forward", 130, 30),
    ]
    assert _labels(passes) == [
        ("fc6, fc7", pytest.approx(30), pytest.approx(102)),
        ("conv1", pytest.approx(90), pytest.approx(100)),
        ("fc8", pytest.approx(30), pytest.approx(130)),
    ]


def test_a_picture_is_drawn(tmp_path):
    passes = [
        _pass("conv1", "forward", 100, 90),
        _pass("conv1", "backward", 80, 60),
        Pass("relu1", "ReLU", "forward", 0.1, 0.2, 0, 1e6),
    ]
    path = tmp_path / "images" / "roof.png"
    draw(passes, Limits(2e11, 3e10), path, "a net")
    image = Image.open(path)
    assert image.format == "PNG"
    assert image.size == (1560, 840)
    # Marks and bars in both colours.
    colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
    assert {(0x1F, 0x77, 0xB4), (0xD9, 0x5F, 0x02)} <= colours


def test_modules_have_bytecode_even_where_python_keeps_none(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "one.py").write_text("x = 1")
    compile_modules(tmp_path)
    assert [path.name.split(".")[0] for path in (tmp_path / "__pycache__").glob("*.pyc")] == ["one"]
