"""caffepy.cpu.notes: rows in order, the last ones kept."""

from __future__ import annotations

import numpy as np

from caffepy.devices import get_backend


def make(rows, columns):
    backend = get_backend("cpu")
    op = backend.ops.Notes(backend)
    op.plan(rows, columns)
    return op


def test_the_last_rows_are_kept_in_order():
    op = make(3, 2)
    for i in range(5):
        op.forward(np.float32(i), np.full((2, 2), i, np.float32))
        assert op.fetch(1).tolist() == [[i, 4 * i]]
    assert op.fetch(3).tolist() == [[2, 8], [3, 12], [4, 16]]
    assert op.fetch(2).tolist() == [[3, 12], [4, 16]]
    assert op.fetch(0).shape == (0, 2)


def test_sums_are_of_the_type_of_what_is_added():
    op = make(1, 3)
    with np.errstate(over="ignore"):
        op.forward(np.array([2**24, 1, 1], np.float32), np.full(2, 3e38, np.float32), np.full(2, 3e38))
    assert op.fetch(1).tolist() == [[2**24 + 2, np.inf, 6e38]]


def test_what_was_fetched_is_not_written_over():
    op = make(2, 1)
    op.forward(np.ones(()))
    kept = op.fetch(1)
    op.forward(np.zeros(()))
    op.forward(np.zeros(()))
    assert kept.tolist() == [[1]]


def test_nothing_to_note():
    op = make(4, 0)
    op.forward()
    op.forward()
    assert op.fetch(2).shape == (2, 0)


def test_plan_again():
    op = make(2, 1)
    op.forward(np.ones(()))
    op.plan(2, 2)
    op.forward(np.ones(()), np.ones(2))
    assert op.fetch(1).tolist() == [[1, 2]]
