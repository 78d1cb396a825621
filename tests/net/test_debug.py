"""The lines of ``debug_info: true``, in the words that Caffe's log has."""

from __future__ import annotations

import logging
import math

import pytest

from caffepy.solver import get_solver
from tests.net.from_text import net_of
from tests.net.square_loss import SquareLoss

assert SquareLoss.loss

NET = """
    name: "debug" debug_info: true
    layer { name: "x" type: "DummyData" top: "x" top: "t"
      dummy_data_param { shape { dim: 1 dim: 2 } shape { dim: 1 dim: 1 }
        data_filler { type: "constant" value: -3 } data_filler { type: "constant" value: 1 } } }
    layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" param { name: "weights" } param { lr_mult: %s }
      inner_product_param { num_output: 1 weight_filler { type: "constant" value: 2 }
        bias_filler { type: "constant" value: 1 } } }
    layer { name: "loss" type: "SquareLoss" bottom: "ip" bottom: "t" top: "loss" }
"""


@pytest.fixture
def lines(caplog):
    """Collects what has been logged since it was called last."""
    caplog.set_level(logging.INFO, "caffepy")

    def take() -> list[str]:
        got = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return [line for line in got if line.startswith("    [")]

    return take


def test_forward_and_backward(lines):
    net = net_of(NET % 1)
    net.forward()
    # ip = 2 * -3 * 2 + 1 = -11; loss = (-11 - 1)^2 / 2 = 72
    assert lines() == [
        "    [Forward] Layer x, top blob x data: 3",
        "    [Forward] Layer x, top blob t data: 1",
        "    [Forward] Layer ip, top blob ip data: 11",
        "    [Forward] Layer ip, param blob weights data: 2",
        "    [Forward] Layer ip, param blob 1 data: 1",
        "    [Forward] Layer loss, top blob loss data: 72",
    ]
    net.backward()
    # d ip = -12; d weights = 36, 36; d bias = -12
    assert lines() == [
        "    [Backward] Layer loss, bottom blob ip diff: 12",
        "    [Backward] Layer ip, param blob 0 diff: 36",
        "    [Backward] Layer ip, param blob 1 diff: 12",
        "    [Backward] All net params (data, diff): L1 norm = (5, 84); "
        f"L2 norm = (3, {math.sqrt(36**2 * 2 + 12**2):g})",
    ]


def test_only_what_ran_is_told(lines):
    net = net_of(NET % 0)
    net.forward(end="x")
    assert len(lines()) == 2
    net.forward()
    lines()
    net.backward(start="ip")
    assert lines() == ["    [Backward] Layer ip, param blob 0 diff: 0"], "no frozen bias, and no totals of a part"
    net.debug_info = False
    net.forward()
    net.backward()
    assert lines() == []


SOLVER = """
    train_net: "{path}" test_net: "{path}" test_iter: 1 test_interval: 2 base_lr: 0.01 lr_policy: "fixed" display: 2
    debug_info: true snapshot_after_train: false random_seed: 1
"""


def test_a_solver_tells_at_display_and_in_every_test(tmp_path, lines):
    path = tmp_path / "net.prototxt"
    path.write_text(NET % 1)
    solver_path = tmp_path / "solver.prototxt"
    solver_path.write_text(SOLVER.format(path=path))
    solver = get_solver(solver_path)
    solver.step(1)
    got = lines()
    assert sum("[Forward]" in line for line in got) == 12, "the test net and the train net"
    assert got[-2:] == [
        "    [Update] Layer ip, param weights data: 2; diff: 0.36",
        "    [Update] Layer ip, param 1 data: 1; diff: 0.12",
    ]
    solver.step(1)
    assert lines() == [], "iteration 1 is not displayed, and the file's own debug_info does not count in training"
    solver.param.debug_info = False
    solver.step(1)
    assert all("[Forward]" in line for line in lines()), "the test net's was set at the start"
