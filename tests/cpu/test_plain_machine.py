"""That a machine with one core, or without AVX2 and FMA, trains as any other: in processes that are told so."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

#: Convolutions by columns and by Winograd's algorithm, both kinds of pooling, LRN, BatchNorm, Dropout, inner products.
RUN = """
import os, sys
cores = int(sys.argv[2])
if cores and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
import numpy as np
from google.protobuf import text_format
from numba.core.registry import cpu_target
from caffepy.devices import get_backend
from caffepy.proto import caffe_pb2
from caffepy.solver import get_solver

def layer(name, kind, bottom, top, more=""):
    bottoms = " ".join(f"bottom: '{b}'" for b in bottom.split())
    return f"layer {{ name: '{name}' type: '{kind}' {bottoms} top: '{top}' {more} }} "

def learned(which, settings):
    return f"{which}_param {{ {settings} weight_filler {{ type: 'xavier' }} }}"

net = (
    "layer { name: 'data' type: 'Input' top: 'data' top: 'label' "
    "input_param { shape { dim: 24 dim: 3 dim: 28 dim: 28 } shape { dim: 24 } } } "
    + layer("conv1", "Convolution", "data", "conv1", learned("convolution", "num_output: 12 kernel_size: 5 stride: 2"))
    + layer("relu1", "ReLU", "conv1", "conv1")
    + layer("norm1", "LRN", "conv1", "norm1", "lrn_param { alpha: 0.1 }")
    + layer("pool1", "Pooling", "norm1", "pool1", "pooling_param { kernel_size: 3 stride: 1 pad: 1 }")
    + layer("conv2", "Convolution", "pool1", "conv2", learned("convolution", "num_output: 16 kernel_size: 3 pad: 1"))
    + layer("bn2", "BatchNorm", "conv2", "bn2")
    + layer("scale2", "Scale", "bn2", "bn2", "scale_param { bias_term: true }")
    + layer("relu2", "ReLU", "bn2", "bn2")
    + layer("pool2", "Pooling", "bn2", "pool2", "pooling_param { pool: AVE kernel_size: 2 stride: 2 }")
    + layer("conv3", "Convolution", "pool2", "conv3", learned("convolution", "num_output: 8 kernel_size: 1"))
    + layer("fc1", "InnerProduct", "conv3", "fc1", learned("inner_product", "num_output: 20"))
    + layer("drop1", "Dropout", "fc1", "fc1")
    + layer("fc2", "InnerProduct", "fc1", "fc2", learned("inner_product", "num_output: 10"))
    + layer("loss", "SoftmaxWithLoss", "fc2 label", "loss")
)
param = caffe_pb2.SolverParameter(
    net_param=text_format.Parse(net, caffe_pb2.NetParameter(name="small")), base_lr=0.05, lr_policy="fixed",
    momentum=0.9, weight_decay=5e-4, random_seed=1, snapshot_after_train=False,
)
backend = get_backend("cpu")
solver = get_solver(param, backend)
rng = np.random.default_rng(2)
solver.net.blobs["data"].data[...] = rng.standard_normal((24, 3, 28, 28))
solver.net.blobs["label"].data[...] = rng.integers(0, 10, 24)
losses = []
for _ in range(3):
    solver.step(1)
    losses.append(solver.net.loss())
kinds = [bool(solver.net.layer_dict[name].convs[0]._forward) for name in ("conv1", "conv2", "conv3")]
learned = {f"{name} {i}": blob.data for name, blobs in solver.net.params.items() for i, blob in enumerate(blobs)}
target = str(cpu_target.target_context.codegen().magic_tuple())
np.savez(sys.argv[1], target=target, losses=losses, threads=backend.threads, winograd=kinds, **learned)
"""
# What llvm, OpenBLAS and NumPy are told; each goes by its own.
PLAIN = {
    "NUMBA_CPU_NAME": "generic",
    "NUMBA_CPU_FEATURES": "",
    "OPENBLAS_CORETYPE": "Prescott",
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512_SKX AVX2 FMA3 X86_V3 X86_V4",
}


def run(path, cores=0, variables=None):
    script = [sys.executable, "-c", RUN, str(path), str(cores)]
    given = {**os.environ, **(variables or {})}
    done = subprocess.run(script, cwd=Path(__file__).parents[2], env=given, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    numbers = run(tmp_path_factory.mktemp("run") / "here.npz")
    assert numbers["losses"][0] > numbers["losses"][-1], "nothing was learned"
    assert set(numbers["winograd"].tolist()) == {False, True}
    return numbers


def compare(numbers, expected):
    for key, value in expected.items():
        if key not in ("threads", "winograd", "target"):
            np.testing.assert_allclose(numbers[key], value, rtol=2e-4, atol=2e-5, err_msg=key)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not say which cores a process has")
def test_one_core(expected, tmp_path):
    numbers = run(tmp_path / "one.npz", cores=1)
    assert numbers["threads"] == 1
    compare(numbers, expected)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="AVX2 is a word of x86")
def test_no_avx2(expected, tmp_path):
    numbers = run(tmp_path / "plain.npz", variables=PLAIN)
    compare(numbers, expected)
    # Without FMA sums are rounded otherwise: these are other instructions.
    assert "+fma" not in str(numbers["target"])
    if "+fma" in str(expected["target"]):
        assert any((numbers[key] != expected[key]).any() for key in numbers if key.startswith("conv"))
