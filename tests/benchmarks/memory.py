"""Peak memory of training steps of AlexNet, against BVLC Caffe's: data and diff of every blob.

    python tests/benchmarks/memory.py [--model alexnet] [--batch 128] [--steps 3]

Caffe's side is computed, in its favour: twice 4 bytes for each element of each blob, three times for each learnable one
(data, diff, history), and the largest buffer of unfolded columns; neither its program nor what its layers keep beside
(LRN's scale, dropout's and pooling's masks, data read ahead). Ours is what the system counted: the most that the
process ever held, Python, NumPy and numba included; data are random numbers made once, as Caffe's side has no data read
ahead either. Each row runs in a process of its own. Target: 0.75 with memory shared between blobs, as `caffepy train`
does it.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from caffepy.net import Net  # noqa: E402
from caffepy.proto import caffe_pb2  # noqa: E402
from caffepy.proto.read import read_net  # noqa: E402
from caffepy.solver import get_solver  # noqa: E402

#: Side of the images that a model's net crops.
CROPS = {"lenet": 28, "alexnet": 227, "caffenet": 227}


def training_net(model: str, batch: int) -> caffe_pb2.NetParameter:
    """The model's net for training, on one batch of random images."""
    param, _ = read_net(ROOT / "models" / model / "train_val.prototxt")
    size = CROPS.get(model, 224)
    net = caffe_pb2.NetParameter(name=model)
    data = net.layer.add(name="data", type="DummyData", top=["data", "label"]).dummy_data_param
    data.shape.add(dim=[batch, 1 if model == "lenet" else 3, size, size])
    data.shape.add(dim=[batch])
    # Refilled in each pass they would cost time, and memory while they are drawn.
    data.data_filler.add(type="constant", value=1)
    data.data_filler.add(type="constant", value=1)
    net.layer.extend(layer for layer in param.layer if layer.type != "Data")
    return net


def caffe_bytes(net: Net) -> int:
    """What Caffe allocates for ``net`` and its training by SGD."""
    blobs = {id(blob): blob.count for entry in net.entries for blob in entry.top if entry.layer.type != "Split"}
    learned = sum(param.blob.count for param in net.learnable_params)
    columns = 0
    for entry in net.entries:
        if entry.layer.type == "Convolution":
            weight, top = entry.layer.blobs[0].shape, entry.top[0].shape
            group = entry.layer.param.convolution_param.group
            plain = math.prod(weight[2:]) == 1 and not any(entry.layer.param.convolution_param.pad)
            columns = max(columns, 0 if plain else group * math.prod(weight[1:]) * math.prod(top[2:]))
    # Split: its tops' data is the bottom's, their diffs are not.
    splits = sum(blob.count for entry in net.entries for blob in entry.top if entry.layer.type == "Split")
    return 4 * (2 * sum(blobs.values()) + splits + 3 * learned + columns)


def _status(field: str) -> int:
    """Bytes that the system counts for this process: VmHWM, the most it ever held; VmRSS, what it holds."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) << 10
    raise SystemExit("this system does not say how much memory a process held: /proc/self/status has no " + field)


def run(model: str, batch: int, steps: int, share: bool) -> dict[str, int]:
    """Train some steps in this process."""
    before = _status("VmRSS")
    solver = get_solver(
        caffe_pb2.SolverParameter(
            net_param=training_net(model, batch), base_lr=1e-4, lr_policy="fixed", momentum=0.9, weight_decay=5e-4,
            random_seed=1, snapshot_after_train=False,
        ),
        share_memory=share,
    )  # fmt: skip
    built = _status("VmHWM")
    solver.step(steps)
    blobs = {id(blob): blob.count for entry in solver.net.entries for blob in entry.top}
    return {
        "start": before, "built": built, "peak": _status("VmHWM"), "caffe": caffe_bytes(solver.net),
        "arena": 4 * solver.net.memory.size if solver.net.memory else 0, "data": 4 * sum(blobs.values()),
        "learned": 12 * sum(param.blob.count for param in solver.net.learnable_params),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="alexnet")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--side", choices=["shared", "kept"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(run(given.model, given.batch, given.steps, given.side == "shared")))
        return
    for side in ("shared", "kept"):
        command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        figures = json.loads(output.splitlines()[-1])
        mb = {name: f"{size / 1e6:.0f} MB" for name, size in figures.items()}
        print(
            f"{given.model}, batch {given.batch}, blobs' memory {side}: peak {mb['peak']}, Caffe {mb['caffe']}, ratio "
            f"{figures['peak'] / figures['caffe']:.3f} ({mb['start']} before the net, {mb['built']} built, "
            f"weights, gradients and history {mb['learned']}, blobs' data {mb['data']}, shared arena {mb['arena']})",
            flush=True,
        )


if __name__ == "__main__":
    main()
