"""Large hostile files: thousands of layers, a word of megabytes; each ends in an error within its bounds.

These take a part of the size that ``make fuzz`` gives them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attacks.fuzz import Outcome, outcomes
from tests.attacks.large import LARGE

SIZE = 60_000
#: Of one attack; for a machine that does other things too.
SECONDS = 60.0
MEMORY = 1 << 30


@pytest.fixture(scope="module")
def results() -> dict[str, Outcome]:
    if not Path("/proc/self/statm").exists():
        pytest.skip("memory is limited by what Linux says of a process")
    found = outcomes(range(len(LARGE)), "tests.attacks.large", str(SIZE))
    return dict(zip(LARGE, found, strict=True))


@pytest.mark.parametrize("name", LARGE)
def test_it_ends_in_an_error(results, name):
    result = results[name]
    assert result.ended == "refused", result.message
    assert result.seconds < SECONDS
    assert result.peak < MEMORY
