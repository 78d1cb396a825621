"""Whether there is a GPU to compute on, and what to do where there is none."""

from __future__ import annotations

import cupy

from caffepy.errors import BackendError

__all__ = ["check_capability", "check_device", "version_text"]

# The first compute capabilities with tensor cores, for float16 and for TF32.
_FOR_HALF, _FOR_TF32 = 70, 80


def check_device(index: int) -> None:
    """Refuse a GPU that is not there.

    Raises:
        BackendError: no driver, one that is older than CuPy's CUDA, or no device of that number.
    """
    try:
        count: int = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise BackendError(
            f"device 'gpu:{index}': no GPU can be used here ({error}). CuPy {cupy.__version__} needs NVIDIA's driver "
            f"for CUDA {version_text(cupy.cuda.runtime.runtimeGetVersion())} or newer: 'nvidia-smi' shows the driver "
            "that there is and the CUDA that it is for. Install a newer driver, or for CUDA 12 the extra: pip install "
            "'caffepy[gpu-cuda12]'; or leave --gpu out."
        ) from None
    if not 0 <= index < count:
        there = "there is 1 GPU, number 0" if count == 1 else f"there are {count} GPUs, 0..{count - 1}"
        raise BackendError(
            f"device 'gpu:{index}': {there if count else 'no GPU is seen'}. 'caffepy device-query' lists them; "
            "CUDA_VISIBLE_DEVICES hides those that it does not name."
        )


def check_capability(index: int, tf32: bool, amp: bool) -> None:
    """Refuse a GPU that cannot do what is asked for.

    Raises:
        BackendError: the device has no tensor cores for what is asked for.
    """
    found = int(cupy.cuda.Device(index).compute_capability)
    for asked, name, least, first in (
        (tf32, "tf32", _FOR_TF32, "Ampere (A100, RTX 30)"),
        (amp, "amp", _FOR_HALF, "Volta (V100, T4, RTX 20)"),
    ):
        if asked and found < least:
            raise BackendError(
                f"device 'gpu:{index}': --{name} needs compute capability {least / 10:.1f}, {first} or newer; this GPU "
                f"has {found / 10:.1f}. Leave --{name} out."
            )


def version_text(number: int) -> str:
    """``12.9`` of CUDA's 12090."""
    return f"{number // 1000}.{number % 1000 // 10}"
