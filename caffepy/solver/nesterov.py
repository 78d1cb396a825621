"""Nesterov: SGD that looks ahead by the momentum."""

from __future__ import annotations

from caffepy.backend import Array
from caffepy.solver.solver import Solver, register_solver

__all__ = ["NesterovSolver"]


@register_solver("Nesterov")
class NesterovSolver(Solver):
    """h' = momentum * h + rate * lr_mult * g;  w = w - ((1 + momentum) * h' - momentum * h).

    g = dw + weight_decay * decay_mult * R'(w), where R'(w) is w for L2 and sign(w) for L1; h is the velocity before, h'
    the one after, which is a snapshot's history.

    Source: Caffe's src/caffe/solvers/nesterov_solver.cpp; Sutskever, Martens, Dahl and Hinton, On the importance of
    initialization and momentum in deep learning, ICML 2013.
    """

    def setup(self, bounds: list[tuple[int, int, float, float]]) -> None:
        self.nesterov = self.backend.ops.Nesterov(self.backend, self.param.momentum)
        self.nesterov.plan(bounds)

    def update(self, w: Array, dw: Array, history: list[Array], rate: Array, scale: Array) -> None:
        self.nesterov.update(w, dw, history[0], rate, *self.penalty, scale)
