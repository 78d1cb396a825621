"""The update of AdaDelta, for all parameters at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._jit import kernel
from caffepy.cpu._segments import Segments

__all__ = ["AdaDelta"]


class AdaDelta:
    """One pass over the flat buffers of all parameters (Caffe's adadelta_solver.cpp)::

        g         = scale * dw + weight_decay * decay_mult * (w, or sign(w) for L1)
        gradients = momentum * gradients + (1 - momentum) * g^2
        u         = g * sqrt((steps + delta) / (gradients + delta))
        steps     = momentum * steps + (1 - momentum) * u^2
        dw        = rate * lr_mult * u
        w        -= dw

    The rate is Caffe's; the paper has none.

    Args:
        backend: the CPU.
        momentum: share of the previous means in the new ones.
        delta: keeps the divisor from zero, and lets the first step be taken; added before the root.
    """

    def __init__(self, backend: Backend, momentum: float, delta: float) -> None:
        self._segments = Segments(backend)
        self._numbers = (momentum, 1 - momentum, delta)

    def plan(self, bounds: Sequence[tuple[int, int, float, float]]) -> None:
        """Take the parameters, each ``(begin, end, lr_mult, decay_mult)`` in the flat buffers; gaps are left alone."""
        self._segments.plan(bounds)

    def update(
        self,
        w: Array,
        dw: Array,
        gradients: Array,
        steps: Array,
        rate: Array,
        weight_decay: float,
        l1: bool,
        scale: Array,
    ) -> None:
        """Change ``w``, ``dw``, ``gradients`` and ``steps``, flat and of equal size, in place.

        Args:
            w: parameters.
            dw: their gradients; afterwards the step that was taken, as in Caffe.
            gradients: running mean of squared gradients; zeros before the first update.
            steps: running mean of squared steps at rate 1; zeros before the first update.
            rate: learning rate, an array of one element, of which a device reads what it is by then.
            weight_decay: factor of the penalty's gradient.
            l1: the penalty is the sum of ``|w|`` rather than half that of ``w^2``.
            scale: factor of gradients, of clipping and of ``1 / iter_size``: an array of one element too.
        """
        self._segments.update(_update, rate, weight_decay, l1, scale, self._numbers, w, dw, gradients, steps)


# An unsigned index cannot be negative, so numba adds no test for wrapping round and the loops vectorise.
@kernel
def _update(
    begins: Array,
    ends: Array,
    mults: Array,
    rate: float,
    weight_decay: float,
    scale: float,
    l1: bool,
    momentum: float,
    fresh: float,
    delta: float,
    w: Array,
    dw: Array,
    gradients: Array,
    steps: Array,
) -> None:
    for piece in range(begins.size):
        local_rate = rate * mults[piece, 0]
        local_decay = weight_decay * mults[piece, 1]
        for i in range(np.uintp(begins[piece]), np.uintp(ends[piece])):
            value = w[i]
            g = scale * dw[i] + local_decay * (np.sign(value) if l1 else value)
            square = momentum * gradients[i] + fresh * (g * g)
            size = steps[i]
            u = g * np.sqrt((size + delta) / (square + delta))
            step = local_rate * u
            gradients[i] = square
            steps[i] = momentum * size + fresh * (u * u)
            dw[i] = step
            w[i] = value - step
