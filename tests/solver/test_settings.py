"""Settings that a solver refuses, and some that look wrong and are not."""

from __future__ import annotations

import pytest

from caffepy.errors import SolverError, WeightsError
from caffepy.solver.solver import solver_class
from tests.solver.recorder import solver_of
from tests.solver.small_nets import NET


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ("average_loss: 0", "average_loss should be non-negative and at least 1; got 0"),
        ("iter_size: 0", "iter_size must be at least 1; got 0"),
        ('regularization_type: "L3" weight_decay: 1', "Unknown regularization type: L3. regularization_type is L1 or"),
        ("momentum: nan", "momentum must be a finite number; got nan"),
        ("weight_decay: inf", "weight_decay must be a finite number; got inf"),
        ("gamma: nan", "gamma must be a finite number; got nan"),
        ("power: -inf", "power must be a finite number; got -inf"),
        ("base_lr: nan", "base_lr must be a finite number; got nan"),
        ("momentum2: nan", "momentum2 must be a finite number; got nan"),
        ("delta: inf", "delta must be a finite number; got inf"),
        ("clip_gradients: nan", "clip_gradients must be a number; got nan"),
        ('lr_policy: "Fixed"', "Unknown learning rate policy: 'Fixed'. Did you mean 'fixed'"),
    ],
)
def test_settings_that_are_refused_have_their_line(tmp_path, settings, match):
    with pytest.raises(SolverError, match=rf"solver\.prototxt:2: {match}"):
        solver_of(tmp_path, NET, settings)


def test_a_regularization_of_nothing_may_be_of_any_type(tmp_path):
    """Caffe asks for the type where a blob decays, and not before."""
    plain = solver_of(tmp_path, NET, "")
    strange = solver_of(tmp_path, NET, 'regularization_type: "none"')
    plain.step(2)
    strange.step(2)
    assert strange._data.tobytes() == plain._data.tobytes()


def test_an_unknown_solver_type(tmp_path):
    with pytest.raises(
        SolverError, match=r"solver\.prototxt:\d+: Unknown solver type: Sgd\. Did you mean 'SGD'\? Known types: .*SGD"
    ):
        solver_of(tmp_path, NET, 'type: "Sgd"')
    assert solver_class("SGD").__name__ == "SGDSolver"


@pytest.mark.parametrize("prefix", [r"a\000b", r"a\000b/c"])
def test_a_prefix_that_no_file_can_have_is_refused_before_the_first_iteration(tmp_path, prefix):
    solver = solver_of(tmp_path, NET, f'max_iter: 1 snapshot_prefix: "{tmp_path}/{prefix}"')
    with pytest.raises(SolverError, match="Cannot write to snapshot prefix"):
        solver.solve()
    assert solver.iter == 0
    with pytest.raises(WeightsError, match="not written"):
        solver.snapshot()
