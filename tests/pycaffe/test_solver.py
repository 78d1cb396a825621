"""caffe.SGDSolver and its kin: made from a file, stepped, watched, stopped and gone on from."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import caffepy as caffe
from caffepy.errors import LayerError, ParseError, SolverError
from caffepy.proto import caffe_pb2
from caffepy.pycaffe import mode
from caffepy.solver import Observer
from tests.pycaffe.nets import write

NET = """
name: "line"
layer { name: "rows" type: "MemoryData" top: "x" top: "t" include { phase: TRAIN }
  memory_data_param { batch_size: 2 channels: 1 height: 1 width: 3 } }
layer { name: "fixed" type: "DummyData" top: "x" top: "t" include { phase: TEST } dummy_data_param {
  data_filler { value: 1 } shape { dim: 2 dim: 1 dim: 1 dim: 3 } shape { dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 1 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""
ROWS = np.random.RandomState(0).rand(10, 1, 1, 3).astype(np.float32)
TARGETS = ROWS.reshape(10, 3) @ np.array([1, 2, 3], np.float32)

SOLVERS = {
    "SGD": caffe.SGDSolver,
    "Nesterov": caffe.NesterovSolver,
    "AdaGrad": caffe.AdaGradSolver,
    "RMSProp": caffe.RMSPropSolver,
    "AdaDelta": caffe.AdaDeltaSolver,
    "Adam": caffe.AdamSolver,
}


def file(folder, more="", **settings):
    """The path of a solver's prototxt."""
    given = {"base_lr": 0.05, "lr_policy": '"fixed"', "max_iter": 6, "random_seed": 3, **settings}
    net = write(folder, NET)
    text = f'net: "{net}"\nsnapshot_prefix: "{folder}/snap"\ntest_iter: 2 test_interval: 4\n'
    return write(folder, text + "".join(f"{k}: {v}\n" for k, v in given.items()) + more, "solver.prototxt")


def make(folder, more="", cls=caffe.SGDSolver, *, device=None, observers=(), **settings):
    """A solver of that prototxt, with rows."""
    solver = cls(file(folder, more, **settings), backend=device, observers=observers)
    solver.net.set_input_arrays(ROWS, TARGETS)
    return solver


def weights(solver):
    return solver.net.params["ip"][0].data.copy()


def test_what_a_solver_has(tmp_path, device):
    solver = make(tmp_path, device=device)
    assert isinstance(solver, caffe.Solver)
    assert solver.engine.backend is device
    assert isinstance(solver.net, caffe.Net)
    assert solver.net.phase == caffe.TRAIN
    assert [net.phase for net in solver.test_nets] == [caffe.TEST]
    assert (solver.iter, solver.param.max_iter, solver.param.display) == (0, 6, 0)
    assert solver.lr == pytest.approx(0.05)
    assert repr(solver) == "<SGDSolver SGD of net 'line', iteration 0>"
    solver.step(3)
    assert solver.iter == 3
    solver.close()


def test_the_test_net_has_the_weights_from_the_start(tmp_path, device):
    solver = make(tmp_path, device=device, test_initialization="false")
    np.testing.assert_array_equal(solver.test_nets[0].params["ip"][0].data, weights(solver))
    solver.step(1)
    out = solver.test_nets[0].forward()
    np.testing.assert_allclose(
        out["loss"], (weights(solver).sum() + solver.net.params["ip"][1].data - 1) ** 2 / 2, 1e-4
    )


@pytest.mark.parametrize("type_name", SOLVERS)
def test_a_class_of_each_type_and_get_solver(tmp_path, type_name):
    momentum = {} if type_name in ("AdaGrad", "RMSProp") else {"momentum": 0.9}
    # A class goes before the file's own type.
    mine = make(tmp_path, cls=SOLVERS[type_name], type='"SGD"', **momentum)
    by_file = make(tmp_path, cls=caffe.get_solver, type=f'"{type_name}"', **momentum)
    assert type(mine) is type(by_file) is SOLVERS[type_name]
    assert mine.engine.type == type_name
    plain = make(tmp_path, cls=caffe.get_solver)
    for solver in (mine, by_file, plain):
        solver.step(3)
    np.testing.assert_array_equal(weights(mine), weights(by_file))
    assert (type_name == "SGD") == isinstance(plain, SOLVERS[type_name])
    if type_name not in ("SGD",):
        assert (weights(mine) != weights(plain)).any()


def test_messages_and_errors(tmp_path):
    param = caffe_pb2.SolverParameter(net=write(tmp_path, NET), base_lr=0.1, lr_policy="fixed", type="Adam")
    solver = caffe.AdaGradSolver(param)
    assert (solver.param.type, param.type) == ("AdaGrad", "Adam")
    assert isinstance(caffe.get_solver(param), caffe.AdamSolver)
    with pytest.raises(SolverError, match=r"solver.prototxt:\d+.*Unknown solver type: Adm"):
        caffe.get_solver(file(tmp_path, type='"Adm"'))
    with pytest.raises(SolverError, match="Momentum cannot be used with AdaGrad"):
        caffe.AdaGradSolver(file(tmp_path, momentum=0.9))
    with pytest.raises(ParseError, match=r"nothing\.prototxt"):
        caffe.SGDSolver(str(tmp_path / "nothing.prototxt"))


def test_steps_are_those_of_the_definition(tmp_path, device):
    solver = make(tmp_path, device=device, weight_decay=0)
    w, b = weights(solver).astype(np.float64)[0], 0.0
    for i in range(4):
        rows = np.arange(2 * i, 2 * i + 2) % 10
        x, t = ROWS.reshape(10, 3)[rows], TARGETS[rows]
        difference = x @ w + b - t
        w, b = w - 0.05 * difference @ x / 2, b - 0.05 * difference.sum() / 2
        solver.step(1)
        assert float(solver.net.blobs["loss"].data) == pytest.approx((difference**2).sum() / 4, rel=1e-4)
    np.testing.assert_allclose(weights(solver)[0], w, rtol=1e-4)


def test_an_update_by_hand(tmp_path, device):
    solver = make(tmp_path, device=device, base_lr=0.5)
    view = solver.net.layers[1].blobs[0].data
    view[...] = 0
    solver.net.layers[1].blobs[0].diff[...] = 1
    solver.net.params["ip"][1].diff[...] = 0
    solver.apply_update()
    np.testing.assert_allclose(solver.net.layers[1].blobs[0].data, -0.5)
    assert solver.iter == 1


def test_a_loop_of_the_scripts_own_is_step(tmp_path, device):
    stepped, looped = make(tmp_path, device=device), make(tmp_path, device=device)
    stepped.step(4)
    for _ in range(4):
        looped.net.clear_param_diffs()
        looped.net.forward()
        looped.net.backward()
        looped.apply_update()
    np.testing.assert_array_equal(weights(stepped), weights(looped))
    stepped.step(1)
    looped.step(1)
    np.testing.assert_array_equal(weights(stepped), weights(looped))


def test_batches_that_the_script_took_are_not_seen_again(tmp_path):
    solver = make(tmp_path)
    solver.net.forward()
    solver.net.forward()
    solver.step(1)
    np.testing.assert_array_equal(solver.net.blobs["x"].data, ROWS[4:6])
    solver.net.forward(start="ip")
    solver.step(1)
    np.testing.assert_array_equal(solver.net.blobs["x"].data, ROWS[6:8])


def test_a_new_rate_counts(tmp_path):
    solver = make(tmp_path)
    before = weights(solver)
    solver.param.base_lr = 0
    solver.step(1)
    np.testing.assert_array_equal(weights(solver), before)
    solver.param.base_lr = 0.1
    assert solver.lr == pytest.approx(0.1)
    solver.step(1)
    assert (weights(solver) != before).any()


def test_callbacks(tmp_path, device):
    solver = make(tmp_path, device=device)
    plain = make(tmp_path, device=device, base_lr=0.1)
    calls = []

    def start():
        calls.append(("start", solver.iter, float(np.abs(solver.net.params["ip"][0].diff).sum()) > 0))

    def ready():
        calls.append(("ready", solver.iter, float(np.abs(solver.net.params["ip"][0].diff).sum()) > 0))
        for blob in solver.net.params["ip"]:
            blob.diff[...] *= 2

    solver.add_callback(start, ready)
    solver.step(2)
    plain.step(2)
    assert calls == [("start", 0, False), ("ready", 0, True), ("start", 1, False), ("ready", 1, True)]
    np.testing.assert_allclose(weights(solver), weights(plain), rtol=1e-5)


def test_snapshot_and_restore(tmp_path, device):
    solver = make(tmp_path, device=device, momentum=0.9)
    solver.step(2)
    # Written by the script, and in the snapshot.
    solver.net.params["ip"][1].data[...] = 7
    solver.snapshot()
    solver.step(2)
    again = make(tmp_path, device=device, momentum=0.9)
    again.net.forward()
    again.restore(str(tmp_path / "snap_iter_2.solverstate"))
    assert (again.iter, again.net.params["ip"][1].data) == (2, 7)
    again.step(2)
    np.testing.assert_array_equal(weights(again), weights(solver))


def test_solve(tmp_path):
    first, stepped = make(tmp_path), make(tmp_path)
    second = make(tmp_path, random_seed=4)
    first.step(4)
    first.snapshot()
    second.solve(str(tmp_path / "snap_iter_4.solverstate"))
    stepped.step(6)
    assert second.iter == 6
    np.testing.assert_array_equal(weights(second), weights(stepped))
    assert (tmp_path / "snap_iter_6.caffemodel").exists()


def test_solve_takes_what_the_script_has_done(tmp_path, device):
    solved, stepped = (make(tmp_path, device=device, snapshot_after_train="false") for _ in range(2))
    for solver in (solved, stepped):
        solver.net.forward()
        solver.net.params["ip"][1].data[...] = 9
    solved.solve()
    for _ in range(6):
        stepped.step(1)
    np.testing.assert_array_equal(weights(solved), weights(stepped))
    assert stepped.net.params["ip"][1].data > 5


def test_weights_are_shared(tmp_path, device):
    solver = make(tmp_path, device=device)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST, backend=device)
    solver.share_weights(net)
    solver.step(2)
    np.testing.assert_array_equal(net.params["ip"][0].data, weights(solver))
    net.params["ip"][0].data[...] = 2
    net.forward()
    assert (weights(solver) == 2).all()


def test_seeds(tmp_path):
    def filled(**settings):
        return weights(make(tmp_path, **settings))

    assert (filled() == filled()).all()
    assert (filled(random_seed=-1) != filled(random_seed=-1)).any()
    caffe.set_random_seed(5)
    first = filled(random_seed=-1)
    caffe.set_random_seed(5)
    assert (first == filled(random_seed=-1)).all()
    assert (filled(random_seed=0) == filled(random_seed=0)).all()
    assert (first != filled(random_seed=-1)).any()


def test_python_layers_are_asked_for(tmp_path, monkeypatch):
    net = 'layer { name: "p" type: "Python" top: "y" python_param { module: "nowhere" layer: "X" } }'
    settings = f'train_net: "{write(tmp_path, net)}" base_lr: 1 lr_policy: "fixed"'
    path = write(tmp_path, settings, "python.prototxt")
    for allowed, argument, match in [
        (False, {}, "code that the prototxt names"),
        (True, {}, "No module named 'nowhere'"),
        (True, {"allow_python_layers": False}, "code that the prototxt names"),
        (False, {"allow_python_layers": True}, "No module named 'nowhere'"),
    ]:
        monkeypatch.setattr(mode, "allow_python_layers", allowed)
        for make_one in (caffe.SGDSolver, caffe.get_solver):
            with pytest.raises(LayerError, match=match):
                make_one(path, **argument)
        with pytest.raises(LayerError, match=match):
            caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN, **argument)


def test_log_and_observers(tmp_path, caplog):
    class Watcher(Observer):
        seen = 0

        def on_iteration(self, event):
            self.seen += 1

    watcher = Watcher()
    solver = make(tmp_path, observers=[watcher], display=2, snapshot=2, snapshot_format="HDF5")
    with caplog.at_level(logging.INFO, "caffepy"):
        solver.step(3)
    assert watcher.seen == 3
    text = caplog.text
    assert "Iteration 0, Testing net (#0)" in text
    assert "Iteration 2 (" in text
    assert "s/2 iters), loss = " in text
    assert "Snapshotting to HDF5 file" in text


def test_the_state_of_a_shared_array_is_not_lost(tmp_path):
    """What pycaffe's scripts hold in their hands goes on being the weights."""
    solver = make(tmp_path)
    view = solver.net.params["ip"][0].data
    solver.step(2)
    np.testing.assert_array_equal(view, weights(solver))
