"""AdaDelta: steps in the units of the weights, from running means of both."""

from __future__ import annotations

from caffepy.backend import Array
from caffepy.solver.solver import Solver, register_solver

__all__ = ["AdaDeltaSolver"]


@register_solver("AdaDelta")
class AdaDeltaSolver(Solver):
    """h = momentum * h + (1 - momentum) * g^2;  u = g * sqrt((s + delta) / (h + delta));
    s = momentum * s + (1 - momentum) * u^2;  w = w - rate * lr_mult * u.

    g = dw + weight_decay * decay_mult * R'(w), where R'(w) is w for L2 and sign(w) for L1. The paper's rule is
    base_lr: 1 with lr_policy: "fixed". Without ``momentum`` (the paper's rho) there is no mean, only the last gradient.

    Source: Caffe's src/caffe/solvers/adadelta_solver.cpp; Zeiler, ADADELTA: an adaptive learning rate method, 2012,
    arXiv:1212.5701.
    """

    #: All of h, then all of s: the order of Caffe's snapshots.
    history_count = 2

    def setup(self, bounds: list[tuple[int, int, float, float]]) -> None:
        self.adadelta = self.backend.ops.AdaDelta(self.backend, self.param.momentum, self.param.delta)
        self.adadelta.plan(bounds)

    def update(self, w: Array, dw: Array, history: list[Array], rate: Array, scale: Array) -> None:
        self.adadelta.update(w, dw, *history, rate, *self.penalty, scale)
