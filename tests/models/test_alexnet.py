"""AlexNet as models/alexnet has it, trained from a database of JPEG photos by the commands that a user types."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from caffepy.proto import caffe_pb2
from caffepy.proto.arrays import blob_array
from caffepy.proto.read import read_binary, read_net
from caffepy.proto.text import to_text

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT.parent / "shared" / "data" / "photos"
# 256 and 50 in the file: on two cores a step of that size takes the time of this whole test.
BATCH = 8

pytestmark = pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"no photos at {PHOTOS}")


def caffepy(*arguments: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "caffepy", *arguments], cwd=folder, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the database, the mean, and the net with nothing changed but paths and batch sizes."""
    folder = tmp_path_factory.mktemp("alexnet")
    classes = sorted({path.name.split("_")[0] for path in PHOTOS.glob("*.jpg")})
    lines = [f"{path.name} {classes.index(path.name.split('_')[0])}" for path in sorted(PHOTOS.glob("*.jpg"))]
    (folder / "list.txt").write_text("\n".join(lines) + "\n")
    caffepy("convert_imageset", "-encoded", "-shuffle", f"{PHOTOS}/", "list.txt", "photos_lmdb", folder=folder)
    caffepy("compute_image_mean", "photos_lmdb", "mean.binaryproto", folder=folder)
    net, _ = read_net(ROOT / "models" / "alexnet" / "train_val.prototxt")
    for layer in net.layer:
        if layer.type == "Data":
            layer.data_param.source = "photos_lmdb"
            layer.data_param.batch_size = BATCH
            layer.transform_param.mean_file = "mean.binaryproto"
    (folder / "train_val.prototxt").write_text(to_text(net))
    return folder


def write_solver(folder: Path, name: str) -> str:
    (folder / f"{name}.prototxt").write_text(
        'net: "train_val.prototxt"  base_lr: 0.01  lr_policy: "step"  gamma: 0.1  stepsize: 100000\n'
        "momentum: 0.9  weight_decay: 0.0005  random_seed: 7  display: 1  max_iter: 20\n"
        f'snapshot: 10  snapshot_prefix: "{name}/alexnet"\n'
    )
    return f"{name}.prototxt"


def train(folder: Path, name: str, *flags: str) -> list[str]:
    return [sys.executable, "-m", "caffepy", "train", "--solver", write_solver(folder, name), *flags]


def weights(path: Path) -> list[np.ndarray]:
    net = caffe_pb2.NetParameter()
    read_binary(path, net)
    return [blob_array(blob) for layer in net.layer for blob in layer.blobs]


def losses(folder: Path) -> dict[int, float]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {record["iter"]: record["loss"] for record in records if record["kind"] == "train"}


def test_a_killed_run_resumes_to_the_same_bits(run_folder: Path) -> None:
    """Twenty iterations with one decode thread, and ten, a kill -9 and ten more with four: the same weights."""
    extras = ("--colour-noise", "0.1", "--shuffle")
    subprocess.run(
        train(run_folder, "whole", "--data-threads", "1", *extras), cwd=run_folder, check=True, capture_output=True
    )
    command = train(run_folder, "killed", "--data-threads", "4", *extras)
    with subprocess.Popen(command, cwd=run_folder, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if "Iteration 12 " in line:
                os.kill(run.pid, signal.SIGKILL)
                break
    assert run.returncode == -signal.SIGKILL
    assert (run_folder / "killed" / "alexnet_iter_10.solverstate").exists()
    subprocess.run([*command, "--resume", "auto"], cwd=run_folder, check=True, capture_output=True)

    whole = weights(run_folder / "whole" / "alexnet_iter_20.caffemodel")
    resumed = weights(run_folder / "killed" / "alexnet_iter_20.caffemodel")
    assert sum(blob.size for blob in whole) == 60_965_224
    assert all(np.array_equal(a, b) for a, b in zip(whole, resumed, strict=True))
    assert losses(run_folder / "whole") == losses(run_folder / "killed")


def test_the_loss_falls(run_folder: Path) -> None:
    """From ln 1000 = 6.9, what a net knows that has seen nothing, towards ln 8, that there are eight classes."""
    seen = losses(run_folder / "whole")
    assert abs(seen[0] - np.log(1000)) < 0.5
    assert np.mean([seen[i] for i in range(16, 20)]) < 3.5
