"""Solver files as people published them: those that Caffe 1.0 reads are of a known type, and their settings fit it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from caffepy.errors import CaffepyError
from caffepy.proto.read import read_solver
from caffepy.solver.lr_policy import learning_rate
from caffepy.solver.solver import solver_class
from tests.proto.test_wild import REFUSED, WILD, files

pytestmark = pytest.mark.skipif(not WILD.exists(), reason=f"the sample of public prototxts is not here: {WILD}")


@pytest.mark.parametrize("path", files("solvers"), ids=lambda path: path.name)
def test_solver(path: Path) -> None:
    if path.name in REFUSED:
        # As `caffepy train` would: the parser's error names file and line.
        with pytest.raises(CaffepyError, match=rf"^{re.escape(str(path))}:\d+:\d+: "):
            read_solver(path)
        return
    param, lines = read_solver(path)
    solver_class(param.type).check(param, lines)
    assert 0 < learning_rate(param, 0) < 10


def test_types_other_than_sgd_are_among_them() -> None:
    types = {read_solver(path)[0].type for path in files("solvers") if path.name not in REFUSED}
    assert types >= {"SGD", "Nesterov", "AdaDelta", "Adam"}
