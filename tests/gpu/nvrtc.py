"""NVIDIA's compiler by itself: it needs no GPU, only the wheel nvidia-cuda-nvrtc."""

from __future__ import annotations

import ctypes
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Kernel", "compile_for", "library"]


@dataclass
class Kernel:
    """What one kernel uses on one architecture; bytes, and registers of a thread."""

    registers: int = 0
    spilled: int = 0
    stack: int = 0
    shared: int = 0


def _folder(package: str, part: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(f"nvidia.{package}")
    except ModuleNotFoundError:
        return None
    places = list(spec.submodule_search_locations or []) if spec else []
    return next((Path(place) / part for place in places if (Path(place) / part).is_dir()), None)


def library() -> ctypes.CDLL | None:
    """libnvrtc of the wheel, or None."""
    folder = _folder("cuda_nvrtc", "lib")
    found = sorted(folder.glob("libnvrtc.so.*")) if folder else []
    return ctypes.CDLL(str(found[-1])) if found else None


def compile_for(source: str, architecture: int) -> dict[str, Kernel]:
    """Compile to machine code as CuPy asks for it; gives what ptxas says of each kernel.

    Raises:
        AssertionError: it does not compile; the compiler's own words.
    """
    nvrtc = library()
    assert nvrtc is not None
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None)
    try:
        options = [f"-arch=sm_{architecture}", "-std=c++17", "-default-device", "-ftz=true", "--ptxas-options=-v"]
        if headers := _folder("cuda_runtime", "include"):
            options.append(f"-I{headers}")
        array = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
        status = nvrtc.nvrtcCompileProgram(program, len(options), array)
        size = ctypes.c_size_t()
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(max(size.value, 1))
        nvrtc.nvrtcGetProgramLog(program, log)
        text = log.value.decode(errors="replace")
        assert status == 0, f"sm_{architecture}: {text}"
        return _kernels(text)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _kernels(log: str) -> dict[str, Kernel]:
    kernels: dict[str, Kernel] = {}
    kernel = Kernel()
    for line in log.splitlines():
        if match := re.search(r"(?:Function properties for|entry function) '?([\w$.]+)'?", line):
            kernel = kernels.setdefault(match[1], Kernel())
        if match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            kernel.stack, kernel.spilled = int(match[1]), int(match[2]) + int(match[3])
        if match := re.search(r"Used (\d+) registers", line):
            kernel.registers = int(match[1])
        if match := re.search(r"(\d+) bytes smem", line):
            kernel.shared = int(match[1])
    return kernels
