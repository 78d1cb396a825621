"""RMSProp: steps divided by the root of a running mean of squared gradients."""

from __future__ import annotations

from caffepy.backend import Array
from caffepy.proto import caffe_pb2
from caffepy.proto.text import Lines
from caffepy.solver.settings import refuse_momentum, refused
from caffepy.solver.solver import Solver, register_solver

__all__ = ["RMSPropSolver"]


@register_solver("RMSProp")
class RMSPropSolver(Solver):
    """h = rms_decay * h + (1 - rms_decay) * g^2;  w = w - rate * lr_mult * g / (sqrt(h) + delta).

    g = dw + weight_decay * decay_mult * R'(w), where R'(w) is w for L2 and sign(w) for L1; h is a snapshot's history.
    ``momentum`` is refused, and an ``rms_decay`` outside of [0, 1).

    Source: Caffe's src/caffe/solvers/rmsprop_solver.cpp; Tieleman and Hinton, Lecture 6.5 - rmsprop, Coursera 2012.
    """

    @classmethod
    def check(cls, param: caffe_pb2.SolverParameter, lines: Lines) -> None:
        super().check(param, lines)
        refuse_momentum(param, lines)
        if not 0 <= param.rms_decay < 1:
            raise refused(
                lines,
                "rms_decay",
                f"rms_decay should lie between 0 and 1; got {param.rms_decay:g}. 1 itself is refused, as by Caffe.",
            )

    def setup(self, bounds: list[tuple[int, int, float, float]]) -> None:
        self.rmsprop = self.backend.ops.RMSProp(self.backend, self.param.rms_decay, self.param.delta)
        self.rmsprop.plan(bounds)

    def update(self, w: Array, dw: Array, history: list[Array], rate: Array, scale: Array) -> None:
        self.rmsprop.update(w, dw, history[0], rate, *self.penalty, scale)
