"""What the tests of update rules share: some updates on two devices."""

from __future__ import annotations

import numpy as np

from tests.gpu.twins import both, on

__all__ = ["CASES", "SOLVERS", "updated"]

#: Of each type of solver, besides what all have.
SOLVERS = {
    "SGD": "momentum: 0.9",
    "Nesterov": "momentum: 0.9",
    "AdaGrad": "delta: 1e-6",
    "RMSProp": "rms_decay: 0.9",
    "AdaDelta": "momentum: 0.9 delta: 1e-6",
    "Adam": "momentum: 0.9",
}

#: (bounds, l1): parameters with gaps, in no order; a penalty of either kind.
CASES = [
    ([(700, 1000, 2.0, 0.0), (3, 600, 1.0, 1.0), (600, 600, 1.0, 1.0)], False),
    ([(0, 1000, 1.0, 0.5)], True),
    ([(5, 6, 0.0, 1.0)], False),
    ([], False),
]


def updated(name, numbers, states, bounds, l1, *backends):
    """(what, on the first device, on the second) after three updates by op ``name``."""
    random = np.random.default_rng(10)
    w, dw = random.standard_normal(1000), random.standard_normal((3, 1000))
    w[:8] = 0

    def run(backend):
        op = getattr(backend.ops, name)(backend, *numbers)
        op.plan(bounds)
        arrays = [on(backend, w), backend.zeros((1000,)), *(backend.zeros((1000,)) for _ in range(states))]
        rate, scale = backend.zeros((1,)), backend.zeros((1,))
        for t, diff in enumerate(dw, 1):
            arrays[1][...] = on(backend, diff)
            rate.fill(0.1 * t)
            scale.fill(0.5 / t)
            op.update(*arrays, rate, 0.02, l1, scale)
        return arrays

    names = ["w", "dw", *(f"state {i}" for i in range(states))]
    return list(zip(names, *both(run, *backends), strict=True))
