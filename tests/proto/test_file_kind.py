"""What a file is by its first bytes; what readers say of files of other kinds is in test_read.py."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from caffepy.proto.file_kind import is_hdf5, is_zip


def test_hdf5_and_npz_are_told_whatever_their_name(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.npz", "w") as file:
        file["x"] = 1
    np.savez(tmp_path / "b.npz", x=np.zeros(3))
    np.savez(tmp_path / "empty.npz")
    (tmp_path / "short.h5").write_bytes(b"\x89HDF")
    assert [is_hdf5(tmp_path / name) for name in ("a.npz", "b.npz", "short.h5")] == [True, False, False]
    assert [is_zip(tmp_path / name) for name in ("a.npz", "b.npz", "empty.npz")] == [False, True, True]


@pytest.mark.parametrize("name", ["none", ".", "a\0b"])
def test_what_cannot_be_read_is_neither(name: str, tmp_path: Path) -> None:
    assert not is_hdf5(tmp_path / name)
    assert not is_zip(tmp_path / name)
