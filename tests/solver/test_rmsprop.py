"""Training by RMSProp against least squares written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.errors import SolverError
from tests.solver.least_squares import MULTS, PLAIN, SHARED, follows
from tests.solver.recorder import solver_of
from tests.solver.resumed import goes_on_bit_for_bit

TYPE = 'type: "RMSProp"'


def rule(param, t, rate, gradient, history):
    history[0] = param.rms_decay * history[0] + (1 - param.rms_decay) * gradient**2
    return rate * gradient / (np.sqrt(history[0]) + param.delta)


SETTINGS = {
    "plain": "",
    "rate": "base_lr: 0.1",
    "rms_decay": "base_lr: 0.1 rms_decay: 0.5",
    "rms_decay_of_nothing": "base_lr: 0.1 rms_decay: 0 delta: 0.1",
    "delta": "base_lr: 0.1 delta: 0.25",
    "decay": "base_lr: 0.1 weight_decay: 0.5",
    "decay_l1": 'base_lr: 0.1 weight_decay: 0.5 regularization_type: "L1"',
    "clip": "base_lr: 0.1 clip_gradients: 0.5 delta: 0.25",
    "policy": 'lr_policy: "step" gamma: 0.5 stepsize: 2 base_lr: 0.1 delta: 0.1',
    "everything": """lr_policy: "inv" gamma: 0.5 power: 0.75 base_lr: 0.1 weight_decay: 0.1 rms_decay: 0.5 delta: 0.1
        clip_gradients: 2""",
}


@pytest.mark.parametrize("params", MULTS)
@pytest.mark.parametrize("settings", SETTINGS)
def test_an_update_is_the_formula(tmp_path, settings, params):
    follows(tmp_path, f"{TYPE} {SETTINGS[settings]}", rule, params=MULTS[params])


@pytest.mark.parametrize("threads", [1, 2])
def test_in_float32(tmp_path, threads):
    settings = f"{TYPE} {SETTINGS['everything']}"
    follows(tmp_path, settings, rule, params=MULTS["mults"], dtype="float32", threads=threads)


@pytest.mark.parametrize("iter_size", [2, 4])
def test_small_batches_added_up_are_a_large_one(tmp_path, iter_size):
    # Caffe clips the sum of the sub-batches, before it divides by iter_size.
    settings = SETTINGS["everything"].replace("clip_gradients: 2", f"clip_gradients: {2 * iter_size}")
    follows(tmp_path, f"{TYPE} {settings}", rule, params=MULTS["mults"], iter_size=iter_size)


def test_shared_weights_train_as_one_layer_does(tmp_path):
    follows(tmp_path, f"{TYPE} {SETTINGS['everything']}", rule, net=SHARED, params=MULTS["mults"])


def test_a_frozen_blob_stays_though_it_decays(tmp_path):
    params = "param { lr_mult: 0 decay_mult: 9 } param { lr_mult: 1 }"
    solver = solver_of(tmp_path, PLAIN % {"batch": 8, "params": params}, f"{TYPE} {SETTINGS['everything']}")
    before = [blob.data.copy() for blob in solver.net.params["ip"]]
    solver.step(3)
    assert solver.net.params["ip"][0].data.tobytes() == before[0].tobytes()
    assert not np.array_equal(solver.net.params["ip"][1].data, before[1])


def test_training_gets_somewhere(tmp_path):
    solver = solver_of(tmp_path, PLAIN % {"batch": 16, "params": ""}, f"{TYPE} base_lr: 0.02 rms_decay: 0.9")
    solver.step(1)
    first = solver._losses[-1]
    solver.step(150)
    assert solver._losses[-1] < 0.05 < first


@pytest.mark.parametrize("kind", ["BINARYPROTO", "HDF5"])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(tmp_path, kind):
    goes_on_bit_for_bit(tmp_path, f"{TYPE} {SETTINGS['everything']}", kind)


@pytest.mark.parametrize("momentum", ["0.9", "-0.5"])
def test_momentum_is_refused(tmp_path, momentum):
    net = PLAIN % {"batch": 8, "params": ""}
    with pytest.raises(SolverError, match=rf":3: Momentum cannot be used with RMSProp\. .*which is {momentum}\.\)"):
        solver_of(tmp_path, net, f"{TYPE}\nmomentum: {momentum}")
    solver_of(tmp_path, net, f"{TYPE} momentum: 0")


@pytest.mark.parametrize("rms_decay", ["1", "-0.25", "2", "nan"])
def test_rms_decay_is_at_least_0_and_less_than_1(tmp_path, rms_decay):
    match = rf"solver\.prototxt:3: rms_decay should lie between 0 and 1; got {rms_decay}\."
    with pytest.raises(SolverError, match=match):
        solver_of(tmp_path, PLAIN % {"batch": 8, "params": ""}, f"{TYPE}\nrms_decay: {rms_decay}")


def test_settings_of_other_types_are_read_and_have_no_effect(tmp_path):
    follows(tmp_path, f"{TYPE} {SETTINGS['everything']} momentum2: 0.5", rule)
