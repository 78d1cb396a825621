"""The latest state of a folder that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffepy.errors import SolverError
from caffepy.solver.snapshot import latest_state


def test_a_folder_that_cannot_be_read(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(SolverError, match=r"Cannot look for the latest state in .*: Permission denied"):
        latest_state(f"{tmp_path}/snap")
