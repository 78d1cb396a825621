"""An iteration that an error ends: what it left does not count in the next one."""

from __future__ import annotations

import numpy as np
import pytest

import caffepy
from caffepy.devices import get_backend
from caffepy.errors import SolverError
from tests.solver.recorder import Recorder, solver_of
from tests.solver.small_nets import NOISY


@caffepy.register_layer("Spoiled")
class Spoiled(caffepy.Layer):
    """y = x, or NaN in the passes whose numbers are in ``passes``."""

    passes: tuple[int, ...] = ()

    def setup(self, bottom, top): ...

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = np.nan if self.context.counter.value in self.passes else bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = top[0].diff


NET = NOISY.replace('bottom: "y" bottom: "t"', 'bottom: "z" bottom: "t"').replace(
    'layer { name: "loss"', 'layer { name: "spoiled" type: "Spoiled" bottom: "y" top: "z" } layer { name: "loss"'
)


@pytest.mark.parametrize("spoiled", [2, 3])
def test_a_run_goes_on_after_a_loss_that_was_no_number(tmp_path, spoiled, monkeypatch):
    whole, again = Recorder(), Recorder()
    solver_of(tmp_path, NET, "iter_size: 2", whole).step(3)
    solver = solver_of(tmp_path, NET, "iter_size: 2", again)
    monkeypatch.setattr(Spoiled, "passes", (spoiled,))
    with pytest.raises(SolverError, match="Iteration 1: loss = nan"):
        solver.step(3)
    monkeypatch.setattr(Spoiled, "passes", ())
    solver.step(2)
    assert solver.iter == 3
    assert again.of("iteration") == whole.of("iteration")


def test_a_run_goes_on_after_an_observer_that_raised_before_the_update(tmp_path, backend):
    class Stops(Recorder):
        calls = 0

        def on_gradients_ready(self):
            self.calls += 1
            if self.calls == 2:
                raise KeyboardInterrupt

    whole, again = Recorder(), Stops()
    device = get_backend(backend)
    solver_of(tmp_path, NOISY, "iter_size: 2", whole, backend=device).step(3)
    solver = solver_of(tmp_path, NOISY, "iter_size: 2", again, backend=device)
    with pytest.raises(KeyboardInterrupt):
        solver.step(3)
    solver.step(2)
    assert again.of("iteration") == whole.of("iteration")


@pytest.mark.parametrize("spoiled", [False, True])
def test_a_run_goes_on_from_a_state_after_an_error(tmp_path, backend, spoiled):
    """What was noted after that state is forgotten, even a loss that is no number and was not looked at yet."""

    class Stops(Recorder):
        armed = True

        def on_gradients_ready(self):
            if spoiled and self.armed and solver.iter == 1:
                for param in solver.net.learnable_params:
                    param.blob.diff.fill(np.nan)
            if self.armed and solver.iter == 2:
                self.armed = False
                raise KeyboardInterrupt

    whole, again = Recorder(), Stops()
    device = get_backend(backend)
    solver_of(tmp_path, NOISY, "iter_size: 2 momentum: 0.9", whole, backend=device).step(4)
    solver = solver_of(tmp_path, NOISY, "iter_size: 2 momentum: 0.9", again, backend=device)
    solver.step(1)
    _, state = solver.snapshot()
    # A backend that looks at each loss at once finds the bad one first.
    with pytest.raises((KeyboardInterrupt, SolverError)):
        solver.step(3)
    again.events.clear()
    again.armed = False
    solver.restore(state)
    solver.step(3)
    assert again.of("iteration") == whole.of("iteration")[1:]
