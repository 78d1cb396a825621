"""Training by SGD against least squares written out in NumPy: every setting of the update, and their combinations."""

from __future__ import annotations

import numpy as np
import pytest

from tests.solver.least_squares import MULTS, PLAIN, SHARED, compare, follows
from tests.solver.recorder import solver_of


def rule(param, t, rate, gradient, history):
    history[0] = param.momentum * history[0] + rate * gradient
    return history[0]


SETTINGS = {
    "plain": "",
    "rate": "base_lr: 0.2",
    "decay": "weight_decay: 0.5",
    "decay_l1": 'weight_decay: 0.5 regularization_type: "L1"',
    "momentum": "momentum: 0.5",
    "momentum_of_0.9": "momentum: 0.9 base_lr: 0.1",
    "clip": "clip_gradients: 0.5",
    "clip_that_does_not_bind": "clip_gradients: 1000",
    "clip_to_nothing": "clip_gradients: 0",
    "policy": 'lr_policy: "step" gamma: 0.5 stepsize: 2 base_lr: 0.1 momentum: 0.9',
    "everything": """lr_policy: "inv" gamma: 0.5 power: 0.75 base_lr: 0.1 weight_decay: 0.1 momentum: 0.9
        clip_gradients: 2""",
    "everything_l1": 'base_lr: 0.1 weight_decay: 0.1 momentum: 0.9 clip_gradients: 2 regularization_type: "L1"',
}
NAMED = ('param { name: "w" } param { name: "b" }', [(1, 1), (1, 1)])


@pytest.mark.parametrize("params", MULTS)
@pytest.mark.parametrize("settings", SETTINGS)
def test_an_update_is_the_formula(tmp_path, settings, params):
    follows(tmp_path, SETTINGS[settings], rule, params=MULTS[params])


@pytest.mark.parametrize("threads", [1, 2])
def test_in_float32(tmp_path, threads):
    follows(tmp_path, SETTINGS["everything"], rule, params=MULTS["mults"], dtype="float32", threads=threads)


def _for_the_sum(settings, iter_size):
    text = settings.replace("clip_gradients: 2", f"clip_gradients: {2 * iter_size}")
    return text.replace("clip_gradients: 0.5", f"clip_gradients: {0.5 * iter_size}")


@pytest.mark.parametrize("settings", ["everything", "everything_l1", "clip"])
@pytest.mark.parametrize("iter_size", [2, 4])
def test_small_batches_added_up_are_a_large_one(tmp_path, settings, iter_size):
    text = _for_the_sum(SETTINGS[settings], iter_size)
    follows(tmp_path, text, rule, params=MULTS["mults"], iter_size=iter_size)


@pytest.mark.parametrize("settings", ["plain", "everything", "everything_l1"])
@pytest.mark.parametrize("params", [NAMED, MULTS["mults"]], ids=["named", "mults"])
@pytest.mark.parametrize("iter_size", [1, 2])
def test_shared_weights_train_as_one_layer_does(tmp_path, settings, params, iter_size):
    text = _for_the_sum(SETTINGS[settings], iter_size)
    solver = follows(tmp_path, text, rule, net=SHARED, params=params, iter_size=iter_size)
    for own, other in zip(solver.net.params["ip"], solver.net.params["ip2"], strict=True):
        assert np.shares_memory(own.data, other.data)


def test_a_frozen_blob_stays_though_it_decays(tmp_path):
    params = "param { lr_mult: 0 decay_mult: 9 } param { lr_mult: 1 }"
    solver = solver_of(tmp_path, PLAIN % {"batch": 8, "params": params}, SETTINGS["everything"])
    before = [blob.data.copy() for blob in solver.net.params["ip"]]
    solver.step(3)
    assert solver.net.params["ip"][0].data.tobytes() == before[0].tobytes()
    assert not np.array_equal(solver.net.params["ip"][1].data, before[1])


def test_gradients_of_the_iteration_before_are_forgotten(tmp_path):
    solver = solver_of(tmp_path, PLAIN % {"batch": 8, "params": ""}, "")
    solver.net.params["ip"][0].diff[...] = 1e9
    compare(solver, MULTS["default"][1], 8, rule)


def test_the_clip_is_told(tmp_path, caplog):
    caplog.set_level("INFO", "caffepy")
    solver = solver_of(tmp_path, PLAIN % {"batch": 8, "params": ""}, "clip_gradients: 0.5")
    solver.step(1)
    line = next(record.getMessage() for record in caplog.records if "clipping" in record.getMessage())
    assert line.startswith("Gradient clipping: scaling down gradients (L2 norm ")
    assert " > 0.5) by scale factor " in line


def test_training_gets_somewhere(tmp_path):
    solver = solver_of(tmp_path, PLAIN % {"batch": 16, "params": ""}, "base_lr: 0.2 momentum: 0.9")
    solver.step(1)
    first = solver._losses[-1]
    solver.step(80)
    assert solver._losses[-1] < 0.02 < first
