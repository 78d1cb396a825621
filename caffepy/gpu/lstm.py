"""One time step of a long short-term memory, and its gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from caffepy.backend import Array, Backend

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["LSTMUnit"]


class LSTMUnit:
    """``c = f * c_prev + i * g`` and ``h = o * tanh(c)`` from gate inputs x, with::

        i = sigmoid(x[:, 0:D])    f = cont * sigmoid(x[:, D:2D])    o = sigmoid(x[:, 2D:3D])    g = tanh(x[:, 3D:4D])

    c_prev, c and h are (N, D), x (N, 4 D), cont (N,), 0 where a sequence begins. All may come in any shape of as many
    elements. Sources: Hochreiter and Schmidhuber, 1997; Caffe's lstm_unit_layer.cu.
    """

    def __init__(self, backend: Backend) -> None:
        self._kernels = cast("GpuBackend", backend).kernels("lstm")
        self._count, self._cells = 0, np.int32(0)

    def plan(self, shape: tuple[int, int]) -> None:
        """Note the shape (N, D) of a state; nothing is reserved."""
        self._count, self._cells = shape[0] * shape[1], np.int32(shape[1])

    def forward(self, c_prev: Array, x: Array, cont: Array, out_c: Array, out_h: Array) -> None:
        """``out_c`` and ``out_h`` are overwritten; ``out_c`` may be ``c_prev``."""
        self._kernels.elements("lstm_forward", self._count, c_prev, x, cont, self._cells, out_c, out_h)

    def backward(
        self, c_prev: Array, x: Array, cont: Array, c: Array, dc: Array, dh: Array, out_c: Array, out_x: Array
    ) -> None:
        """From ``dc`` and ``dh`` those of c_prev, into ``out_c``, and of x, into ``out_x``.

        ``out_c`` may be ``dc``, and ``out_x`` may be ``x``. Where cont is neither 0 nor 1, the gradient of the forget
        gate's input is ``f (1 - f)`` with the cont in f, as in Caffe: not quite the derivative.
        """
        self._kernels.elements("lstm_backward", self._count, c_prev, x, cont, c, dc, dh, self._cells, out_c, out_x)
