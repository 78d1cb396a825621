"""Where backends come from: the only module that imports ``caffepy.cpu`` and ``caffepy.gpu``, each when asked for."""

from __future__ import annotations

import functools
import re

from caffepy.backend import Backend
from caffepy.errors import BackendError

__all__ = ["describe_gpus", "get_backend"]


def get_backend(
    device: str = "cpu", dtype: str = "float32", threads: int | None = None, *, tf32: bool = False, amp: bool = False
) -> Backend:
    """The backend of ``device``; the same object for the same arguments.

    Args:
        device: "cpu", "gpu" or "gpu:1"; "gpu" is "gpu:0".
        dtype: "float32", or "float64" to check gradients.
        threads: how many threads the ops use; all cores unless given.
        tf32: on a GPU, let products of float32 round their factors to TF32 (10 bits behind the point).
        amp: on a GPU, keep what products read and write in float16, and weights and sums in float32.

    Raises:
        BackendError: the device is not there, or the arguments are not understood.
    """
    # Keyed by values, however they were passed: two backends would mean two pools of threads.
    return _backend("gpu:0" if device == "gpu" else device, dtype, threads, bool(tf32), bool(amp))


@functools.cache
def _backend(device: str, dtype: str, threads: int | None, tf32: bool, amp: bool) -> Backend:
    if dtype not in ("float32", "float64"):
        raise BackendError(f"dtype must be 'float32' or 'float64'; got {dtype!r}.")
    if threads is not None and threads < 1:
        raise BackendError(f"threads must be at least 1; got {threads}.")
    asked = [name for name, given in (("tf32", tf32), ("amp", amp)) if given]
    if asked and dtype != "float32":
        raise BackendError(f"{' and '.join(asked)}: of float32 only; got dtype {dtype!r}.")
    if device == "cpu":
        if asked:
            raise BackendError(
                f"{' and '.join(f'--{name}' for name in asked)}: these are ways in which a GPU computes, and the "
                "device is 'cpu', which computes in float32. Add --gpu 0, or leave them out."
            )
        from caffepy.cpu.backend import CpuBackend

        return CpuBackend(dtype, threads)
    if match := re.fullmatch(r"gpu(?::(\d{1,4}))?", device):
        try:
            from caffepy.gpu.backend import GpuBackend
        except ImportError as error:
            raise _no_cupy(device, error) from error
        return GpuBackend(int(match[1] or 0), dtype, threads, tf32, amp)
    raise BackendError(f"Unknown device {device!r}: expected 'cpu' or 'gpu:N' with N the number of the GPU.")


def describe_gpus() -> list[tuple[str, str]]:
    """What `get_backend` has to compute with on GPUs, as rows of a name and a text.

    Raises:
        BackendError: CuPy is not installed, or no GPU can be used.
    """
    try:
        from caffepy.gpu._describe import describe
    except ImportError as error:
        raise _no_cupy("gpu", error) from error
    return describe()


def _no_cupy(device: str, error: ImportError) -> BackendError:
    return BackendError(
        f"device {device!r}: CuPy, which caffepy computes with on GPUs, cannot be imported ({error}). "
        "pip install 'caffepy[gpu-cuda12]', or 'caffepy[gpu-cuda13]' where the driver is for CUDA 13 or newer; "
        "or leave --gpu out."
    )
