"""AdaGrad: steps that shrink with the gradients seen so far."""

from __future__ import annotations

from caffepy.backend import Array
from caffepy.proto import caffe_pb2
from caffepy.proto.text import Lines
from caffepy.solver.settings import refuse_momentum
from caffepy.solver.solver import Solver, register_solver

__all__ = ["AdaGradSolver"]


@register_solver("AdaGrad")
class AdaGradSolver(Solver):
    """h = h + g^2;  w = w - rate * lr_mult * g / (sqrt(h) + delta).

    g = dw + weight_decay * decay_mult * R'(w), where R'(w) is w for L2 and sign(w) for L1; h is a snapshot's history.
    ``momentum`` is refused.

    Source: Caffe's src/caffe/solvers/adagrad_solver.cpp; Duchi, Hazan and Singer, Adaptive subgradient methods for
    online learning and stochastic optimization, JMLR 12, 2011.
    """

    @classmethod
    def check(cls, param: caffe_pb2.SolverParameter, lines: Lines) -> None:
        super().check(param, lines)
        refuse_momentum(param, lines)

    def setup(self, bounds: list[tuple[int, int, float, float]]) -> None:
        self.adagrad = self.backend.ops.AdaGrad(self.backend, self.param.delta)
        self.adagrad.plan(bounds)

    def update(self, w: Array, dw: Array, history: list[Array], rate: Array, scale: Array) -> None:
        self.adagrad.update(w, dw, history[0], rate, *self.penalty, scale)
