"""Notes on the GPU against the CPU's."""

from __future__ import annotations

import numpy as np

from caffepy.backend import Counter
from tests.gpu.twins import on


def test_twins(cpu, gpu):
    """Numbers of another type among them; more rows than are kept."""
    random, ops = np.random.default_rng(12), []
    for backend in (cpu, gpu):
        ops.append(backend.ops.Notes(backend))
        ops[-1].plan(3, 3)
    for number in range(7):
        values = [random.standard_normal(shape) for shape in ((), (33, 5), (1,))]
        for backend, op in zip((cpu, gpu), ops, strict=True):
            op.forward(*(on(backend, each) for each in values[:2]), on(backend, values[2], np.float64))
        for count in range(min(number + 1, 3) + 1):
            one, other = (op.fetch(count) for op in ops)
            assert one.shape == other.shape == (count, 3)
            np.testing.assert_allclose(other, one, rtol=1e-12)
            np.testing.assert_array_equal(other[:, [0, 2]], one[:, [0, 2]])


def test_sums_are_of_the_type_of_what_is_added(gpu):
    op = gpu.ops.Notes(gpu)
    op.plan(1, 3)
    parts = (np.array([2**24, 1, 1]), np.float32), (np.full(2, 3e38), np.float32), (np.full(2, 3e38), np.float64)
    op.forward(*(gpu.asarray(values, dtype) for values, dtype in parts))
    assert op.fetch(1).tolist() == [[2**24 + 2, np.inf, 6e38]]


def test_of_nothing(gpu):
    op = gpu.ops.Notes(gpu)
    op.plan(2, 0)
    op.forward()
    assert op.fetch(1).shape == (1, 0)
    op.plan(2, 1)
    op.forward(gpu.zeros((0,)))
    assert op.fetch(1).tolist() == [[0]]


def test_a_recording_notes_another_row_each_time(gpu):
    op, x, recorder = gpu.ops.Notes(gpu), gpu.zeros((1,)), gpu.recorder(Counter())
    op.plan(4, 1)
    for number in range(6):
        x.fill(number)
        recorder.run("note", [lambda: op.forward(x)])
    assert op.fetch(4).tolist() == [[2], [3], [4], [5]]
