"""SGD: stochastic gradient descent with momentum and weight decay."""

from __future__ import annotations

from caffepy.backend import Array
from caffepy.solver.solver import Solver, register_solver

__all__ = ["SGDSolver"]


@register_solver("SGD")
class SGDSolver(Solver):
    """h = momentum * h + rate * lr_mult * (dw + weight_decay * decay_mult * R'(w));  w = w - h.

    R'(w) is w for L2 and sign(w) for L1. Source: Caffe's src/caffe/solvers/sgd_solver.cpp.
    """

    def setup(self, bounds: list[tuple[int, int, float, float]]) -> None:
        self.sgd = self.backend.ops.SGD(self.backend, self.param.momentum)
        self.sgd.plan(bounds)

    def update(self, w: Array, dw: Array, history: list[Array], rate: Array, scale: Array) -> None:
        self.sgd.update(w, dw, history[0], rate, *self.penalty, scale)
