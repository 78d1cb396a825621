"""The update of Adam, for all parameters at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._jit import kernel
from caffepy.cpu._segments import Segments

__all__ = ["Adam"]


class Adam:
    """One pass over the flat buffers of all parameters (Caffe's adam_solver.cpp)::

        g   = scale * dw + weight_decay * decay_mult * (w, or sign(w) for L1)
        m   = momentum * m + (1 - momentum) * g
        v   = momentum2 * v + (1 - momentum2) * g^2
        dw  = rate * lr_mult * m / (sqrt(v) + delta)
        w  -= dw

    What the means lack in the first updates, since they begin at zero, is in ``rate``: see `caffepy.solver.adam`.

    Args:
        backend: the CPU.
        momentum: share of the previous mean gradient in the new one, the paper's beta1.
        momentum2: that of the mean squared gradient, beta2.
        delta: keeps the divisor from zero; added after the root.
    """

    def __init__(self, backend: Backend, momentum: float, momentum2: float, delta: float) -> None:
        self._segments = Segments(backend)
        self._numbers = (momentum, 1 - momentum, momentum2, 1 - momentum2, delta)

    def plan(self, bounds: Sequence[tuple[int, int, float, float]]) -> None:
        """Take the parameters, each ``(begin, end, lr_mult, decay_mult)`` in the flat buffers; gaps are left alone."""
        self._segments.plan(bounds)

    def update(
        self,
        w: Array,
        dw: Array,
        m: Array,
        v: Array,
        rate: Array,
        weight_decay: float,
        l1: bool,
        scale: Array,
    ) -> None:
        """Change ``w``, ``dw``, ``m`` and ``v``, flat and of equal size, in place.

        Args:
            w: parameters.
            dw: their gradients; afterwards the step that was taken, as in Caffe.
            m: running mean of gradients; zeros before the first update.
            v: running mean of squared gradients; zeros before the first update.
            rate: learning rate, corrected: an array of one element, of which a device reads what it is by then.
            weight_decay: factor of the penalty's gradient.
            l1: the penalty is the sum of ``|w|`` rather than half that of ``w^2``.
            scale: factor of gradients, of clipping and of ``1 / iter_size``: an array of one element too.
        """
        self._segments.update(_update, rate, weight_decay, l1, scale, self._numbers, w, dw, m, v)


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
    momentum2: float,
    fresh2: float,
    delta: float,
    w: Array,
    dw: Array,
    m: Array,
    v: Array,
) -> None:
    for piece in range(begins.size):
        local_rate = rate * mults[piece, 0]
        local_decay = weight_decay * mults[piece, 1]
        for i in range(np.uintp(begins[piece]), np.uintp(ends[piece])):
            value = w[i]
            g = scale * dw[i] + local_decay * (np.sign(value) if l1 else value)
            mean = momentum * m[i] + fresh * g
            square = momentum2 * v[i] + fresh2 * (g * g)
            step = local_rate * (mean / (np.sqrt(square) + delta))
            m[i] = mean
            v[i] = square
            dw[i] = step
            w[i] = value - step
