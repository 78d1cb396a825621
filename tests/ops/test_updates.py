"""The update of each type of solver against its definition, segment by segment."""

from __future__ import annotations

import tracemalloc
from typing import NamedTuple

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.solver.adam import correction
from tests.reference.adadelta import adadelta
from tests.reference.adagrad import adagrad
from tests.reference.adam import adam
from tests.reference.nesterov import nesterov
from tests.reference.rmsprop import rmsprop
from tests.reference.sgd import sgd


class Rule(NamedTuple):
    """An op, its definition, and what both are made with. Settings are large, so that each of them shows."""

    name: str
    definition: object
    settings: tuple[float, ...]
    histories: int = 1
    #: Of Adam, the number of the update: its rate is corrected by it.
    more: tuple[int, ...] = ()


RULES = [
    Rule("SGD", sgd, (0.0,)),
    Rule("SGD", sgd, (0.9,)),
    Rule("Nesterov", nesterov, (0.0,)),
    Rule("Nesterov", nesterov, (0.75,)),
    Rule("AdaGrad", adagrad, (1e-8,)),
    Rule("AdaGrad", adagrad, (0.5,)),
    Rule("RMSProp", rmsprop, (0.0, 0.25)),
    Rule("RMSProp", rmsprop, (0.8, 0.25)),
    Rule("AdaDelta", adadelta, (0.0, 0.25), 2),
    Rule("AdaDelta", adadelta, (0.8, 0.25), 2),
    Rule("AdaDelta", adadelta, (0.8, 1e-6), 2),
    Rule("Adam", adam, (0.0, 0.9, 0.25), 2, (1,)),
    Rule("Adam", adam, (0.75, 0.5, 0.25), 2, (1,)),
    Rule("Adam", adam, (0.75, 0.5, 1e-8), 2, (3,)),
]
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: "-".join(map(str, (rule.name, *rule.settings))))
BOUNDS = [(0, 5, 1.0, 1.0), (5, 7, 2.0, 0.0), (9, 20, 0.0, 1.0), (20, 21, 0.1, 3.0)]
GAPS = (slice(7, 9), slice(21, 24))


def make(rule, bounds, dtype="float32", threads=None):
    backend = get_backend("cpu", dtype, threads)
    op = getattr(backend.ops, rule.name)(backend, *rule.settings)
    op.plan(bounds)
    return op


def update(rule, op, arrays, rate, weight_decay, l1, scale, more=None):
    more = rule.more if more is None else more
    if more:
        rate *= correction(*rule.settings[:2], *more)
    rate, scale = (np.array([number], arrays[0].dtype) for number in (rate, scale))
    op.update(*arrays, rate, weight_decay, l1, scale)


def draw(rule, count, dtype="float32"):
    """w, dw and histories, which are squares where they must not be negative."""
    arrays = [np.random.standard_normal(count).astype(dtype) for _ in range(2 + rule.histories)]
    if rule.name in ("AdaGrad", "RMSProp", "AdaDelta"):
        arrays[2:] = [array**2 for array in arrays[2:]]
    arrays[-1] = abs(arrays[-1]) if rule.name == "Adam" else arrays[-1]
    return arrays


def defined(rule, arrays, bounds, rate, weight_decay, l1, scale, more=None):
    more = rule.more if more is None else more
    return rule.definition(*arrays, bounds, rate, weight_decay, l1, scale, *more, *rule.settings)


@each_rule
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("l1", [False, True])
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_definition(rule, dtype, l1, scale):
    arrays = draw(rule, 24, dtype)
    arrays[0][3] = 0
    expected = defined(rule, arrays, BOUNDS, 0.1, 0.3, l1, scale)
    before = [array.copy() for array in arrays]
    update(rule, make(rule, BOUNDS, dtype), arrays, 0.1, 0.3, l1, scale)
    near = {"rtol": 2e-5, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-14}
    for got, want, old in zip(arrays, expected, before, strict=True):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, want, **near)
        for gap in GAPS:
            assert (got[gap] == old[gap]).all()


@each_rule
def test_several_updates_with_other_rates(rule):
    arrays = draw(rule, 24, "float64")
    for history in arrays[2:]:
        history[:] = 0
    op, expected = make(rule, BOUNDS, "float64"), [array.copy() for array in arrays]
    for t, rate in enumerate((0.1, 0.05, 0.01), 1):
        arrays[1][:] = expected[1][:] = np.random.standard_normal(24)
        more = (t,) if rule.more else ()
        update(rule, op, arrays, rate, 0.3, False, 1.0, more)
        expected = defined(rule, expected, BOUNDS, rate, 0.3, False, 1.0, more)
    for got, want in zip(arrays, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-13)


@each_rule
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_segments_longer_than_a_chunk(rule, threads):
    count = 100_003
    arrays = draw(rule, count)
    bounds = [(0, 40_000, 1.0, 1.0), (40_000, count, 2.0, 0.5)]
    # The definition walks one weight at a time: about the ends of segments and chunks.
    near = np.r_[0:3, 32_766:32_770, 39_998:40_002, 72_766:72_770, 98_302:98_306, count - 3 : count]
    part = int((near < 40_000).sum())
    few = [(0, part, 1.0, 1.0), (part, len(near), 2.0, 0.5)]
    expected = defined(rule, [array[near] for array in arrays], few, 0.1, 0.01, False, 1.0)
    update(rule, make(rule, bounds, threads=threads), arrays, 0.1, 0.01, False, 1.0)
    for got, want in zip(arrays, expected, strict=True):
        np.testing.assert_allclose(got[near], want, rtol=2e-5, atol=1e-6)


@each_rule
@pytest.mark.parametrize("threads", [2, 3])
def test_any_number_of_threads_gives_the_same_bits(rule, threads):
    bounds = [(0, 40_000, 1.0, 1.0), (40_000, 100_003, 2.0, 0.5)]
    one = draw(rule, 100_003)
    other = [array.copy() for array in one]
    update(rule, make(rule, bounds, threads=1), one, 0.1, 0.01, True, 0.5)
    update(rule, make(rule, bounds, threads=threads), other, 0.1, 0.01, True, 0.5)
    assert [array.tobytes() for array in one] == [array.tobytes() for array in other]


@each_rule
def test_plan_again_with_other_bounds(rule):
    op = make(rule, [(0, 2, 1.0, 0.0)])
    arrays = draw(rule, 4)
    before = [array.copy() for array in arrays]
    op.plan([(2, 4, 3.0, 0.0)])
    update(rule, op, arrays, 1.0, 0.0, False, 1.0)
    for got, old in zip(arrays[:2], before, strict=False):
        assert (got[:2] == old[:2]).all()
        assert (got[2:] != old[2:]).all()


@each_rule
def test_nan_shows(rule):
    arrays = draw(rule, 4)
    arrays[1][1] = np.nan
    update(rule, make(rule, [(0, 4, 1.0, 1.0)]), arrays, 0.1, 0.0, False, 1.0)
    for got in arrays:
        assert np.isnan(got).tolist() == [False, True, False, False]


@each_rule
def test_no_arrays_are_made(rule):
    arrays = draw(rule, 1_000_000)
    op = make(rule, [(0, 1_000_000, 1.0, 1.0)])
    update(rule, op, arrays, 0.1, 0.1, False, 1.0)
    tracemalloc.start()
    try:
        update(rule, op, arrays, 0.1, 0.1, False, 1.0)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_segment_with_lr_mult_zero_still_forgets_its_velocity():
    """SGD takes the step that is left of the last one; Nesterov too, in its way."""
    for rule, step in ((Rule("SGD", sgd, (0.5,)), 0.5), (Rule("Nesterov", nesterov, (0.5,)), 0.25)):
        w, dw, history = draw(rule, 4)
        old_w, old = w.copy(), history.copy()
        update(rule, make(rule, [(0, 4, 0.0, 1.0)]), (w, dw, history), 1.0, 1.0, False, 1.0)
        np.testing.assert_allclose(history, old / 2, rtol=1e-6)
        np.testing.assert_allclose(w, old_w - dw, rtol=1e-5, atol=1e-6)
        # (1 + momentum) * h' - momentum * h with h' = h / 2: three quarters less a half.
        np.testing.assert_allclose(dw, old * step, rtol=1e-5)


def test_adams_correction():
    """At first m and v are (1 - momentum) g and (1 - momentum2) g^2: corrected, the step is the rate."""
    rule = Rule("Adam", adam, (0.9, 0.999, 0.0), 2, (1,))
    w, dw, m, v = draw(rule, 50, "float64")
    m[:] = v[:] = 0
    signs = np.sign(dw)
    update(rule, make(rule, [(0, 50, 1.0, 0.0)], "float64"), (w, dw, m, v), 0.01, 0.0, False, 1.0)
    np.testing.assert_allclose(dw, 0.01 * signs, rtol=1e-9)


def test_a_momentum_of_one_is_not_finite_as_in_caffe():
    """Its correction divides by zero; Caffe trains on with infinities, and so a run is stopped at the next loss."""
    rule = Rule("Adam", adam, (1.0, 0.999, 1e-8), 2, (1,))
    arrays = draw(rule, 4)
    update(rule, make(rule, [(0, 4, 1.0, 0.0)]), arrays, 0.01, 0.0, False, 1.0)
    assert not np.isfinite(arrays[0]).any()
