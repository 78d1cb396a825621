"""NumPy's format, against NumPy's own writer, and headers that promise too much."""

from __future__ import annotations

import io

import numpy as np
import pytest

from caffepy.data.npy import read_npy


def _read(data: bytes):
    return read_npy(io.BytesIO(data), len(data))


def _file(header: str, version=(1, 0), length: int | None = None, data: bytes = bytes(24)) -> bytes:
    text = header.encode() + b"\n"
    width = 2 if version == (1, 0) else 4
    claimed = (len(text) if length is None else length).to_bytes(width, "little")
    return b"\x93NUMPY" + bytes(version) + claimed + text + data


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize(
    "array", [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3)), np.float32(3)]
)
def test_what_numpy_writes(version, array):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asanyarray(array), version)
    read = _read(file.getvalue())
    assert read.dtype == array.dtype
    assert read.tolist() == array.tolist()


def test_it_may_lie_behind_something_else():
    file = io.BytesIO()
    np.save(file, np.arange(3))
    data = b"head" + file.getvalue()
    behind = io.BytesIO(data)
    behind.seek(4)
    assert read_npy(behind, len(data) - 4).tolist() == [0, 1, 2]


SOUND = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (_file(SOUND, (2, 0), 2**32 - 1), r"a header of 4294967295 bytes"),
        (_file(SOUND, (1, 0), 9_000), r"a header of 9000 bytes"),
        (_file("(" * 9000), "no array of NumPy"),
        (_file("[" * 90 + "]" * 90), "no array of NumPy"),
        (_file("{'a': 1"), "no array of NumPy"),
        (_file(SOUND.replace("2,", "-2,").replace("3", "-3")), r"sizes \(-2, -3\) of float32 for 24 bytes"),
        (_file(SOUND.replace("2", str(2**62))), r"sizes \(4611686018427387904, 3\) of float32 for 24 bytes"),
        (_file(SOUND, data=bytes(25)), r"sizes \(2, 3\) of float32 for 25 bytes"),
        (_file(SOUND.replace("<f4", "|O"), data=bytes(48)), r"sizes \(2, 3\) of object"),
        (_file(SOUND.replace("<f4", "<M4"), data=bytes(48)), "no array of NumPy|of datetime64"),
        (b"\x93NUMPY\7\0", "no array of NumPy"),
        (b"", "no array of NumPy"),
    ],
)
def test_what_is_no_array(data, said):
    with pytest.raises(ValueError, match=said):
        _read(data)


def test_the_error_of_the_disk_is_passed_on():
    class Broken(io.BytesIO):
        def read(self, count=-1):
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        read_npy(Broken(), 100)
