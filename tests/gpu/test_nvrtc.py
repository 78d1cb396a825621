"""Every kernel compiles for every kind of GPU that is still sold or used, and keeps its values in registers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from caffepy.gpu._kernels import source_of
from tests.gpu.nvrtc import compile_for

_FOLDER = Path(__file__).parents[2] / "caffepy/gpu"
_FILES = sorted(path.stem for path in _FOLDER.glob("*.cu"))
#: V100, T4, A100, RTX 3090, RTX 4090, H100, B200, RTX 5090.
_ARCHITECTURES = (70, 75, 80, 86, 89, 90, 100, 120)
#: Kernel -> bytes that it may spill, and why there is no way around it.
_MAY_SPILL: dict[str, int] = {}
# Of 255 that there are; with more than these two blocks of 256 threads do not fit a multiprocessor.
_MOST_REGISTERS = 128


def test_each_kernel_is_named_after_its_file():
    """A trace or profile of a run says where each kernel is."""
    for name in _FILES:
        text = (_FOLDER / f"{name}.cu").read_text(encoding="utf-8")
        kernels = re.findall(r'extern "C" __global__ void (\w+)\(', text)
        assert kernels, name
        assert not [kernel for kernel in kernels if not kernel.startswith(name.lstrip("_"))], name


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", _FILES)
def test_compiles_everywhere(name, dtype):
    source = source_of(name, dtype)
    declared = set(re.findall(r'extern "C" __global__ void (\w+)\(', source))
    for architecture in _ARCHITECTURES if dtype == "float32" else (70, 90):
        kernels = compile_for(source, architecture)
        assert declared <= kernels.keys(), f"sm_{architecture}"
        for kernel, used in kernels.items():
            assert used.spilled <= _MAY_SPILL.get(kernel, 0), f"{kernel} on sm_{architecture}: {used}"
            # Functions that the compiler calls, such as pow's, use those of the kernel.
            least = 1 if kernel in declared else 0
            assert least <= used.registers <= _MOST_REGISTERS, f"{kernel} on sm_{architecture}: {used}"


def test_what_does_not_compile_is_said():
    with pytest.raises(AssertionError, match=r'sm_90: .*identifier "y" is undefined'):
        compile_for('extern "C" __global__ void f(float* x) { x[0] = y; }', 90)


def test_spills_are_seen():
    body = "\n".join(f"float v{i} = x[{i} * n];" for i in range(400)) + "\n__syncthreads();\n"
    body += "\n".join(f"x[{399 - i}] = v{i} * v{(i * 7) % 400};" for i in range(400))
    kernels = compile_for(f'extern "C" __global__ __launch_bounds__(1024) void f(float* x, int n) {{ {body} }}', 90)
    assert kernels["f"].spilled > 0
