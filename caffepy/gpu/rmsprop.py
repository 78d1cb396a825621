"""The update of RMSProp, for all parameters at once."""

from __future__ import annotations

from collections.abc import Sequence

from caffepy.backend import Array, Backend
from caffepy.gpu._segments import Segments

__all__ = ["RMSProp"]


class RMSProp:
    """One pass over the flat buffers of all parameters (Caffe's rmsprop_solver.cu)::

        g       = scale * dw + weight_decay * decay_mult * (w, or sign(w) for L1)
        history = rms_decay * history + (1 - rms_decay) * g^2
        dw      = rate * lr_mult * g / (sqrt(history) + delta)
        w      -= dw

    Args:
        backend: a GPU.
        rms_decay: share of the previous mean in the new one.
        delta: keeps the divisor from zero; added after the root.
    """

    def __init__(self, backend: Backend, rms_decay: float, delta: float) -> None:
        self._segments = Segments(backend, "rmsprop")
        self._numbers = (rms_decay, 1 - rms_decay, delta)

    def plan(self, bounds: Sequence[tuple[int, int, float, float]]) -> None:
        """Take the parameters, each ``(begin, end, lr_mult, decay_mult)`` in the flat buffers; gaps are left alone."""
        self._segments.plan(bounds)

    def update(
        self, w: Array, dw: Array, history: Array, rate: Array, weight_decay: float, l1: bool, scale: Array
    ) -> None:
        """Change ``w``, ``dw`` and ``history``, flat and of equal size, in place.

        Args:
            w: parameters.
            dw: their gradients; afterwards the step that was taken, as in Caffe.
            history: running mean of squared gradients; zeros before the first update.
            rate: learning rate, an array of one element, of which a device reads what it is by then.
            weight_decay: factor of the penalty's gradient.
            l1: the penalty is the sum of ``|w|`` rather than half that of ``w^2``.
            scale: factor of gradients, of clipping and of ``1 / iter_size``: an array of one element too.
        """
        self._segments.update(rate, weight_decay, l1, scale, self._numbers, w, dw, history)
