"""Command lines run in this process, on the bundled digits and a net that learns them in a moment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from caffepy.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "models" / "lenet" / "digits"

NET = """name: "Tiny"
layer {{ name: "digits" type: "Data" top: "data" top: "label" include {{ phase: TRAIN }}
  transform_param {{ scale: 0.00390625 }} data_param {{ source: "{digits}/train" batch_size: 64 backend: LMDB }} }}
layer {{ name: "digits" type: "Data" top: "data" top: "label" include {{ phase: TEST }}
  transform_param {{ scale: 0.00390625 }} data_param {{ source: "{digits}/test" batch_size: 60 backend: LMDB }} }}
layer {{ name: "flat" type: "Flatten" bottom: "data" top: "flat" }}
layer {{ name: "scale" type: "Scale" bottom: "flat" top: "scale" scale_param {{ bias_term: true }} }}
layer {{ name: "accuracy" type: "Accuracy" bottom: "scale" bottom: "label" top: "accuracy" include {{ phase: TEST }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "scale" bottom: "label" top: "loss" }}
"""

SOLVER = """net: "net.prototxt" test_iter: 6 test_interval: 20 base_lr: 0.5 lr_policy: "step" gamma: 0.5 stepsize: 30
max_iter: 40 momentum: 0.9 display: 10 snapshot: 20 snapshot_prefix: "out/tiny"
"""


class Result(NamedTuple):
    """What a command line left: exit code, stdout, and stderr with glog's heads taken off."""

    code: int
    out: str
    err: str

    @property
    def lines(self):
        """The lines of stderr without their heads; those on how nets are built, or kernels compiled, are left out."""
        apart = re.compile(r" net\.cpp:|\] Compil(ing|ed \d+) kernels ")
        told = (line for line in self.err.splitlines() if not apart.search(line))
        return [re.sub(r"^[IWE]\d{4} [\d:.]+ +\d+ [\w.]+:\d+\] ", "", line) for line in told]


@pytest.fixture
def run(capsys):
    """Run a command line in this process."""

    def call(*args):
        capsys.readouterr()
        code = main([str(arg) for arg in args])
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """A folder with the databases train and test of the bundled digits, as JPEGs of 28 x 28."""
    folder = tmp_path_factory.mktemp("digits")
    for part in ("train", "test"):
        files = [str(DIGITS / f"{part}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")]
        size = ["-resize_height=28", "-resize_width=28", "-encode_type=jpg"]
        assert main(["convert-mnist", *size, *files, str(folder / part)]) == 0
    return folder


@pytest.fixture
def project(tmp_path, digits, monkeypatch):
    """A folder, made current, with net.prototxt and solver.prototxt."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET.format(digits=digits))
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    return tmp_path


@pytest.fixture
def start():
    """Start a command line in a process of its own; killed at the end if it still runs."""
    processes = []

    def call(*args, cwd):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "CAFFEPY_TRACEBACK": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "caffepy", *map(str, args)],
            cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
        return process

    yield call
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()
