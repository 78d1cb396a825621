"""Two small nets that many tests of solvers train, and a run of one."""

from __future__ import annotations

from tests.net.square_loss import SquareLoss
from tests.solver.recorder import Recorder, solver_of
from tests.solver.rows import Rows

__all__ = ["NET", "NOISY", "run"]

assert SquareLoss.loss
assert Rows.tops

# Least squares on the rows of a table; in the TEST phase it has an output more.
NET = """
    layer { name: "rows" type: "Rows" top: "x" top: "t" data_param { batch_size: 4 } }
    layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
      inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 1 } } }
    layer { name: "loss" type: "SquareLoss" bottom: "y" bottom: "t" top: "loss" loss_weight: 2 }
    layer { name: "sum" type: "Power" bottom: "y" top: "aside" include { phase: TEST } }
"""

# Random data, and units dropped at random.
NOISY = """
    layer { name: "x" type: "DummyData" top: "x" top: "t"
      dummy_data_param { shape { dim: 4 dim: 6 } shape { dim: 4 dim: 3 }
      data_filler { type: "gaussian" std: 1 } data_filler { type: "uniform" } } }
    layer { name: "drop" type: "Dropout" bottom: "x" top: "d" }
    layer { name: "ip" type: "InnerProduct" bottom: "d" top: "y"
      inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
    layer { name: "loss" type: "SquareLoss" bottom: "y" bottom: "t" top: "loss" }
"""


def run(tmp_path, settings: str, net: str = NET):
    """A solver that has solved, and the recorder of what it told."""
    recorder = Recorder()
    solver = solver_of(tmp_path, net, settings, recorder)
    solver.solve()
    return solver, recorder
