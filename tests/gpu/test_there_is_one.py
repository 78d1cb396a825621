"""Whether what must be shown on a GPU is shown in this run."""

from __future__ import annotations

import pytest

from caffepy.devices import get_backend
from tests.a_gpu import WHY_NOT


def test_there_is_a_gpu():
    if WHY_NOT:
        pytest.skip(f"all tests of the GPU are left out: {WHY_NOT}")
    backend = get_backend("gpu:0")
    assert backend.device == "gpu:0"
    assert backend.to_host(backend.zeros((2, 3))).tolist() == [[0, 0, 0], [0, 0, 0]]
