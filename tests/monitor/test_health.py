"""The warning of a loss that is stuck at 87.3365."""

from __future__ import annotations

import logging

import pytest

from caffepy.monitor.health import Health
from caffepy.solver.observer import Display, Iteration, Output
from caffepy.solver.observer import TestResult as Result
from tests.monitor import fake_run
from tests.solver.recorder import solver_of

STUCK = 87.3365


def watched(*losses, rate=0.01):
    """A `Health` that watches a net with SoftmaxWithLoss layers of these (name, weight), and the solver."""
    solver = fake_run.solver(base_lr=rate)
    solver.net.entries += [fake_run.entry("SoftmaxWithLoss", [name], weights=[weight]) for name, weight in losses]
    health = Health()
    health.on_begin(solver)
    return health


@pytest.fixture
def told(caplog):
    """Gives the warnings so far."""
    caplog.set_level(logging.WARNING, "caffepy")
    return lambda: [text for text in caplog.messages if "FLT_MIN" in text]


def test_a_loss_that_stays_at_it_is_told_once(told):
    health = watched(("loss", 1), rate=0.04)
    for i, loss in enumerate([2.3, STUCK, 5.0, STUCK + 0.004, STUCK - 0.004, STUCK, 1.0, STUCK, STUCK]):
        assert not told() or i > 4
        health.on_iteration(Iteration(i, loss))
    (text,) = told()
    assert text.startswith("Iteration 4: loss = 87.3325. 87.3365 is -log(FLT_MIN): ")
    assert "a lower base_lr (a tenth of 0.04)" in text
    for what in ("labels are 0 to num_output - 1", "the mean is subtracted", "snapshot before"):
        assert what in text


@pytest.mark.parametrize("values", [[87.3], [87.35, 87.35], [87.33, 87.33], [0.0, 0.0], [float("nan")] * 3])
def test_other_losses_are_not(told, values):
    health = watched(("loss", 1))
    for i, loss in enumerate(values):
        health.on_iteration(Iteration(i, loss))
        health.on_display(Display(i, loss, 0.01, [Output("loss", loss, 1.0), Output("other", STUCK, 1.0)], 1, 1, 0))
    assert told() == []


def test_several_losses_by_their_weights(told):
    health = watched(("loss1", 0.3), ("loss2", 0.3), ("loss3", 1))
    for i in range(2):
        health.on_iteration(Iteration(i, STUCK))
    assert told() == []
    for i in range(2, 4):
        health.on_iteration(Iteration(i, 1.6 * STUCK))
    assert len(told()) == 1


def test_one_of_several_losses_is_seen_at_a_display_or_a_test(told):
    outputs = [Output("loss1", 1.0, 0.3), Output("loss2", STUCK, 0.3)]
    watched(("loss1", 0.3), ("loss2", 0.3)).on_display(Display(20, 26.5, 0.01, outputs, 1, 20, 0))
    watched(("loss1", 0.3), ("loss2", 0.3)).on_test(Result(40, 0, outputs, None, 1))
    assert [text[:33] for text in told()] == [
        "Iteration 20: loss2 = 87.3365. 87",
        "Iteration 40: loss2 = 87.3365. 87",
    ]


def test_a_net_without_softmax_has_no_such_sign(told):
    health = watched()
    for i in range(3):
        health.on_iteration(Iteration(i, 0.0))
        health.on_iteration(Iteration(i, STUCK))
    assert told() == []


def test_a_run_that_does_diverge(tmp_path, told):
    net = """
        layer { name: "x" type: "DummyData" top: "x" top: "t" dummy_data_param {
          shape { dim: 4 dim: 6 } data_filler { type: "constant" value: 1000 }
          shape { dim: 4 } data_filler { type: "constant" value: 2 } } }
        layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
          inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 0.1 } } }
        layer { name: "flip" type: "Power" bottom: "y" top: "z" power_param { scale: -1 } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "z" bottom: "t" top: "loss" }
    """
    solver = solver_of(tmp_path, net, 'base_lr: 0 lr_policy: "fixed" max_iter: 3', Health())
    solver.net.params["ip"][0].data[...] = 0
    solver.net.params["ip"][0].data[2] = 1
    solver.solve()
    assert len(told()) == 1
