"""Test nets during training: their weights, batches, states and outputs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.solver.recorder import Recorder, solver_of
from tests.solver.rows import TABLE, TARGETS
from tests.solver.small_nets import NET, NOISY, run


def test_a_test_is_the_mean_over_its_batches_with_the_weights_of_the_train_net(tmp_path):
    recorder = Recorder()
    settings = "test_interval: 2 test_iter: 3 test_compute_loss: true base_lr: 0.1"
    solver = solver_of(tmp_path, NET, settings, recorder)
    solver.step(4)
    # Before iteration 2; the second test reads on where the first stopped: batches 3, 4, 5.
    other = solver_of(tmp_path, NET, settings.replace("test_iter: 3", "test_iter: 1"))
    other.step(2)
    w, b = (blob.data for blob in other.net.params["ip"])
    rows = np.arange(12, 24)
    y = TABLE[rows] @ w.T + b
    loss = ((y - TARGETS[rows]) ** 2).sum() / 24
    first, second = recorder.of("test")
    assert second.loss == pytest.approx(2 * loss, rel=1e-5)
    assert [(output.name, output.weight) for output in second.outputs] == [("aside", 0)] * 8 + [("loss", 2)]
    assert second.outputs[-1].value == pytest.approx(loss, rel=1e-5)
    means = y.reshape(3, 8).mean(0)
    assert [output.value for output in second.outputs[:8]] == pytest.approx(list(means), rel=1e-4, abs=1e-5)
    assert first.outputs != second.outputs
    assert second.seconds > 0


def test_without_test_compute_loss_there_is_no_loss(tmp_path):
    _, recorder = run(tmp_path, "max_iter: 1 test_interval: 1 test_iter: 1")
    assert [event.loss for event in recorder.of("test")] == [None, None]


def test_testing_does_not_change_training(tmp_path):
    plain, _ = run(tmp_path, "max_iter: 5")
    tested, _ = run(tmp_path, "max_iter: 5 test_interval: 1 test_iter: 3 display: 1")
    for one, other in zip(plain.net.params["ip"], tested.net.params["ip"], strict=True):
        assert one.data.tobytes() == other.data.tobytes()


def test_several_test_nets_each_with_its_batches_and_stages(tmp_path):
    net = (
        NET
        + """
        layer { name: "extra" type: "Power" bottom: "t" top: "extra" include { phase: TEST stage: "more" } }"""
    )
    settings = """max_iter: 2 test_interval: 2 test_iter: 1 test_iter: 2 test_state { stage: "more" } test_state { }"""
    solver, recorder = run(tmp_path, settings, net)
    assert [("extra" in one.blobs) for one in solver.test_nets] == [True, False]
    assert recorder.of("test_begin") == [(0, 0), (0, 1), (2, 0), (2, 1)]
    assert [(event.iter, event.net, len(event.outputs)) for event in recorder.of("test")] == [
        (0, 0, 17), (0, 1, 9), (2, 0, 17), (2, 1, 9),
    ]  # fmt: skip
    # Net 0 has read batches 0 and 1 by now, net 1 batches 0 to 3.
    assert recorder.of("test")[2].outputs[8].name == "extra"
    assert recorder.of("test")[2].outputs[8].value == pytest.approx(TARGETS[4, 0], rel=1e-5)


def test_layers_that_only_the_test_net_has_are_filled(tmp_path):
    net = (
        NET
        + """
        layer { name: "own" type: "Scale" bottom: "y" top: "own" include { phase: TEST }
          scale_param { filler { type: "constant" value: 3 } } }"""
    )
    solver, recorder = run(tmp_path, "max_iter: 1 test_interval: 1 test_iter: 1", net)
    values = {name: [o.value for o in recorder.of("test")[1].outputs if o.name == name] for name in ("aside", "own")}
    assert values["own"] == pytest.approx([3 * value for value in values["aside"]], rel=1e-6)
    assert any(values["own"])
    assert "own" not in solver.net.params


@pytest.mark.parametrize("count", [0, -1])
def test_a_test_of_no_batches_has_no_outputs(tmp_path, count):
    """``test_iter: 0`` is how published solvers make a test net that others run."""
    settings = f"max_iter: 2 test_interval: 1 test_iter: {count} test_compute_loss: true display: 1"
    solver, recorder = run(tmp_path, settings)
    assert [event.outputs for event in recorder.of("test")] == [[], [], []]
    assert all(math.isnan(event.loss) for event in recorder.of("test"))
    assert "aside" in solver.test_nets[0].blobs
    _, recorder = run(tmp_path, settings.replace("test_compute_loss: true", ""))
    assert [event.loss for event in recorder.of("test")] == [None] * 3


@pytest.mark.parametrize("settings", ["", "test_initialization: false"])
def test_tests_by_hand_before_the_first_one_that_falls_due(tmp_path, settings):
    """They read from the start, wherever that is."""
    solver = solver_of(tmp_path, NOISY, f"test_interval: 4 test_iter: 2 {settings}")
    (loss,) = solver.test(0).outputs
    assert solver.test_nets[0].counter.value == 2
    assert solver.test(0).outputs == [loss]
    solver.step(4)
    solver.test(0)
    assert solver.test_nets[0].counter.value == (2 if settings else 4)
