"""A recorded iteration does what its ops did one by one, whatever falls between its passes and its update."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import caffepy
from caffepy.devices import get_backend
from caffepy.net import Net
from caffepy.proto import caffe_pb2
from caffepy.proto.read import parse_net
from caffepy.solver import Observer, Solver, register_solver
from caffepy.solver.solver import _registry
from caffepy.solver.steps import Steps
from tests.gpu.updates import SOLVERS
from tests.solver.recorder import Recorder, solver_of

DATA = """
layer { name: "data" type: "DummyData" top: "x" top: "t"
  dummy_data_param { shape { dim: [6, 5] } shape { dim: 6 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 1 } } }
"""
INPUT = """
layer { name: "data" type: "Input" top: "x" top: "t" input_param { shape { dim: [6, 5] } shape { dim: 6 } } }
"""
REST = """
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  inner_product_param { num_output: 8 weight_filler { type: "xavier" } } }
layer { name: "act" type: "ReLU" bottom: "a" top: "a" }
layer { name: "drop" type: "Dropout" bottom: "a" top: "d" }
layer { name: "y" type: "InnerProduct" bottom: "d" top: "y"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "t" top: "loss" loss_weight: 2 }
layer { name: "size" type: "Reduction" bottom: "y" top: "size" loss_weight: 0.01 reduction_param { operation: SUMSQ } }
layer { name: "accuracy" type: "Accuracy" bottom: "y" bottom: "t" top: "accuracy" }
"""

SETTINGS = {
    "plain": "",
    "iter_size": "iter_size: 2",
    "clip": "clip_gradients: 0.5",
    "clip, iter_size, L1": 'clip_gradients: 0.5 iter_size: 2 regularization_type: "L1"',
    "step": 'lr_policy: "step" stepsize: 3 gamma: 0.5',
    "poly": 'lr_policy: "poly" power: 0.5',
}
WHOLE = "Recorded as a CUDA graph: gradients to zero, forward, loss, backward, update."
FIRST = PASSES = "Recorded as a CUDA graph: gradients to zero, forward, loss, backward."
LAST = "Recorded as a CUDA graph: forward, loss, backward, update."
UPDATE = "Recorded as a CUDA graph: update."


@pytest.fixture(params=[False, True], ids=["float32", "amp"])
def backend(request):
    return get_backend("gpu:0", amp=request.param)


def _make(folder, backend, record, settings, kind="SGD", *observers):
    text = f'type: "{kind}" {SOLVERS.get(kind, "")} weight_decay: 0.01 max_iter: 100 base_lr: 0.05 {settings}'
    solver = solver_of(folder, DATA + REST, text, *observers, backend=backend, record=record)
    if solver.net.loss_scale is not None:
        solver.net.loss_scale._scale.fill(2.0**8)
    return solver


def _state(solver):
    to_host = solver.backend.to_host
    return [to_host(solver._data), to_host(solver._diff), *map(to_host, solver.history), np.array(solver.iter)]


def _assert_same(one, other):
    for a, b in zip(_state(one), _state(other), strict=True):
        np.testing.assert_array_equal(a, b)


def _two(folder, backend, settings, kind="SGD", observe=lambda: ()):
    """The same solver twice: started op by op, and recorded; and what each is watched by."""
    made = []
    for record in (False, True):
        recorder = Recorder()
        made.append((_make(folder, backend, record, settings, kind, recorder, *observe()), recorder))
    return made


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("kind", SOLVERS)
def test_equal_to_the_bit(tmp_path, backend, kind, settings, caplog):
    caplog.set_level(logging.INFO, "caffepy")
    (plain, told), (recorded, told_too) = _two(tmp_path, backend, SETTINGS[settings], kind)
    plain.step(10)
    assert "Recorded" not in caplog.text
    recorded.step(10)
    found = {message for message in caplog.messages if message.startswith("Recorded")}
    assert found == ({FIRST, LAST} if "iter_size" in settings else {WHOLE})
    _assert_same(plain, recorded)
    assert told.events == told_too.events
    assert len(told.of("iteration")) == 10
    assert plain.net.counter.value == recorded.net.counter.value == 10 * plain.param.iter_size
    if backend.half:
        assert plain.net.loss_scale.report() == recorded.net.loss_scale.report() == (2.0**8, 0)


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_across_a_snapshot(tmp_path, backend, kind):
    settings = 'clip_gradients: 0.5 lr_policy: "step" stepsize: 3 gamma: 0.5'
    (plain, _), (recorded, _) = _two(tmp_path, backend, settings, kind)
    plain.step(14)
    recorded.step(7)
    _, state = recorded.snapshot()
    recorded.step(2)
    recorded.restore(state)
    recorded.step(3)
    other = _make(tmp_path, backend, True, settings, kind)
    _, state = recorded.snapshot()
    other.step(5)
    other.restore(state)
    other.step(4)
    _assert_same(plain, other)


def test_settings_may_change_between_steps(tmp_path, backend, caplog):
    caplog.set_level(logging.INFO, "caffepy")
    (plain, _), (recorded, _) = _two(tmp_path, backend, "")
    for name, value in [
        ("base_lr", 0.01), ("weight_decay", 0.5), ("clip_gradients", 0.1), ("clip_gradients", 0.2), ("base_lr", 0.02),
        ("regularization_type", "L1"), ("iter_size", 3), ("clip_gradients", -1.0), ("iter_size", 1), ("gamma", 0.1),
    ]:  # fmt: skip
        before = _state(recorded)[0]
        for solver in (plain, recorded):
            setattr(solver.param, name, value)
            solver.step(4)
        _assert_same(plain, recorded)
        assert (_state(recorded)[0] != before).any()
    assert caplog.messages.count(WHOLE) >= 6


@pytest.mark.parametrize(
    ("kind", "settings"), [("SGD", ""), ("Adam", "clip_gradients: 0.5"), ("SGD", SETTINGS["poly"])]
)
def test_an_iteration_is_one_launch(tmp_path, backend, kind, settings):
    """And one more where the rate has changed."""
    fakegpu = pytest.importorskip("fakegpu", reason="launches are counted on the emulated device only")
    solver = solver_of(tmp_path, INPUT + REST, f'type: "{kind}" max_iter: 100 {settings}', backend=backend)
    solver.step(4)
    for _ in range(4):
        with fakegpu.counting() as counted:
            solver._forward_backward()
            solver.apply_update()
        assert counted.graph_launches == 1
        assert counted.launches == (0 if (kind, settings) == ("SGD", "") else 1)
        assert counted.memsets == counted.h2d == counted.d2h == counted.d2d == 0
        assert counted.syncs == counted.mallocs == counted.pool_mallocs == 0


class Doubles(Observer):
    """Changes gradients before the update; notes what they are before the passes."""

    def __init__(self):
        self.solver, self.seen = None, []

    def on_begin(self, solver):
        self.solver = solver

    def on_start(self):
        self.seen.append(float(abs(self.solver._diff).sum()))

    def on_gradients_ready(self):
        self.seen.append(float(abs(self.solver._diff).sum()))
        self.solver._diff *= 2


def test_gradients_may_be_changed_before_the_update(tmp_path, backend, caplog):
    caplog.set_level(logging.INFO, "caffepy")
    watchers = [Doubles(), Doubles()]
    waiting = list(watchers)
    (plain, _), (recorded, _) = _two(tmp_path, backend, "", observe=lambda: [waiting.pop(0)])
    for watcher, solver in zip(watchers, (plain, recorded), strict=True):
        watcher.on_begin(solver)
        solver.step(3)
        solver.step(5)
    _assert_same(plain, recorded)
    assert watchers[0].seen == watchers[1].seen
    assert [value > 0 for value in watchers[1].seen] == [False, True] * 8
    assert caplog.messages.count("The update is started by itself: gradients are looked at before it, by Doubles.") == 1
    assert {UPDATE, "Recorded as a CUDA graph: forward, loss, backward."} <= set(caplog.messages)
    assert WHOLE not in caplog.messages


class Looks(Observer):
    """Notes weights and gradients at each display."""

    def __init__(self):
        self.solver, self.seen = None, []

    def on_display(self, event):
        self.seen.append((event, _state(self.solver)))


def test_displays_come_before_the_update(tmp_path, backend, caplog):
    caplog.set_level(logging.INFO, "caffepy")
    watchers = [Looks(), Looks()]
    waiting = list(watchers)
    pairs = _two(tmp_path, backend, "display: 2 clip_gradients: 0.5", observe=lambda: [waiting.pop(0)])
    for watcher, (solver, _) in zip(watchers, pairs, strict=True):
        watcher.solver = solver
        solver.step(9)
    _assert_same(*(solver for solver, _ in pairs))
    assert {WHOLE, PASSES, UPDATE} <= set(caplog.messages)
    for (one, state), (other, other_state) in zip(watchers[0].seen, watchers[1].seen, strict=True):
        assert (one.iter, one.loss, one.rate, one.outputs) == (other.iter, other.loss, other.rate, other.outputs)
        for a, b in zip(state, other_state, strict=True):
            np.testing.assert_array_equal(a, b)


def _clips(caplog):
    found = [message for message in caplog.messages if message.startswith("Gradient clipping")]
    caplog.clear()
    return found


def test_each_clip_is_told_once_it_is_known(tmp_path, backend, caplog):
    """More of them than the device keeps, and between fetches of losses."""
    caplog.set_level(logging.INFO, "caffepy")
    (plain, told), (recorded, told_too) = _two(tmp_path, backend, "clip_gradients: 0.9 lr_policy: 'inv' gamma: 1")
    cpu = _make(tmp_path, get_backend("cpu"), False, "clip_gradients: 0.9 lr_policy: 'inv' gamma: 1")
    lines = []
    for solver in (plain, recorded, cpu):
        caplog.clear()
        solver.step(70)
        lines.append(_clips(caplog))
    assert lines[0] == lines[1]
    assert 10 < len(lines[0]) < 70
    assert " > 0.9) by scale factor 0." in lines[0][0]
    if not backend.half:
        assert lines[0][:5] == lines[2][:5]
    assert told.events == told_too.events
    assert [event.iter for event in told.of("iteration")] == list(range(70))


def test_updates_by_hand_are_told_of_too(tmp_path, backend, caplog):
    """Passes of a script's own, between which no loss is ever fetched."""
    caplog.set_level(logging.INFO, "caffepy")
    (plain, _), (recorded, _) = _two(tmp_path, backend, "clip_gradients: 0.01")
    lines, norms = [], []
    for solver in (plain, recorded):
        caplog.clear()
        norms.clear()
        for _ in range(40):
            solver.net.clear_param_diffs()
            solver.net.forward()
            solver.net.backward()
            scale = 1.0 if solver.net.loss_scale is None else solver.net.loss_scale.report()[0]
            norms.append(np.linalg.norm(solver.backend.to_host(solver._diff).astype(np.float64)) / scale)
            solver.apply_update()
        solver.step(3)
        lines.append(_clips(caplog))
    _assert_same(plain, recorded)
    assert lines[0] == lines[1]
    assert len(lines[0]) == 43
    for line, norm in zip(lines[0], norms, strict=False):
        assert f" (L2 norm {norm:g} > 0.01) " in line


def test_a_rule_of_ones_own_runs_each_time(tmp_path, caplog):
    """It counts on the host, which no recording would repeat; rate and scale are arrays of the device."""
    caplog.set_level(logging.INFO, "caffepy")

    @register_solver("Sign")
    class Sign(Solver):
        def setup(self, bounds):
            self.calls = 0

        def update(self, w, dw, history, rate, scale):
            self.calls += 1
            w -= rate * self.backend.xp.sign(dw * scale) * self.calls

    try:
        (plain, _), (recorded, _) = _two(tmp_path, get_backend("gpu:0"), "", "Sign")
    finally:
        del _registry["Sign"]
    for solver in (plain, recorded):
        solver.step(6)
        assert solver.calls == 6
    _assert_same(plain, recorded)
    assert caplog.messages.count("The update is started by itself: Sign is no rule of caffepy's own.") == 1
    assert PASSES in caplog.messages


def test_what_is_looked_at_layer_by_layer_is_not_recorded(tmp_path, caplog):
    caplog.set_level(logging.INFO, "caffepy")
    (plain, _), (recorded, _) = _two(tmp_path, get_backend("gpu:0"), "display: 3 debug_info: true")
    lines = []
    for solver in (plain, recorded):
        caplog.clear()
        solver.step(8)
        lines.append([message for message in caplog.messages if message.startswith("    [")])
    _assert_same(plain, recorded)
    assert lines[0] == lines[1]
    assert sum("[Update]" in line for line in lines[0]) == 3 * 4
    assert WHOLE in caplog.messages
    assert UPDATE not in caplog.messages


@caffepy.register_layer("FailsOnce")
class FailsOnce(caffepy.Layer):
    """Brings ones, but for one time."""

    fails = False

    def setup(self, bottom, top): ...

    def reshape(self, bottom, top):
        top[0].reshape(2, 3)

    def forward(self, bottom, top):
        if self.fails:
            raise caffepy.errors.DataError("no more records")
        top[0].data.fill(1)

    def backward(self, top, propagate_down, bottom): ...


def test_steps_before_a_failed_pass_are_dropped():
    text = """layer { name: "data" type: "FailsOnce" top: "x" }
        layer { name: "y" type: "InnerProduct" bottom: "x" top: "y" loss_weight: 1
        inner_product_param { num_output: 1 } }"""
    net = Net(parse_net(text), caffe_pb2.TRAIN, get_backend("gpu:0"))
    steps, done = Steps(net), []
    for fails in (False, False, True, False):
        net.layers[0].fails = fails
        steps.do("before", lambda: done.append("before"))
        if fails:
            with pytest.raises(caffepy.errors.DataError, match="no more records"):
                steps.run_pass(2, lambda: done.append("note"))
        else:
            steps.run_pass(2, lambda: done.append("note"))
        steps.finish()
    assert done == ["before", "note"] * 3
    assert net.counter.value == 3
