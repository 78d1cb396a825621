"""The solver itself: its kinds, its seed, its steps, the weights that it begins with, and what it lets go of."""

from __future__ import annotations

import numpy as np
import pytest

import caffepy
from caffepy.errors import LayerError, WeightsError
from caffepy.proto import caffe_pb2
from caffepy.solver import Observer, get_solver
from tests.solver.recorder import solver_of
from tests.solver.rows import TABLE
from tests.solver.small_nets import NET, NOISY


def test_the_field_weights_loads_files_in_order_into_train_and_test_nets(tmp_path):
    net = (
        NET
        + """
        layer { name: "own" type: "Scale" bottom: "y" top: "own" include { phase: TEST }
          scale_param { filler { type: "constant" value: 3 } } }"""
    )
    source = solver_of(tmp_path, net, "test_iter: 1 test_interval: 5")
    for i, one in enumerate((source.net, source.test_nets[0])):
        for blobs in one.params.values():
            for blob in blobs:
                blob.data[...] = i + 5
        one.save(tmp_path / f"{i}.caffemodel")
    paths = [f"{tmp_path}/{i}.caffemodel" for i in range(2)]
    settings = "test_iter: 1 test_interval: 5 weights: "
    for given, ip, own in (
        (f'"{paths[0]}"', 5, 3),
        (f'"{paths[1]}"', 6, 6),
        (f'"{paths[1]}" weights: "{paths[0]}"', 5, 6),
        (f'"{paths[0]}, {paths[1]}"', 6, 6),
    ):
        solver = solver_of(tmp_path, net, settings + given)
        assert (solver.net.params["ip"][0].data == ip).all()
        assert (solver.test_nets[0].params["own"][0].data == own).all()
        assert (solver._data == ip).all(), "the flat memory itself must have been written"
    with pytest.raises(WeightsError, match=r"none\.caffemodel"):
        solver_of(tmp_path, net, settings + '"none.caffemodel"')


def _weights(tmp_path, seed: str) -> tuple[int, bytes]:
    solver = solver_of(tmp_path, NOISY, f"random_seed: {seed}")
    solver.step(5)
    return solver.seed, solver._data.tobytes()


def test_a_seed_decides_everything(tmp_path):
    assert _weights(tmp_path, "7") == _weights(tmp_path, "7")
    assert _weights(tmp_path, "7")[1] != _weights(tmp_path, "8")[1]
    assert _weights(tmp_path, "0") == _weights(tmp_path, "0")
    (seed, one), (other_seed, other) = _weights(tmp_path, "-1"), _weights(tmp_path, "-1")
    assert seed != other_seed
    assert one != other
    assert _weights(tmp_path, str(seed))[1] == one, "the seed that was chosen makes the run again"


def test_steps_add_up(tmp_path):
    whole = solver_of(tmp_path, NOISY, "momentum: 0.9")
    whole.step(7)
    parts = solver_of(tmp_path, NOISY, "momentum: 0.9")
    for count in (1, 0, 4, 2):
        parts.step(count)
    assert parts.iter == 7
    assert parts._data.tobytes() == whole._data.tobytes()
    solved = solver_of(tmp_path, NOISY, "momentum: 0.9 max_iter: 7 snapshot_after_train: false")
    solved.step(3)
    solved.solve()
    assert solved._data.tobytes() == whole._data.tobytes()


def test_solve_goes_no_further_than_max_iter(tmp_path):
    solver = solver_of(tmp_path, NET, "max_iter: 2 snapshot_after_train: false")
    solver.step(3)
    solver.solve()
    assert solver.iter == 3


def test_a_solver_of_ones_own(tmp_path):
    from caffepy.solver import Solver, register_solver
    from caffepy.solver.solver import _registry

    @register_solver("Sign")
    class Sign(Solver):
        history_count = 2

        def setup(self, bounds):
            self.bounds = bounds

        def update(self, w, dw, history, rate, scale):
            w -= rate * np.sign(dw)

    try:
        solver = solver_of(tmp_path, NET, 'type: "Sign" base_lr: 0.5')
        assert isinstance(solver, Sign)
        assert len(list(solver.history_blobs())) == 4
        assert solver.bounds == [(0, 10, 1, 1), (10, 12, 1, 1)]
        before = solver._data.copy()
        solver.step(1)
        assert set(np.round(np.abs(solver._data - before), 5)) == {0.5}
    finally:
        del _registry["Sign"]


def test_a_message_instead_of_a_file(tmp_path):
    file = solver_of(tmp_path, NET, "momentum: 0.5")
    message = caffe_pb2.SolverParameter()
    message.CopyFrom(file.param)
    solver = get_solver(message)
    solver.step(2)
    file.step(2)
    assert solver._data.tobytes() == file._data.tobytes()


def test_a_message_of_an_older_caffe_is_upgraded_and_stays_as_it_is(tmp_path):
    message = caffe_pb2.SolverParameter()
    message.CopyFrom(solver_of(tmp_path, NET, "").param)
    message.solver_type = caffe_pb2.SolverParameter.ADAM
    message.ClearField("type")
    before = message.SerializeToString()
    assert type(get_solver(message)).__name__ == "AdamSolver"
    assert message.SerializeToString() == before


class Held(caffepy.Layer):
    """Counts what is open."""

    open: list[str] = []  # noqa: RUF012

    def setup(self, bottom, top):
        self.open.append(self.name)

    def reshape(self, bottom, top): ...
    def forward(self, bottom, top): ...
    def backward(self, top, propagate_down, bottom): ...

    def close(self):
        self.open.remove(self.name)


HELD = """
    layer { name: "train" type: "Held" top: "h" include { phase: TRAIN } }
    layer { name: "test" type: "Held" top: "h" include { phase: TEST } }
"""


def test_what_was_opened_is_closed_in_the_end_and_when_a_net_fails(tmp_path):
    caffepy.register_layer("Held")(Held)
    Held.open.clear()
    solver = solver_of(tmp_path, NET + HELD, "test_iter: 1 test_interval: 1")
    assert Held.open == ["train", "test"]
    solver.close()
    assert Held.open == []
    bad = HELD + 'layer { name: "bad" type: "ReLU" bottom: "h" include { phase: TEST } }'
    with pytest.raises(LayerError, match="produces 1 top"):
        solver_of(tmp_path, NET + bad, "test_iter: 1 test_interval: 1")
    assert Held.open == []
    with pytest.raises(WeightsError, match=r"Could not open file none\.caffemodel"):
        solver_of(tmp_path, NET + HELD, 'test_iter: 1 test_interval: 1 weights: "none.caffemodel"')
    assert Held.open == []


class Gradients(Observer):
    """Notes what the gradients are when it is told of them, and doubles them before the update."""

    def __init__(self):
        self.solver, self.seen = None, []

    def _sum(self):
        return float(np.abs(self.solver.net.params["ip"][0].diff).sum())

    def on_start(self):
        self.seen.append(("start", self.solver.iter, self._sum()))

    def on_gradients_ready(self):
        self.seen.append(("ready", self.solver.iter, self._sum()))
        for param in self.solver.net.learnable_params:
            param.blob.diff[...] *= 2


def test_gradients_may_be_changed_between_the_passes_and_the_update(tmp_path):
    watcher = Gradients()
    solver = watcher.solver = solver_of(tmp_path, NET, "max_iter: 9 base_lr: 0.01 iter_size: 2", watcher)
    same = solver_of(tmp_path, NET, "max_iter: 9 base_lr: 0.02 iter_size: 2")
    for one in (solver, same):
        one.step(2)
    assert [(when, iteration) for when, iteration, _ in watcher.seen] == [
        ("start", 0), ("ready", 0), ("start", 1), ("ready", 1)
    ]  # fmt: skip
    assert [total > 0 for _, _, total in watcher.seen] == [False, True, False, True]
    np.testing.assert_allclose(solver.net.params["ip"][0].data, same.net.params["ip"][0].data, rtol=1e-6)


def test_an_update_by_hand(tmp_path):
    solver = solver_of(tmp_path, NET, "max_iter: 9 iter_size: 2 base_lr: 0.5")
    weights = solver.net.params["ip"][0]
    weights.data.fill(3)
    weights.diff.fill(4)
    solver.apply_update()
    np.testing.assert_array_equal(weights.data, 3 - 0.5 * 4 / 2)
    assert solver.iter == 1


def test_passes_beside_the_iterations_shift_the_records(tmp_path):
    solver = solver_of(tmp_path, NET, "max_iter: 9 iter_size: 2")
    solver.step(1)
    solver.extra_passes = 3
    solver.step(1)
    rows = (4 * (2 + 1 + 3) + np.arange(4)) % len(TABLE)
    np.testing.assert_array_equal(solver.net.blobs["x"].data, TABLE[rows].astype(np.float32))
