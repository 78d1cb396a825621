"""What this machine is, and which of the sides to compare with are installed."""

from __future__ import annotations

import compileall
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from pathlib import Path

import threadpoolctl

import caffepy

__all__ = ["compile_modules", "compiler", "describe", "missing", "versions"]


def compile_modules(folder: Path = Path(caffepy.__file__).parent) -> None:
    """Keep bytecode beside caffepy's modules, as pip does when it installs them: a checkout has none at first."""
    compileall.compile_dir(folder, quiet=1)


def describe() -> str:
    """The processor and how many of its cores there are."""
    model = platform.processor() or platform.machine()
    if (path := Path("/proc/cpuinfo")).exists():
        fields = [line.split(":", 1) for line in path.read_text().splitlines() if ":" in line]
        found = {name.strip(): value.strip() for name, value in reversed(fields)}
        if "model name" in found:
            model = f"{found['model name']} (family {found.get('cpu family', '?')}, model {found.get('model', '?')})"
    return f"{model}, {os.cpu_count()} cores"


def versions() -> str:
    """Of Python, of what caffepy computes with, and of the sides that are here."""
    import numpy  # noqa: F401  (its BLAS is asked for below)

    parts = [f"Python {sys.version.split()[0]}"]
    for name in ("numpy", "numba", "torch", "opencv-python-headless", "pillow"):
        try:
            parts.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    blas = [info for info in threadpoolctl.threadpool_info() if info["user_api"] == "blas"]
    parts += [f"{info['internal_api']} {info['version']} ({info.get('architecture', '?')})" for info in blas]
    return ", ".join(parts)


def missing(module: str) -> str:
    """Why ``module`` cannot be compared with; empty where it is installed."""
    if importlib.util.find_spec(module) is None:
        return f"{module} is not installed: pip install '.[bench]'"
    return ""


def compiler() -> str:
    """The C++ compiler that torch.compile needs; empty where there is none."""
    names = [name for name in (os.environ.get("CXX"), "g++", "clang++") if name]
    return next((name for name in names if shutil.which(name)), "")
