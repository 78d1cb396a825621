"""The losses that a solver shows: of which passes, with which weights, averaged over what."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.solver import Output
from tests.solver.recorder import Recorder, solver_of
from tests.solver.rows import TABLE, TARGETS
from tests.solver.small_nets import NET, run


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
    solver, recorder = run(tmp_path, "max_iter: 12 display: 1 average_loss: 4")
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
    solver, recorder = run(tmp_path, "max_iter: 3 display: 3")
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
