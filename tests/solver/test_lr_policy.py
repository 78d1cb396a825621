"""Learning rates against the formulas, and the counting of steps against Caffe's own way of walking."""

from __future__ import annotations

import logging
import math

import pytest

from caffepy.errors import SolverError
from caffepy.proto import caffe_pb2
from caffepy.proto.text import Lines
from caffepy.solver.lr_policy import POLICIES, check_policy, current_step, learning_rate
from caffepy.solver.settings import check_settings


def _param(policy: str, **fields) -> caffe_pb2.SolverParameter:
    return caffe_pb2.SolverParameter(lr_policy=policy, **fields)


ITERATIONS = [0, 1, 2, 7, 8, 9, 10, 15, 16, 17, 99, 100, 101, 999, 1000]

CASES = [
    ("fixed", {"base_lr": 0.25}, lambda i: 0.25),
    ("step", {"base_lr": 0.5, "gamma": 0.5, "stepsize": 8}, lambda i: 0.5 * 0.5 ** math.floor(i / 8)),
    ("exp", {"base_lr": 2, "gamma": 0.75}, lambda i: 2 * 0.75**i),
    ("inv", {"base_lr": 0.5, "gamma": 0.25, "power": 0.75}, lambda i: 0.5 / (1 + 0.25 * i) ** 0.75),
    (
        "multistep",
        {"base_lr": 1, "gamma": 0.5, "stepvalue": [8, 16, 100]},
        lambda i: 0.5 ** sum(i >= value for value in (8, 16, 100)),
    ),
    ("poly", {"base_lr": 3, "power": 1.5, "max_iter": 1000}, lambda i: 3 * (1 - i / 1000) ** 1.5),
    ("poly", {"base_lr": 3, "power": 1, "max_iter": 100}, lambda i: 3 * max(1 - i / 100, 0)),
    ("sigmoid", {"base_lr": 4, "gamma": -0.125, "stepsize": 16}, None),
    ("sigmoid", {"base_lr": 4, "gamma": 0.125, "stepsize": 16}, lambda i: 4 / (1 + math.exp(-0.125 * (i - 16)))),
]


@pytest.mark.parametrize(("policy", "fields", "formula"), CASES)
def test_rates(policy, fields, formula):
    param = _param(policy, **fields)
    if formula is None:
        with pytest.raises(SolverError, match="needs gamma >= 0"):
            check_policy(param)
        return
    check_policy(param)
    for i in ITERATIONS:
        assert learning_rate(param, i) == pytest.approx(formula(i), rel=1e-6, abs=1e-300), f"iteration {i}"


def test_all_seven_policies_are_there():
    assert {policy for policy, _, _ in CASES} == set(POLICIES)


@pytest.mark.parametrize(
    "values", [[5, 9], [5, 5], [5, 6, 7], [0], [0, 0, 0], [9, 5], [9, 5, 12, 3], [], [30], [3, 3, 4, 4]]
)
def test_multistep_walks_as_caffe_walks(values):
    """Caffe takes at most one step an iteration, and looks at the next value only."""
    param = _param("multistep", base_lr=1, gamma=0.5, stepvalue=values)
    step = 0
    for i in range(40):
        if step < len(values) and i >= values[step]:
            step += 1
        assert current_step(param, i) == step, f"iteration {i}"
        assert learning_rate(param, i) == 0.5**step


def test_current_step_of_the_other_policies():
    assert [current_step(_param("step", base_lr=1, gamma=1, stepsize=3), i) for i in range(8)] == [
        0,
        0,
        0,
        1,
        1,
        1,
        2,
        2,
    ]
    for policy, fields, _ in CASES:
        if policy not in ("step", "multistep"):
            assert current_step(_param(policy, **fields), 500) == 0


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"lr_policy": "Step"}, r"Unknown learning rate policy: 'Step'\. Did you mean 'step'\?"),
        ({"lr_policy": "plateau"}, "Unknown learning rate policy: 'plateau'.* is one of fixed, step, exp, inv, multi"),
        ({}, "Unknown learning rate policy: '': lr_policy is not given. Add lr_policy: \"fixed\", or another of .*inv"),
        ({"lr_policy": "step", "gamma": 0.1}, r'lr_policy: "step" needs stepsize > 0 .*; got 0'),
        ({"lr_policy": "step", "gamma": 0.1, "stepsize": -3}, r"stepsize > 0 .*; got -3"),
        ({"lr_policy": "sigmoid", "gamma": 0.1}, r'lr_policy: "sigmoid" needs stepsize > 0'),
        ({"lr_policy": "step", "gamma": -1, "stepsize": 5}, r"needs gamma >= 0 .*; got -1"),
        ({"lr_policy": "exp", "gamma": -1}, r'lr_policy: "exp" needs gamma >= 0'),
        ({"lr_policy": "inv", "gamma": -1, "power": 1}, r'lr_policy: "inv" needs gamma >= 0'),
        ({"lr_policy": "multistep", "gamma": -1}, r'lr_policy: "multistep" needs gamma >= 0'),
        ({"lr_policy": "poly", "power": 1}, r'lr_policy: "poly" needs max_iter > 0; got 0'),
    ],
)
def test_settings_that_make_no_rate(fields, match):
    with pytest.raises(SolverError, match=match):
        check_policy(caffe_pb2.SolverParameter(**{"base_lr": 0.1, **fields}))


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({"lr_policy": "fixed"}, ["base_lr"]),
        ({"lr_policy": "step", "base_lr": 1, "stepsize": 5}, ["gamma"]),
        ({"lr_policy": "inv", "base_lr": 1}, ["gamma", "power"]),
        ({"lr_policy": "poly", "base_lr": 1, "max_iter": 4}, ["power"]),
        ({"lr_policy": "exp", "base_lr": 1, "gamma": 1}, []),
    ],
)
def test_settings_left_out_are_warned_of(fields, missing, caplog):
    caplog.set_level(logging.WARNING, "caffepy")
    check_policy(caffe_pb2.SolverParameter(**fields))
    assert len(caplog.records) == len(missing)
    for name, record in zip(missing, caplog.records, strict=True):
        assert f"uses the field '{name}', which is not given and so is 0" in record.getMessage()


def test_a_rate_that_no_number_can_hold_is_infinite():
    """Then the weights are spoiled at once and the run stops with their name, not with an error of arithmetic."""
    assert learning_rate(_param("exp", base_lr=1, gamma=10), 1000) == math.inf
    assert learning_rate(_param("step", base_lr=1, gamma=10, stepsize=1), 1000) == math.inf
    assert learning_rate(_param("poly", base_lr=1, power=-1, max_iter=10), 10) == math.inf
    assert learning_rate(_param("sigmoid", base_lr=1, gamma=1, stepsize=10000), 0) == 0


def test_settings_that_do_nothing_are_warned_of(caplog):
    param = caffe_pb2.SolverParameter(base_lr=0.1, lr_policy="fixed", test_interval=5)
    with caplog.at_level("WARNING", "caffepy"):
        check_settings(param, Lines.unknown())
    assert [record.getMessage() for record in caplog.records] == [
        "max_iter is not given and so is 0: solve makes no update.",
        "test_interval: 5 without test_iter tests nothing; test_iter: 100 is 100 batches a test.",
    ]
    caplog.clear()
    param.max_iter, param.test_interval = 1, 0
    check_settings(param, Lines.unknown())
    assert not caplog.records
