"""What pycaffe keeps for the whole process is put back after each test, and a device that is not the CPU is offered."""

from __future__ import annotations

import logging
import sys

import pytest

from caffepy.devices import get_backend
from caffepy.pycaffe import log, mode
from tests.other_backend import OtherBackend


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch):
    for name in ("allow_python_layers", "_gpu", "_device", "_seed", "_seeded", "_count", "_rank", "_multiprocess"):
        monkeypatch.setattr(mode, name, getattr(mode, name))
    logger = logging.getLogger("caffepy")
    before = (logger.level, logger.propagate, list(logger.handlers))
    modules = {name for name in sys.modules if name.partition(".")[0] == "caffe"}
    yield
    logger.setLevel(before[0])
    logger.propagate = before[1]
    logger.handlers[:] = before[2]
    log._handler = None
    for name in {name for name in sys.modules if name.partition(".")[0] == "caffe"} - modules:
        del sys.modules[name]


@pytest.fixture(params=["numpy", "other"])
def device(request, backend):
    """Each backend, and one whose arrays are not NumPy's: scripts see no difference."""
    return get_backend(backend) if request.param == "numpy" else OtherBackend()
