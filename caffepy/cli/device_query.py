"""``caffepy device-query``: the processor, the GPUs, and the versions of all that caffepy stands on."""

from __future__ import annotations

import importlib.metadata
import platform
import re
from pathlib import Path

import click

from caffepy.cli.command import CaffeCommand
from caffepy.cli.options import open_backend

__all__ = ["command"]

_PACKAGES = ("numpy", "numba", "pillow", "lmdb", "protobuf", "h5py", "matplotlib", "rich", "click", "threadpoolctl")


@click.command("device-query", cls=CaffeCommand)
@click.option("--threads", type=click.IntRange(min=1), help="Show this as the number of cores; all unless given.")
@click.option("--gpu", default="", help="Fail unless the GPU of this number can be computed on.")
def command(gpu: str, threads: int | None) -> int:
    """Show the processor, the GPUs and the versions of all that is used.

    The exit code is 1 if something is missing that is needed, or a GPU that -gpu names.
    """
    missing = [name for name in _PACKAGES if _version(name) is None]
    rows = [("caffepy", _caffepy()), ("Python", f"{platform.python_version()} on {platform.platform()}")]
    rows.append(("processor", _processor()))
    if not missing:
        rows.append(("cores", f"{open_backend('', threads).threads} that this process may use"))
    memory = _memory()
    rows += [("memory", memory)] if memory else []
    rows += [(name, _version(name) or f"missing: pip install {name}") for name in _PACKAGES]
    if not missing:
        rows.append(("BLAS", _blas()))
        rows += _gpus()
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        click.echo(f"{name:{width}}  {text}")
    if gpu and gpu != "all":
        open_backend(gpu, threads)
    return 1 if missing else 0


def _caffepy() -> str:
    from caffepy import __version__

    return __version__


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _memory() -> str:
    try:
        found = re.search(r"^MemTotal:\s*(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return f"{int(found[1]) / 2**20:,.1f} GiB" if found else ""


def _blas() -> str:
    import numpy  # noqa: F401  # loads the library that is asked about
    from threadpoolctl import threadpool_info

    found = [info for info in threadpool_info() if info.get("user_api") == "blas"]
    parts = [f"{info['internal_api']} {info['version']}, {info['num_threads']} threads" for info in found]
    return "; ".join(parts) or "not one that threadpoolctl knows"


def _gpus() -> list[tuple[str, str]]:
    from caffepy.devices import describe_gpus
    from caffepy.errors import BackendError

    try:
        return describe_gpus()
    except BackendError as error:
        return [("GPU", str(error))]
