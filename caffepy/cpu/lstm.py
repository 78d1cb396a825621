"""One time step of a long short-term memory, and its gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.cpu._jit import kernel

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["LSTMUnit"]


class LSTMUnit:
    """``c = f * c_prev + i * g`` and ``h = o * tanh(c)`` from gate inputs x, with::

        i = sigmoid(x[:, 0:D])    f = cont * sigmoid(x[:, D:2D])    o = sigmoid(x[:, 2D:3D])    g = tanh(x[:, 3D:4D])

    c_prev, c and h are (N, D), x (N, 4 D), cont (N,), 0 where a sequence begins. All may come in any shape of as many
    elements. Sources: Hochreiter and Schmidhuber, 1997; Caffe's lstm_unit_layer.cpp.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._workers = cast("CpuBackend", backend).workers
        self._shape = (0, 0)

    def plan(self, shape: tuple[int, int]) -> None:
        """Note the shape (N, D) of a state; nothing is reserved."""
        self._shape = shape

    def forward(self, c_prev: Array, x: Array, cont: Array, out_c: Array, out_h: Array) -> None:
        """``out_c`` and ``out_h`` are overwritten; ``out_c`` may be ``c_prev``."""
        n, d = self._shape
        before, gates, keep = c_prev.reshape(n, d), x.reshape(n, 4, d), cont.reshape(n)
        c, h = out_c.reshape(n, d), out_h.reshape(n, d)

        def part(begin: int, end: int, worker: int) -> None:
            _forward(begin, end, before, gates, keep, c, h)

        self._workers.run(n, part)

    def backward(
        self, c_prev: Array, x: Array, cont: Array, c: Array, dc: Array, dh: Array, out_c: Array, out_x: Array
    ) -> None:
        """From ``dc`` and ``dh`` those of c_prev, into ``out_c``, and of x, into ``out_x``.

        ``out_c`` may be ``dc``, and ``out_x`` may be ``x``. Where cont is neither 0 nor 1, the gradient of the forget
        gate's input is ``f (1 - f)`` with the cont in f, as in Caffe: not quite the derivative.
        """
        n, d = self._shape
        before, gates, keep = c_prev.reshape(n, d), x.reshape(n, 4, d), cont.reshape(n)
        after, above_c, above_h = c.reshape(n, d), dc.reshape(n, d), dh.reshape(n, d)
        below_c, below_x = out_c.reshape(n, d), out_x.reshape(n, 4, d)

        def part(begin: int, end: int, worker: int) -> None:
            _backward(begin, end, before, gates, keep, after, above_c, above_h, below_c, below_x)

        self._workers.run(n, part)


@kernel
def _forward(begin: int, end: int, c_prev: Array, x: Array, cont: Array, out_c: Array, out_h: Array) -> None:
    one = x.dtype.type(1)
    for n in range(begin, end):
        keep = cont[n]
        for d in range(x.shape[2]):
            i = one / (one + np.exp(-x[n, 0, d]))
            f = keep * (one / (one + np.exp(-x[n, 1, d]))) if keep != 0 else keep
            o = one / (one + np.exp(-x[n, 2, d]))
            c = f * c_prev[n, d] + i * np.tanh(x[n, 3, d])
            out_c[n, d] = c
            out_h[n, d] = o * np.tanh(c)


@kernel
def _backward(
    begin: int,
    end: int,
    c_prev: Array,
    x: Array,
    cont: Array,
    c: Array,
    dc: Array,
    dh: Array,
    out_c: Array,
    out_x: Array,
) -> None:
    one = x.dtype.type(1)
    for n in range(begin, end):
        keep = cont[n]
        for d in range(x.shape[2]):
            i = one / (one + np.exp(-x[n, 0, d]))
            f = keep * (one / (one + np.exp(-x[n, 1, d]))) if keep != 0 else keep
            o = one / (one + np.exp(-x[n, 2, d]))
            g = np.tanh(x[n, 3, d])
            squashed = np.tanh(c[n, d])
            into_h = dh[n, d]
            into_c = dc[n, d] + into_h * o * (one - squashed * squashed)
            out_c[n, d] = into_c * f
            out_x[n, 0, d] = into_c * g * i * (one - i)
            out_x[n, 1, d] = into_c * c_prev[n, d] * f * (one - f)
            out_x[n, 2, d] = into_h * squashed * o * (one - o)
            out_x[n, 3, d] = into_c * i * (one - g * g)
