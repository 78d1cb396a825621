"""Training by Adam against least squares written out in NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffepy.errors import WeightsError
from caffepy.proto import caffe_pb2
from tests.solver.least_squares import MULTS, PLAIN, SHARED, follows
from tests.solver.recorder import solver_of
from tests.solver.resumed import goes_on_bit_for_bit

TYPE = 'type: "Adam"'


def rule(param, t, rate, gradient, history):
    history[0] = param.momentum * history[0] + (1 - param.momentum) * gradient
    history[1] = param.momentum2 * history[1] + (1 - param.momentum2) * gradient**2
    correction = np.sqrt(1 - param.momentum2**t) / (1 - param.momentum**t)
    return rate * correction * history[0] / (np.sqrt(history[1]) + param.delta)


SETTINGS = {
    "plain": "",
    "paper": "base_lr: 0.1 momentum: 0.9 momentum2: 0.999",
    "momentum": "base_lr: 0.1 momentum: 0.5",
    "momentum2": "base_lr: 0.1 momentum: 0.5 momentum2: 0.75",
    "delta": "base_lr: 0.1 momentum: 0.5 delta: 0.25",
    "decay": "base_lr: 0.1 momentum: 0.5 weight_decay: 0.5",
    "decay_l1": 'base_lr: 0.1 momentum: 0.5 weight_decay: 0.5 regularization_type: "L1"',
    "clip": "base_lr: 0.1 momentum: 0.5 clip_gradients: 0.5 delta: 0.25",
    "policy": 'lr_policy: "step" gamma: 0.5 stepsize: 2 base_lr: 0.1 momentum: 0.5',
    "everything": """lr_policy: "inv" gamma: 0.5 power: 0.75 base_lr: 0.1 weight_decay: 0.1 momentum: 0.75
        momentum2: 0.5 delta: 0.1 clip_gradients: 2""",
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
    solver = solver_of(tmp_path, PLAIN % {"batch": 16, "params": ""}, f"{TYPE} base_lr: 0.1 momentum: 0.9")
    solver.step(1)
    first = solver._losses[-1]
    solver.step(120)
    assert solver._losses[-1] < 0.05 < first


@pytest.mark.parametrize("kind", ["BINARYPROTO", "HDF5"])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(tmp_path, kind):
    goes_on_bit_for_bit(tmp_path, f"{TYPE} {SETTINGS['everything']}", kind)


def test_a_state_has_all_of_one_history_then_all_of_the_other(tmp_path):
    solver = solver_of(tmp_path, PLAIN % {"batch": 8, "params": ""}, f"{TYPE} {SETTINGS['everything']}")
    solver.step(2)
    state = caffe_pb2.SolverState.FromString(Path(solver.snapshot()[1]).read_bytes())
    shapes = [(2, 5), (2,)]
    assert [tuple(blob.shape.dim) for blob in state.history] == shapes + shapes
    for kind in (0, 1):
        stored = [value for blob in state.history[2 * kind : 2 * kind + 2] for value in blob.data]
        np.testing.assert_array_equal(np.float32(stored), solver.history[kind])
    assert solver.history[0].tobytes() != solver.history[1].tobytes()


def test_a_state_of_sgd_does_not_fit(tmp_path):
    net = PLAIN % {"batch": 8, "params": ""}
    _, state = solver_of(tmp_path, net, "").snapshot()
    with pytest.raises(WeightsError, match=r"Incorrect length of history blobs: 2 in the file, .*\(Adam\).* has 4"):
        solver_of(tmp_path, net, TYPE).restore(state)


def test_settings_of_other_types_are_read_and_have_no_effect(tmp_path):
    follows(tmp_path, f"{TYPE} {SETTINGS['everything']} rms_decay: 5", rule)
