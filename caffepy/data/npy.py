"""NumPy's .npy format, read so that a damaged or hostile file costs no more memory than it has bytes."""

from __future__ import annotations

import math
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_npy"]

# NumPy's own limit: its headers are Python literals, and longer ones only cost time.
_MAX_HEADER = 10_000


def read_npy(file: BinaryIO, size: int) -> NDArray[Any]:
    """The array of integers or floats in ``file``, which has ``size`` bytes from where it stands.

    Not np.load: header and data are held against ``size`` before any memory is taken, and pickles are never read.

    Raises:
        ValueError: anything else than such an array, whole and alone.
        OSError: the file cannot be read.
    """
    begin = file.tell()
    try:
        version = np.lib.format.read_magic(file)
        width = 2 if version == (1, 0) else 4
        length = int.from_bytes(file.read(width), "little")
        if length > min(_MAX_HEADER, size):
            raise ValueError(f"a header of {length} bytes")
        file.seek(-width, 1)
        read_header = np.lib.format.read_array_header_1_0 if width == 2 else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read_header(file)
    except OSError:
        raise
    # A header is parsed as Python: SyntaxError, MemoryError, RecursionError, tokenize.TokenError ..., by the damage.
    except Exception as error:
        raise ValueError(f"no array of NumPy: {str(error)[:200]}") from error
    stored = begin + size - file.tell()
    if dtype.kind not in "fiu" or min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != stored:
        raise ValueError(f"sizes {str(shape)[:200]} of {str(dtype)[:50]} for {stored} bytes of data")
    values = np.frombuffer(file.read(stored), dtype)
    return values.reshape(shape, order="F" if fortran else "C")
