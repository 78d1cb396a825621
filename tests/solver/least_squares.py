"""Least squares trained in plain NumPy, by any rule of update, beside a solver that should do the same."""

from __future__ import annotations

import numpy as np

from caffepy.devices import get_backend
from caffepy.solver.lr_policy import learning_rate
from tests.net.square_loss import SquareLoss
from tests.solver.recorder import solver_of
from tests.solver.rows import FEATURES, TABLE, TARGETS, Rows

__all__ = ["MULTS", "PLAIN", "SHARED", "STEPS", "compare", "follows"]

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

#: A layer's ``param`` blocks, and lr_mult and decay_mult of weights and bias.
MULTS = {
    "default": ("", [(1, 1), (1, 1)]),
    "mults": (
        'param { name: "w" lr_mult: 0.5 decay_mult: 3 } param { name: "b" lr_mult: 2 decay_mult: 0 }',
        [(0.5, 3), (2, 0)],
    ),
}


class LeastSquares:
    """loss = sum((x w^T + b - t)^2) / (2 N).

    ``rule(param, t, rate, gradient, history)`` is the step of one blob in update number ``t``, from 1: ``history`` is a
    list of arrays, which it changes, and ``gradient`` has its penalty.
    """

    def __init__(self, solver, mults, rule):
        self.param = solver.param
        self.params = [blob.data.astype(np.float64).copy() for blob in solver.net.params["ip"]]
        self.history = [[np.zeros_like(value) for _ in solver.history] for value in self.params]
        self.steps = [None, None]
        self.mults, self.rule = mults, rule
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
            self.steps[i] = self.rule(param, iteration + 1, rate * lr_mult, gradient, self.history[i])
            self.params[i] = value - self.steps[i]


def compare(solver, mults, batch, rule):
    """Train both for `STEPS`: weights, diffs, histories in the order of snapshots, and losses agree."""
    expected = LeastSquares(solver, mults, rule)
    seen = []
    for iteration in range(STEPS):
        rows = (iteration * batch + np.arange(batch)) % len(TABLE)
        expected.step(iteration, rows)
        solver.step(1)
        seen.append(solver._losses[-1])
    blobs = solver.net.params["ip"]
    tight = {"rtol": 1e-9, "atol": 1e-12} if blobs[0].data.dtype == np.float64 else {"rtol": 2e-4, "atol": 2e-5}
    for blob, value, step in zip(blobs, expected.params, expected.steps, strict=True):
        np.testing.assert_allclose(blob.data, value, **tight)
        np.testing.assert_allclose(blob.diff, step, **tight)
    ordered = [arrays[kind] for kind in range(len(solver.history)) for arrays in expected.history]
    for blob, history in zip(solver.history_blobs(), ordered, strict=True):
        np.testing.assert_allclose(blob, history, **tight)
    np.testing.assert_allclose(seen, expected.losses, **tight)


def follows(folder, settings, rule, net=PLAIN, params=MULTS["default"], iter_size=1, dtype="float64", threads=None):
    """Whether the solver of ``settings`` is least squares by ``rule``; gives it."""
    text, mults = params
    # Caffe clips the sum of the sub-batches, before it divides by iter_size: a limit is given for that sum.
    settings = f"{settings} iter_size: {iter_size}"
    source = net % {"batch": 8 // iter_size, "params": text}
    solver = solver_of(folder, source, settings, backend=get_backend("cpu", dtype, threads))
    assert solver.net.params["ip"][0].shape == (2, FEATURES)
    assert len(solver.net.learnable_params) == 2
    compare(solver, mults, 8, rule)
    return solver
