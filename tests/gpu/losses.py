"""What the tests of losses share: forward and backward on two devices."""

from __future__ import annotations

import numpy as np

from tests.gpu.twins import both, on

__all__ = ["losses"]


def losses(name, settings, shape, inputs, outputs, *backends):
    """(what, on the first device, on the second) for op ``name``: the loss, the gradient, and that in place."""

    def run(backend):
        op = getattr(backend.ops, name)(backend, *settings)
        op.plan(shape)
        arrays = [on(backend, values) for values in inputs]
        out, scale, dx = backend.empty((outputs,)), on(backend, np.array([0.5])), backend.empty(inputs[0].shape)
        op.forward(*arrays, out)
        if hasattr(op, "check"):
            op.check()
        op.backward(*arrays, scale, dx)
        op.backward(*arrays, scale, arrays[0])
        return out, dx, arrays[0]

    return list(zip(("loss", "dx", "dx in place"), *both(run, *backends), strict=True))
