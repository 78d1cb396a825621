"""Adam: running means of gradients and of their squares, corrected for their start at zero."""

from __future__ import annotations

import numpy as np

from caffepy.backend import Array
from caffepy.solver.solver import Solver, register_solver

__all__ = ["AdamSolver", "correction"]


@register_solver("Adam")
class AdamSolver(Solver):
    """m = momentum * m + (1 - momentum) * g;  v = momentum2 * v + (1 - momentum2) * g^2;
    w = w - rate * lr_mult * sqrt(1 - momentum2^t) / (1 - momentum^t) * m / (sqrt(v) + delta).

    g = dw + weight_decay * decay_mult * R'(w), where R'(w) is w for L2 and sign(w) for L1; t = iter + 1 counts updates.
    The paper's beta1 and beta2 are ``momentum`` (0 unless given) and ``momentum2`` (0.999).

    Source: Caffe's src/caffe/solvers/adam_solver.cpp; Kingma and Ba, Adam: a method for stochastic optimization, ICLR
    2015, arXiv:1412.6980 (delta outside of the correction: the end of its section 2).
    """

    #: All of m, then all of v: the order of Caffe's snapshots.
    history_count = 2

    def setup(self, bounds: list[tuple[int, int, float, float]]) -> None:
        param = self.param
        self._means = (param.momentum, param.momentum2)
        self.adam = self.backend.ops.Adam(self.backend, *self._means, param.delta)
        self.adam.plan(bounds)

    def update(self, w: Array, dw: Array, history: list[Array], rate: Array, scale: Array) -> None:
        self.adam.update(w, dw, *history, rate, *self.penalty, scale)

    def step_size(self) -> float:
        return super().step_size() * correction(*self._means, self.iter + 1)


def correction(momentum: float, momentum2: float, t: int) -> float:
    """``sqrt(1 - momentum2^t) / (1 - momentum^t)``: what means that began at zero lack after ``t`` updates.

    The paper corrects v before its root is taken, so there delta counts as ``delta / sqrt(1 - momentum2^t)`` does here.
    For a momentum of 1 it is not finite, as in Caffe.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.sqrt(1 - np.float64(momentum2) ** t) / (1 - np.float64(momentum) ** t))
