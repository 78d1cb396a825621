"""caffepy time: Caffe's lines for each layer, and medians on a terminal."""

from __future__ import annotations

import re

from caffepy.cli.time import _table
from caffepy.net.timing import LayerTiming, Timing


def test_caffes_lines(run, project):
    result = run("time", "-model", "net.prototxt", "-iterations", "3")
    assert (result.code, result.out) == (0, "")
    number = r"[\d.e-]+"
    patterns = [
        "Performing Forward",
        f"Initial loss: {number}",
        "Performing Backward",
        r"\*\*\* Benchmark begins \*\*\*",
    ]
    patterns += [r"Testing for 3 iterations\."]
    patterns += [rf"Iteration: {i} forward-backward time: {number} ms\." for i in (1, 2, 3)]
    patterns += ["Average time per layer: "]
    # The label goes to one reader in TRAIN, so there is no Split.
    for layer in ("    digits", "      flat", "     scale", "      loss"):
        patterns += [rf"{layer}\tforward: {number} ms\.", rf"{layer}\tbackward: {number} ms\."]
    patterns += [rf"Average {what}: {number} ms\." for what in ("Forward pass", "Backward pass", "Forward-Backward")]
    patterns += [
        rf"Total Time: {number} ms\.",
        rf"Matrix product: {number} GFLOP/s, at which the net's 0 GFLOP take 0 ms\.",
        r"\*\*\* Benchmark ends \*\*\*",
    ]
    assert len(result.lines) == len(patterns)
    for line, pattern in zip(result.lines, patterns, strict=True):
        assert re.fullmatch(pattern, line), (pattern, line)
    values = {line.split(": ")[0]: float(line.split(": ")[1].split()[0]) for line in result.lines[-6:-2]}
    assert abs(values["Total Time"] / 3 - values["Average Forward-Backward"]) < 1e-3 * values["Total Time"]
    assert (
        values["Average Forward pass"] + values["Average Backward pass"] <= 1.001 * values["Average Forward-Backward"]
    )


def test_phase(run, project):
    result = run("time", "-model=net.prototxt", "-iterations=1", "-phase=TEST")
    assert any("  accuracy\tforward:" in line for line in result.lines)
    assert run("time", "-model=net.prototxt", "-phase=BOTH").code == 2


def test_the_table_has_medians_and_holds_products_against_the_machine():
    timing = Timing(
        [
            LayerTiming("conv1", "Convolution", [1.0, 1.0, 100.0], [2.0, 3.0, 2.5], 1e8, 6e8),
            LayerTiming("d", "Data", [1.5] * 3),
        ],
        forward=[2.5, 2.5, 101.5], backward=[2.0, 3.0, 2.5], total=117.0, products=[4e11, 6e11],
    )  # fmt: skip
    rows = list(zip(*[list(column.cells) for column in _table(timing).columns], strict=True))
    assert rows == [
        ("conv1", "Convolution", "1.000", "2.500", "70.0 %", "200.0", "40.0 %"),
        ("d", "Data", "1.500", "", "30.0 %", "", ""),
        ("whole pass", "", "2.500", "2.500", "", "140.0", "28.0 %"),
        ("matrix product", "", "", "", "", "500.0", ""),
    ]


def test_with_weights(run, project):
    def initial_loss(*flags):
        lines = run("time", "-model=net.prototxt", "-iterations=1", *flags).lines
        return next(float(line.split(": ")[1]) for line in lines if line.startswith("Initial loss: "))

    assert run("train", "-solver=solver.prototxt").code == 0
    assert initial_loss("-weights", "out/tiny_iter_40.caffemodel") < initial_loss() / 2
    result = run("time", "-model=net.prototxt", "-weights=no.caffemodel")
    assert result.code == 1
    assert "Could not open file no.caffemodel" in result.err


def test_the_cpu_by_the_number_that_caffe_once_gave_it(run, project):
    result = run("time", "-model", "net.prototxt", "-iterations", "1", "-gpu", "-1")
    assert result.code == 0, result.err
