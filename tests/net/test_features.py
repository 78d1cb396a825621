"""Blobs that have no row for each record."""

from __future__ import annotations

import pytest

from caffepy.errors import NetError
from caffepy.net.features import Features
from tests.net.from_text import net_of

SCALAR = 'layer { name: "s" type: "Input" top: "s" input_param { shape { } } } '
ROWS = 'layer { name: "r" type: "Input" top: "r" input_param { shape { dim: 3 dim: 2 } } } '
SILENCE = 'layer { name: "q" type: "Silence" bottom: "s" } '


def test_a_number_is_no_row():
    with pytest.raises(NetError, match=r"blob 's' is of shape \(\): it has no row for each of the \d+ records"):
        Features(net_of(SCALAR), ["s"], 1)


def test_the_first_blob_that_has_rows_says_how_many():
    features = Features(net_of(SCALAR + SILENCE + ROWS), ["r"], 2)
    assert features.records == 6
    assert [rows.blobs["r"].shape for rows in features] == [(3, 2), (3, 2)]
