"""Training by SGD against least squares written out in NumPy: every setting of the update, and their combinations."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.solver.lr_policy import learning_rate
from tests.net.square_loss import SquareLoss
from tests.solver.recorder import solver_of
from tests.solver.rows import FEATURES, TABLE, TARGETS, Rows

assert SquareLoss.loss
assert Rows.tops

IP = """inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 1 }
      bias_filler { type: "gaussian" std: 1 } }"""

PLAIN = (
    """
    layer { name: "rows" type: "Rows" top: "x" top: "t" data_param { batch_size: %(batch)d } }
    layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" %(params)s """
    + IP
    + """ }
    layer { name: "loss" type: "SquareLoss" bottom: "y" bottom: "t" top: "loss" }
"""
)

SHARED = (
    """
    layer { name: "rows" type: "Rows" top: "x" top: "t" data_param { batch_size: %(batch)d } }
    layer { name: "slice" type: "Slice" bottom: "x" top: "x1" top: "x2" slice_param { axis: 0 } }
    layer { name: "ip" type: "InnerProduct" bottom: "x1" top: "y1" %(params)s """
    + IP
    + """ }
    layer { name: "ip2" type: "InnerProduct" bottom: "x2" top: "y2" %(params)s """
    + IP
    + """ }
    layer { name: "concat" type: "Concat" bottom: "y1" bottom: "y2" top: "y" concat_param { axis: 0 } }
    layer { name: "loss" type: "SquareLoss" bottom: "y" bottom: "t" top: "loss" }
"""
)

STEPS = 6


class LeastSquares:
    """loss = sum((x w^T + b - t)^2) / (2 N), by the rule in the docstring of `caffepy.solver.sgd.SGDSolver`."""

    def __init__(self, solver, mults):
        self.param = solver.param
        self.params = [blob.data.astype(np.float64).copy() for blob in solver.net.params["ip"]]
        self.history = [np.zeros_like(value) for value in self.params]
        self.mults = mults
        self.losses = []

    def gradients(self, rows):
        w, b = self.params
        x, t = TABLE[rows], TARGETS[rows]
        difference = x @ w.T + b - t
        self.losses.append((difference**2).sum() / (2 * len(rows)))
        return [difference.T @ x / len(rows), difference.sum(0) / len(rows)]

    def step(self, iteration, rows):
        param = self.param
        gradients = self.gradients(rows)
        norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients)) * param.iter_size
        clip = min(1, param.clip_gradients / norm) if param.clip_gradients >= 0 else 1
        rate = learning_rate(param, iteration)
        for i, (lr_mult, decay_mult) in enumerate(self.mults):
            value = self.params[i]
            penalty = np.sign(value) if param.regularization_type == "L1" else value
            gradient = gradients[i] * clip + param.weight_decay * decay_mult * penalty
            self.history[i] = param.momentum * self.history[i] + rate * lr_mult * gradient
            self.params[i] = value - self.history[i]


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
PARAMS = {
    "default": ("", [(1, 1), (1, 1)]),
    "mults": (
        'param { name: "w" lr_mult: 0.5 decay_mult: 3 } param { name: "b" lr_mult: 2 decay_mult: 0 }',
        [(0.5, 3), (2, 0)],
    ),
}
NAMED = ('param { name: "w" } param { name: "b" }', [(1, 1), (1, 1)])


def _compare(solver, mults, batch):
    expected = LeastSquares(solver, mults)
    seen = []
    for iteration in range(STEPS):
        rows = (iteration * batch + np.arange(batch)) % len(TABLE)
        expected.step(iteration, rows)
        solver.step(1)
        seen.append(solver._losses[-1])
    blobs = solver.net.params["ip"]
    tight = {"rtol": 1e-9, "atol": 1e-12} if blobs[0].data.dtype == np.float64 else {"rtol": 2e-4, "atol": 2e-5}
    for blob, value, history in zip(blobs, expected.params, expected.history, strict=True):
        np.testing.assert_allclose(blob.data, value, **tight)
        np.testing.assert_allclose(blob.diff, history, **tight)
    for blob, history in zip(solver.history_blobs(), expected.history, strict=True):
        np.testing.assert_allclose(blob, history, **tight)
    np.testing.assert_allclose(seen, expected.losses, **tight)


@pytest.mark.parametrize("params", PARAMS)
@pytest.mark.parametrize("settings", SETTINGS)
def test_an_update_is_the_formula(tmp_path, settings, params):
    text, mults = PARAMS[params]
    net = PLAIN % {"batch": 8, "params": text}
    solver = solver_of(tmp_path, net, SETTINGS[settings], backend=get_backend("cpu", "float64"))
    assert solver.net.params["ip"][0].shape == (2, FEATURES)
    _compare(solver, mults, 8)


@pytest.mark.parametrize("threads", [1, 2])
def test_in_float32(tmp_path, threads):
    text, mults = PARAMS["mults"]
    net = PLAIN % {"batch": 8, "params": text}
    solver = solver_of(tmp_path, net, SETTINGS["everything"], backend=get_backend("cpu", "float32", threads))
    _compare(solver, mults, 8)


@pytest.mark.parametrize("settings", ["everything", "everything_l1", "clip"])
@pytest.mark.parametrize("iter_size", [2, 4])
def test_small_batches_added_up_are_a_large_one(tmp_path, settings, iter_size):
    text, mults = PARAMS["mults"]
    net = PLAIN % {"batch": 8 // iter_size, "params": text}
    text = f"{SETTINGS[settings]} iter_size: {iter_size}"
    if "clip" in settings or "everything" in settings:
        # Caffe clips the sum of the sub-batches, before it divides by iter_size: the limit scales with it.
        text = text.replace("clip_gradients: 2", f"clip_gradients: {2 * iter_size}")
        text = text.replace("clip_gradients: 0.5", f"clip_gradients: {0.5 * iter_size}")
    solver = solver_of(tmp_path, net, text, backend=get_backend("cpu", "float64"))
    _compare(solver, mults, 8)


@pytest.mark.parametrize("settings", ["plain", "everything", "everything_l1"])
@pytest.mark.parametrize("params", [NAMED, PARAMS["mults"]], ids=["named", "mults"])
@pytest.mark.parametrize("iter_size", [1, 2])
def test_shared_weights_train_as_one_layer_does(tmp_path, settings, params, iter_size):
    net = SHARED % {"batch": 8 // iter_size, "params": params[0]}
    text = f"{SETTINGS[settings]} iter_size: {iter_size}".replace(
        "clip_gradients: 2", f"clip_gradients: {2 * iter_size}"
    )
    solver = solver_of(tmp_path, net, text, backend=get_backend("cpu", "float64"))
    assert len(solver.net.learnable_params) == 2
    _compare(solver, params[1], 8)
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
    _compare(solver, PARAMS["default"][1], 8)


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
