"""Kernels in CUDA C++, from the .cu files beside the ops: compiled by NVRTC when first needed, kept on disk by CuPy."""

from __future__ import annotations

import logging
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import cupy
import numpy as np

__all__ = ["THREADS", "Kernels", "blocks_for", "source_of"]

_log = logging.getLogger("caffepy")

#: Threads of a block, unless a kernel needs another number.
THREADS = 256
# Loops over the grid take what is left; more blocks than that gain nothing.
_MOST_BLOCKS = 1 << 16
_FOLDER = Path(__file__).parent
_INCLUDE = re.compile(r'^#include "(\w+\.cuh)"$', re.MULTILINE)
_STORED = {"float16": "__half", "float32": "float", "float64": "double"}
_SUMMED = {"float16": "float", "float32": "float", "float64": "double"}


def source_of(name: str, dtype: str = "float32") -> str:
    """The whole text of ``NAME.cu``, with `Real` and `Sum` of ``dtype`` and what it includes in place."""
    text = (_FOLDER / f"{name}.cu").read_text(encoding="utf-8")
    # In place, because the name under which CuPy keeps a compiled kernel does not depend on the files it includes.
    text = _INCLUDE.sub(lambda match: (_FOLDER / match[1]).read_text(encoding="utf-8"), text)
    half = "#include <cuda_fp16.h>\n" if dtype == "float16" else ""
    return f"{half}typedef {_STORED[dtype]} Real;\ntypedef {_SUMMED[dtype]} Sum;\n{text}"


def blocks_for(count: int, threads: int = THREADS) -> int:
    """How many blocks give each of ``count`` elements a thread, within what a grid should have; at least one."""
    return max(1, min(-(-count // threads), _MOST_BLOCKS))


class Kernels:
    """The kernels of ``NAME.cu`` for arrays of one dtype, on the device that is current when one is first launched.

    Args:
        name: of the file, without ending.
        dtype: of blobs.
    """

    def __init__(self, name: str, dtype: np.dtype[Any]) -> None:
        self._name, self._dtype = name, np.dtype(dtype).name

    def launch(
        self,
        function: str,
        blocks: int | tuple[int, ...],
        args: tuple[Any, ...],
        threads: int = THREADS,
        shared: int = 0,
    ) -> None:
        """Start ``function`` on CuPy's current stream and return.

        Args:
            function: its name in the file.
            blocks: of the grid.
            args: arrays; NumPy numbers of the very types that the kernel declares; ints for ``Index``.
            threads: of each block.
            shared: bytes of dynamic shared memory of each block.
        """
        # CuPy hands over a Python float as a double, of which a kernel that declares a float reads a half.
        assert not any(type(arg) in (float, bool) for arg in args), f"{function}: {args}"
        grid = blocks if isinstance(blocks, tuple) else (blocks,)
        _function(cupy.cuda.runtime.getDevice(), self._name, self._dtype, function)(
            grid, (threads,), args, shared_mem=shared
        )

    def elements(self, function: str, count: int, *args: Any) -> None:
        """`launch` for a kernel that loops over ``count`` elements; its last argument is that count."""
        if count:
            self.launch(function, blocks_for(count), (*args, count))


@cache
def _function(device: int, name: str, dtype: str, function: str) -> Any:
    return _module(device, name, dtype).get_function(function)


@cache
def _module(device: int, name: str, dtype: str) -> Any:
    _announce()
    _log.debug("Loading the CUDA kernels of %s for %s", name, dtype)
    return cupy.RawModule(code=source_of(name, dtype), options=("--std=c++17",))


@cache
def _announce() -> None:
    _log.info("CUDA kernels are compiled where they are not yet in %s; later runs find them there.", _cache_folder())


def _cache_folder() -> str:
    return os.environ.get("CUPY_CACHE_DIR") or str(Path.home() / ".cupy" / "kernel_cache")
