"""The training loop: what happens in which iteration, what is told to whom, and what a solver refuses."""

from __future__ import annotations

import logging
import math
import time

import numpy as np
import pytest

import caffepy
from caffepy.errors import LayerError, SolverError, WeightsError
from caffepy.proto import caffe_pb2
from caffepy.solver import Observer, Output, get_solver
from caffepy.solver.solver import solver_class
from tests.net.square_loss import SquareLoss
from tests.solver.recorder import Recorder, solver_of
from tests.solver.rows import TABLE, TARGETS, Rows

assert SquareLoss.loss
assert Rows.tops

NET = """
    layer { name: "rows" type: "Rows" top: "x" top: "t" data_param { batch_size: 4 } }
    layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
      inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 1 } } }
    layer { name: "loss" type: "SquareLoss" bottom: "y" bottom: "t" top: "loss" loss_weight: 2 }
    layer { name: "sum" type: "Power" bottom: "y" top: "aside" include { phase: TEST } }
"""


def _run(tmp_path, settings: str, net: str = NET):
    recorder = Recorder()
    solver = solver_of(tmp_path, net, settings, recorder)
    solver.solve()
    return solver, recorder


def _when(recorder, name):
    return [event.iter for event in recorder.of(name)]


@pytest.mark.parametrize(
    ("settings", "shown", "last"),
    [
        ("max_iter: 10 display: 3", [0, 3, 6, 9], False),
        ("max_iter: 10 display: 5", [0, 5], True),
        ("max_iter: 10 display: 1", list(range(10)), True),
        ("max_iter: 10", [], False),
        ("max_iter: 10 display: 20", [0], False),
    ],
)
def test_when_the_loss_is_shown(tmp_path, settings, shown, last):
    solver, recorder = _run(tmp_path, settings)
    assert _when(recorder, "display") == shown
    assert _when(recorder, "iteration") == list(range(10))
    (end,) = recorder.of("end")
    assert (end.iter, end.early, bool(recorder.of("last_loss"))) == (10, False, last)
    assert solver.iter == 10


@pytest.mark.parametrize(
    ("settings", "tested"),
    [
        ("max_iter: 8 test_interval: 4", [0, 4, 8]),
        ("max_iter: 9 test_interval: 4", [0, 4, 8]),
        ("max_iter: 8 test_interval: 4 test_initialization: false", [4, 8]),
        ("max_iter: 3 test_interval: 4 test_initialization: false", []),
        ("max_iter: 3 test_interval: 1", [0, 1, 2, 3]),
        ("max_iter: 0 test_interval: 4", [0]),
        ("max_iter: 0 test_interval: 4 test_initialization: false", [0]),
    ],
)
def test_when_nets_are_tested(tmp_path, settings, tested):
    _, recorder = _run(tmp_path, settings + " test_iter: 2")
    assert _when(recorder, "test") == tested
    assert [iteration for iteration, _ in recorder.of("test_begin")] == tested


@pytest.mark.parametrize(
    ("settings", "written"),
    [
        ("max_iter: 7 snapshot: 3", [3, 6, 7]),
        ("max_iter: 6 snapshot: 3", [3, 6]),
        ("max_iter: 7 snapshot: 3 snapshot_after_train: false", [3, 6]),
        ("max_iter: 7", [7]),
        ("max_iter: 7 snapshot_after_train: false", []),
        ("max_iter: 2 snapshot: 1", [1, 2]),
        ("max_iter: 2 snapshot: 9", [2]),
    ],
)
def test_when_snapshots_are_written(tmp_path, settings, written):
    _, recorder = _run(tmp_path, settings)
    assert _when(recorder, "snapshot") == written
    names = {f"snap_iter_{i}.{kind}" for i in written for kind in ("caffemodel", "solverstate")}
    assert {path.name for path in tmp_path.iterdir()} == names | {"net.prototxt", "solver.prototxt"}


def test_the_order_of_events(tmp_path):
    _, recorder = _run(tmp_path, "max_iter: 4 display: 2 test_interval: 2 test_iter: 1 snapshot: 2")
    assert recorder.told() == [
        "begin 0",
        *("test_begin 0", "test 0", "display 0", "iteration 0", "iteration 1", "snapshot 2"),
        *("test_begin 2", "test 2", "display 2", "iteration 2", "iteration 3", "snapshot 4"),
        *("last_loss 4", "test_begin 4", "test 4", "end 4"),
    ]


def test_all_observers_are_told_in_their_order(tmp_path):
    told = []

    class Note(Observer):
        def __init__(self, name):
            self.name = name

        def on_iteration(self, event):
            told.append((self.name, event.iter))

    solver_of(tmp_path, NET, "max_iter: 2 snapshot_after_train: false", Note("a"), Observer(), Note("b")).solve()
    assert told == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]


def test_display_tells_loss_rate_and_outputs_before_the_update(tmp_path):
    recorder = Recorder()
    settings = 'display: 2 base_lr: 0.5 lr_policy: "exp" gamma: 0.5'
    solver = solver_of(tmp_path, NET, settings, recorder)
    weights = [blob.data.copy() for blob in solver.net.params["ip"]]
    expected = ((TABLE[:4] @ weights[0].T + weights[1] - TARGETS[:4]) ** 2).sum() / 8
    solver.step(3)
    first, second = recorder.of("display")
    assert first.loss == pytest.approx(2 * expected, rel=1e-5)
    assert first.outputs == [Output("loss", pytest.approx(expected, rel=1e-5), 2)]
    assert (first.rate, second.rate) == (0.5, 0.125)
    assert (first.iterations, second.iterations) == (0, 2)
    assert second.seconds > 0
    assert second.wait == 0
    assert [event.loss for event in recorder.of("iteration")][::2] == [first.loss, second.loss]


def test_average_loss_is_the_mean_of_the_last_ones(tmp_path):
    solver, recorder = _run(tmp_path, "max_iter: 12 display: 1 average_loss: 4")
    losses = [event.loss for event in recorder.of("iteration")]
    shown = [event.loss for event in recorder.of("display")]
    assert len(set(losses)) == 12
    for i, loss in enumerate(shown):
        assert loss == pytest.approx(np.mean(losses[max(i - 3, 0) : i + 1]))
    # The pass after the end counts as one more; it has come round to the first rows.
    w, b = (blob.data for blob in solver.net.params["ip"])
    last = 2 * ((TABLE[:4] @ w.T + b - TARGETS[:4]) ** 2).sum() / 8
    assert recorder.of("last_loss")[0].loss == pytest.approx((sum(losses[-3:]) + last) / 4, rel=1e-5)


def test_the_loss_after_the_end_is_of_the_next_batch_with_the_last_weights(tmp_path):
    solver, recorder = _run(tmp_path, "max_iter: 3 display: 3")
    w, b = (blob.data for blob in solver.net.params["ip"])
    rows = np.arange(12, 16)
    expected = 2 * ((TABLE[rows] @ w.T + b - TARGETS[rows]) ** 2).sum() / 8
    assert recorder.of("last_loss")[0].loss == pytest.approx(expected, rel=1e-5)


def test_loss_of_an_iteration_is_the_mean_over_its_sub_batches(tmp_path):
    recorder = Recorder()
    solver = solver_of(tmp_path, NET, "iter_size: 3 base_lr: 0", recorder)
    solver.step(2)
    w, b = (blob.data for blob in solver.net.params["ip"])
    for i, event in enumerate(recorder.of("iteration")):
        rows = np.arange(12 * i, 12 * i + 12)
        assert event.loss == pytest.approx(2 * ((TABLE[rows] @ w.T + b - TARGETS[rows]) ** 2).sum() / 24, rel=1e-5)


def test_a_test_is_the_mean_over_its_batches_with_the_weights_of_the_train_net(tmp_path):
    recorder = Recorder()
    settings = "test_interval: 2 test_iter: 3 test_compute_loss: true base_lr: 0.1"
    solver = solver_of(tmp_path, NET, settings, recorder)
    solver.step(4)
    # Before iteration 2; the second test reads on where the first stopped: batches 3, 4, 5.
    other = solver_of(tmp_path, NET, settings.replace("test_iter: 3", "test_iter: 1"))
    other.step(2)
    w, b = (blob.data for blob in other.net.params["ip"])
    rows = np.arange(12, 24)
    y = TABLE[rows] @ w.T + b
    loss = ((y - TARGETS[rows]) ** 2).sum() / 24
    first, second = recorder.of("test")
    assert second.loss == pytest.approx(2 * loss, rel=1e-5)
    assert [(output.name, output.weight) for output in second.outputs] == [("aside", 0)] * 8 + [("loss", 2)]
    assert second.outputs[-1].value == pytest.approx(loss, rel=1e-5)
    means = y.reshape(3, 8).mean(0)
    assert [output.value for output in second.outputs[:8]] == pytest.approx(list(means), rel=1e-4, abs=1e-5)
    assert first.outputs != second.outputs
    assert second.seconds > 0


def test_without_test_compute_loss_there_is_no_loss(tmp_path):
    _, recorder = _run(tmp_path, "max_iter: 1 test_interval: 1 test_iter: 1")
    assert [event.loss for event in recorder.of("test")] == [None, None]


def test_testing_does_not_change_training(tmp_path):
    plain, _ = _run(tmp_path, "max_iter: 5")
    tested, _ = _run(tmp_path, "max_iter: 5 test_interval: 1 test_iter: 3 display: 1")
    for one, other in zip(plain.net.params["ip"], tested.net.params["ip"], strict=True):
        assert one.data.tobytes() == other.data.tobytes()


def test_several_test_nets_each_with_its_batches_and_stages(tmp_path):
    net = (
        NET
        + """
        layer { name: "extra" type: "Power" bottom: "t" top: "extra" include { phase: TEST stage: "more" } }"""
    )
    settings = """max_iter: 2 test_interval: 2 test_iter: 1 test_iter: 2 test_state { stage: "more" } test_state { }"""
    solver, recorder = _run(tmp_path, settings, net)
    assert [("extra" in one.blobs) for one in solver.test_nets] == [True, False]
    assert recorder.of("test_begin") == [(0, 0), (0, 1), (2, 0), (2, 1)]
    assert [(event.iter, event.net, len(event.outputs)) for event in recorder.of("test")] == [
        (0, 0, 17), (0, 1, 9), (2, 0, 17), (2, 1, 9),
    ]  # fmt: skip
    # Net 0 has read batches 0 and 1 by now, net 1 batches 0 to 3.
    assert recorder.of("test")[2].outputs[8].name == "extra"
    assert recorder.of("test")[2].outputs[8].value == pytest.approx(TARGETS[4, 0], rel=1e-5)


def test_layers_that_only_the_test_net_has_are_filled(tmp_path):
    net = (
        NET
        + """
        layer { name: "own" type: "Scale" bottom: "y" top: "own" include { phase: TEST }
          scale_param { filler { type: "constant" value: 3 } } }"""
    )
    solver, recorder = _run(tmp_path, "max_iter: 1 test_interval: 1 test_iter: 1", net)
    values = {name: [o.value for o in recorder.of("test")[1].outputs if o.name == name] for name in ("aside", "own")}
    assert values["own"] == pytest.approx([3 * value for value in values["aside"]], rel=1e-6)
    assert any(values["own"])
    assert "own" not in solver.net.params


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


NOISY = """
    layer { name: "x" type: "DummyData" top: "x" top: "t"
      dummy_data_param { shape { dim: 4 dim: 6 } shape { dim: 4 dim: 3 }
      data_filler { type: "gaussian" std: 1 } data_filler { type: "uniform" } } }
    layer { name: "drop" type: "Dropout" bottom: "x" top: "d" }
    layer { name: "ip" type: "InnerProduct" bottom: "d" top: "y"
      inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
    layer { name: "loss" type: "SquareLoss" bottom: "y" bottom: "t" top: "loss" }
"""


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
        ('lr_policy: "Fixed"', "Unknown learning rate policy: 'Fixed'. Did you mean 'fixed'"),
    ],
)
def test_settings_that_are_refused_have_their_line(tmp_path, settings, match):
    with pytest.raises(SolverError, match=rf"solver\.prototxt:2: {match}"):
        solver_of(tmp_path, NET, settings)


def test_negative_intervals_are_read_as_caffe_reads_them(tmp_path, caplog):
    """What C++'s remainder makes of them: the sign has no effect."""
    caplog.set_level(logging.WARNING, "caffepy")
    solver, recorder = _run(tmp_path, "max_iter: 4 display: -2 snapshot: -3")
    assert [event.iter for event in recorder.of("display")] == [0, 2]
    assert [event.iter for event in recorder.of("snapshot")] == [3, 4]
    assert "snapshot: -3 counts as 3, as in Caffe; 0 means never." in caplog.messages
    assert "display: -2 counts as 2, as in Caffe; 0 means never." in caplog.messages
    solver, recorder = _run(tmp_path, "max_iter: -4 test_interval: -1 snapshot_after_train: false")
    assert (solver.iter, recorder.told()) == (0, ["begin 0", "end 0"])


@pytest.mark.parametrize("count", [0, -1])
def test_a_test_of_no_batches_has_no_outputs(tmp_path, count):
    """``test_iter: 0`` is how published solvers make a test net that others run."""
    settings = f"max_iter: 2 test_interval: 1 test_iter: {count} test_compute_loss: true display: 1"
    solver, recorder = _run(tmp_path, settings)
    assert [event.outputs for event in recorder.of("test")] == [[], [], []]
    assert all(math.isnan(event.loss) for event in recorder.of("test"))
    assert "aside" in solver.test_nets[0].blobs
    _, recorder = _run(tmp_path, settings.replace("test_compute_loss: true", ""))
    assert [event.loss for event in recorder.of("test")] == [None] * 3


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


def test_the_share_of_time_that_waits_for_data(tmp_path):
    class Slow(Observer):
        def on_iteration(self, event):
            solver.net.layers[0].wait_seconds += 1000

    recorder = Recorder()
    solver = solver_of(tmp_path, NET, "display: 2", recorder, Slow())
    solver.net.layers[0].wait_seconds = 5000.0
    solver.step(3)
    first, second = recorder.of("display")
    assert first.wait == 0, "what was waited for before does not count"
    assert second.wait == pytest.approx(2000 / second.seconds)


def test_tests_do_not_count_in_the_time_of_iterations(tmp_path):
    class Dawdle(Observer):
        def on_test_begin(self, iteration, net):
            time.sleep(0.3)

    recorder = Recorder()
    settings = "display: 2 test_interval: 1 test_iter: 1"
    solver = solver_of(tmp_path, NET, settings, recorder, Dawdle())
    solver.step(3)
    assert recorder.of("display")[1].seconds < 0.3


def test_quiet_without_observers(tmp_path, caplog):
    caplog.set_level(logging.INFO, "caffepy")
    solver = solver_of(tmp_path, NET, "max_iter: 2 display: 1 test_iter: 1 test_interval: 1")
    # Nets tell how they are built.
    assert caplog.records[-1].getMessage() == "Network initialization done."
    caplog.clear()
    solver.solve()
    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.parametrize("settings", ["", "test_initialization: false"])
def test_tests_by_hand_before_the_first_one_that_falls_due(tmp_path, settings):
    """They read from the start, wherever that is."""
    solver = solver_of(tmp_path, NOISY, f"test_interval: 4 test_iter: 2 {settings}")
    (loss,) = solver.test(0).outputs
    assert solver.test_nets[0].counter.value == 2
    assert solver.test(0).outputs == [loss]
    solver.step(4)
    solver.test(0)
    assert solver.test_nets[0].counter.value == (2 if settings else 4)


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
