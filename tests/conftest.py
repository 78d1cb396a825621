"""What all tests share: seeds, the ``backend`` fixture, and a count of what was skipped and why."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from tests.a_gpu import BACKENDS


@pytest.fixture(autouse=True)
def _seeds():
    """Global generators start equal in each test; caffepy itself never draws from them."""
    random.seed(1701)
    np.random.seed(1701)


@pytest.fixture(params=BACKENDS)
def backend(request):
    """The name of each backend in turn, for `caffepy.devices.get_backend`."""
    return request.param


def skip_counts(reports) -> Counter[str]:
    """How often each reason was given for a skip."""
    reasons: Counter[str] = Counter()
    for report in reports:
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[text.removeprefix("Skipped: ")] += 1
    return reasons


def pytest_terminal_summary(terminalreporter):
    """Print the skips, counted by reason: a suite that checks less than it seems to must say so."""
    reasons = skip_counts(terminalreporter.stats.get("skipped", []))
    if reasons:
        terminalreporter.section(f"{sum(reasons.values())} skipped")
        for reason, count in reasons.most_common():
            terminalreporter.write_line(f"{count:5d} x {reason}")
