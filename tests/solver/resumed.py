"""A run in one piece, and the same run stopped at a snapshot and gone on with by a new solver."""

from __future__ import annotations

from tests.solver.least_squares import PLAIN
from tests.solver.recorder import solver_of

__all__ = ["goes_on_bit_for_bit"]


def goes_on_bit_for_bit(folder, settings, kind):
    """Assert it: the same bits in weights and every history, none of which is still zero."""
    net = PLAIN % {"batch": 8, "params": "param { lr_mult: 0.5 } param { decay_mult: 0 }"}
    settings = f"{settings} snapshot_format: {kind}"
    whole = solver_of(folder, net, settings)
    whole.step(5)
    _, state = whole.snapshot()
    assert state.endswith(".solverstate.h5" if kind == "HDF5" else ".solverstate")
    stored = [array.copy() for array in whole.history]
    assert all(array.all() for array in stored)
    # So that nothing of it is what a new solver begins with.
    second = solver_of(folder, net, settings.replace("random_seed: 1", "random_seed: 2"))
    second.step(1)
    second.restore(state)
    assert second.iter == 5
    assert [array.tobytes() for array in second.history] == [array.tobytes() for array in stored]
    whole.step(5)
    second.step(5)
    assert second._data.tobytes() == whole._data.tobytes()
    assert [array.tobytes() for array in second.history] == [array.tobytes() for array in whole.history]
    assert second.history[0].tobytes() != stored[0].tobytes()
