"""Where the recorded facts are: a folder ``shared/oracle`` beside the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

ORACLE = Path(__file__).parents[2] / ".." / "shared" / "oracle"


@pytest.fixture
def oracle():
    """The folder of what BVLC Caffe computed; skips where it is absent."""
    if not ORACLE.is_dir():
        pytest.skip("no ../shared/oracle beside the checkout: BVLC Caffe's recorded results are not compared")
    return ORACLE
