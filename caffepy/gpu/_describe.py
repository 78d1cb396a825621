"""The GPUs that there are, and the versions of the libraries that caffepy computes on them with."""

from __future__ import annotations

import importlib.metadata
import re

import cupy

from caffepy.gpu._open import check_device, version_text

__all__ = ["describe"]


def describe() -> list[tuple[str, str]]:
    """Rows of a name and a text: devices, CuPy, CUDA, cuDNN and NCCL; for what is missing the line that installs it.

    Raises:
        BackendError: no GPU can be used.
    """
    check_device(0)
    runtime = cupy.cuda.runtime
    rows = [(f"gpu:{index}", _device(index)) for index in range(runtime.getDeviceCount())]
    driver = version_text(runtime.driverGetVersion())
    rows.append(("CuPy", f"{cupy.__version__}, CUDA {version_text(runtime.runtimeGetVersion())}, driver for {driver}"))
    return [*rows, ("cuDNN", _cudnn()), ("NCCL", _nccl())]


def _device(index: int) -> str:
    runtime = cupy.cuda.runtime
    properties = runtime.getDeviceProperties(index)
    with cupy.cuda.Device(index) as device:
        free, total = runtime.memGetInfo()
        capability = ".".join(re.findall(r"\d+(?=\d$)|\d$", device.compute_capability))
    name = properties["name"].decode()
    return f"{name}, compute capability {capability}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"


def _cuda() -> int:
    return int(cupy.cuda.runtime.runtimeGetVersion() // 1000)


def _cudnn() -> str:
    frontend, library = _installed("nvidia-cudnn-frontend"), _installed(f"nvidia-cudnn-cu{_cuda()}")
    if frontend and library:
        return f"{library}, frontend {frontend}"
    missing = " and ".join(
        name
        for name, found in ((f"nvidia-cudnn-cu{_cuda()}", library), ("nvidia-cudnn-frontend", frontend))
        if not found
    )
    return (
        f"missing: {missing}. Convolutions run by cuBLAS, with the same results to rounding; "
        f"pip install 'caffepy[gpu-cuda{_cuda()}]'"
    )


def _nccl() -> str:
    try:
        from cupy.cuda import nccl

        number = int(nccl.get_version())
    except (ImportError, AttributeError, RuntimeError):
        return "not there; it is for several GPUs, which this release does not train on"
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}; this release trains on one GPU at a time"


def _installed(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
