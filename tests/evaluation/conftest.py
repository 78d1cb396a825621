"""Devices that nets are evaluated on."""

from __future__ import annotations

import pytest

from caffepy.devices import get_backend
from tests.other_backend import OtherBackend


@pytest.fixture(params=["numpy", "other"])
def device(request, backend):
    """Each backend, and one whose arrays are not NumPy's."""
    return get_backend(backend) if request.param == "numpy" else OtherBackend()
