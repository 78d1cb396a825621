"""An AlexNet training run on JPEGs: milliseconds an iteration, images a second, and the share that waits for data.

    python tests/benchmarks/train_step.py [FOLDER] [--batch 64] [--iterations 10] [--threads 2] [--model MODEL]

FOLDER holds JPEG files; by default ``shared/data/photos`` beside the checkout. The net is that of ``models/alexnet``
with nothing changed but its database, mean and batch; the first two iterations, which compile and fill, do not count.
Target: less than 1 % of the time waits for data.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from caffepy.data.convert import ConversionSettings, convert_images  # noqa: E402
from caffepy.data.image_list import Entry  # noqa: E402
from caffepy.data.mean import compute_mean, write_mean  # noqa: E402
from caffepy.data.source import open_source  # noqa: E402
from caffepy.devices import get_backend  # noqa: E402
from caffepy.proto import caffe_pb2  # noqa: E402
from caffepy.proto.read import read_net  # noqa: E402
from caffepy.solver import Iteration, Observer, Solver, get_solver  # noqa: E402

WARM = 2


class Watch(Observer):
    """Notes when each iteration ended and how long data had been waited for by then."""

    def on_begin(self, solver: Solver) -> None:
        self.solver = solver
        self.ends: list[float] = []
        self.waits: list[float] = []

    def on_iteration(self, event: Iteration) -> None:
        self.ends.append(time.perf_counter())
        self.waits.append(sum(getattr(layer, "wait_seconds", 0.0) for layer in self.solver.net.layers))


def settings(folder: Path, model: str, images: Path, batch: int, iterations: int) -> caffe_pb2.SolverParameter:
    """A database and a mean of ``images`` in ``folder``, and the model's net reading them."""
    names = sorted(path.name for path in images.glob("*.jpg"))
    database, mean = str(folder / "lmdb"), str(folder / "mean.binaryproto")
    convert_images(
        [Entry(name, i % 8) for i, name in enumerate(names)],
        str(images),
        database,
        ConversionSettings(encoded=True),
    )
    source = open_source(database)
    write_mean(mean, compute_mean(source))
    source.close()
    net, _ = read_net(ROOT / "models" / model / "train_val.prototxt")
    for layer in net.layer:
        if layer.type == "Data":
            layer.data_param.source, layer.data_param.batch_size = database, batch
            layer.transform_param.mean_file = mean
    return caffe_pb2.SolverParameter(
        net_param=net, type="SGD", base_lr=0.01, lr_policy="fixed", momentum=0.9, weight_decay=5e-4, random_seed=1,
        max_iter=WARM + iterations, snapshot_after_train=False, snapshot_prefix=str(folder / "x"),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT.parent / "shared" / "data" / "photos")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--model", default="alexnet")
    given = parser.parse_args()
    if not given.folder.is_dir():
        print(f"no photos at {given.folder}: nothing is measured")
        return
    watch = Watch()
    with tempfile.TemporaryDirectory() as folder:
        param = settings(Path(folder), given.model, given.folder, given.batch, given.iterations)
        solver = get_solver(param, get_backend("cpu", threads=given.threads), observers=[watch])
        solver.solve()
        solver.close()
    steps = [after - before for before, after in zip(watch.ends[WARM - 1 :], watch.ends[WARM:], strict=False)]
    wait = (watch.waits[-1] - watch.waits[WARM - 1]) / (watch.ends[-1] - watch.ends[WARM - 1])
    step = statistics.median(steps)
    print(f"{given.model}, batch {given.batch}: median {1e3 * step:.0f} ms an iteration of {len(steps)}, "
          f"{given.batch / step:.0f} images/s, waited for data {100 * wait:.2f} %")  # fmt: skip


if __name__ == "__main__":
    main()
