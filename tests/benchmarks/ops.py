"""Speed of the ops of LeNet and AlexNet on this machine's CPU, against its matrix product.

    python tests/benchmarks/ops.py [--batch 64] [--threads 2] [--rounds 5] [--only conv2] [--clock cpu]

The yardstick is the single-precision product of two 1024 x 1024 matrices in one thread times the number of threads,
measured before and after each round, in the same process: on a shared machine only the ratio tells. Printed are
medians over the rounds. Where others use the machine too, ``--clock cpu`` counts the seconds that all threads worked,
divided by their number, rather than those that passed. Target: convolutions forward at least 0.6 of the yardstick.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import threadpoolctl

sys.path.insert(0, str(Path(__file__).parents[2]))

from caffepy.backend import Backend
from caffepy.devices import get_backend

Passes = dict[str, Callable[[], None]]

# x without the batch, num_output, kernel, stride, pad, group
CONVOLUTIONS = {
    "lenet conv1": ((1, 28, 28), 20, 5, 1, 0, 1),
    "lenet conv2": ((20, 12, 12), 50, 5, 1, 0, 1),
    "alexnet conv1": ((3, 227, 227), 96, 11, 4, 0, 1),
    "alexnet conv2": ((96, 27, 27), 256, 5, 1, 2, 2),
    "alexnet conv3": ((256, 13, 13), 384, 3, 1, 1, 1),
    "alexnet conv4": ((384, 13, 13), 384, 3, 1, 1, 2),
    "alexnet conv5": ((384, 13, 13), 256, 3, 1, 1, 2),
}
PRODUCTS = {
    "lenet ip1": (800, 500),
    "lenet ip2": (500, 10),
    "alexnet fc6": (9216, 4096),
    "alexnet fc7": (4096, 4096),
    "alexnet fc8": (4096, 1000),
}
# x without the batch, kernel, stride
POOLS = {
    "lenet pool1": ((20, 24, 24), 2, 2),
    "lenet pool2": ((50, 8, 8), 2, 2),
    "alexnet pool1": ((96, 55, 55), 3, 2),
    "alexnet pool2": ((256, 27, 27), 3, 2),
    "alexnet pool5": ((256, 13, 13), 3, 2),
}
NORMS = {"alexnet norm1": (96, 55, 55), "alexnet norm2": (256, 27, 27)}


def _random(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape, np.float32)


def convolution(backend: Backend, batch: int, name: str) -> tuple[float, Passes]:
    """Multiply-adds x 2 of a pass, and the passes."""
    image, num_output, kernel, stride, pad, group = CONVOLUTIONS[name]
    op = backend.ops.Conv(backend, num_output, *((n, n) for n in (kernel, stride, pad, 1)), group)
    size = (image[1] + 2 * pad - kernel) // stride + 1
    x, dy = _random(batch, *image), _random(batch, num_output, size, size)
    w, b = _random(num_output, image[0] // group, kernel, kernel), _random(num_output)
    y, dx, dw, db = (np.zeros_like(a) for a in (dy, x, w, b))
    op.plan(x.shape, y.shape)
    return 2 * w[0].size * y.size, {
        "forward": lambda: op.forward(x, w, b, y),
        "filter": lambda: op.backward_filter(x, dy, dw),
        "data": lambda: op.backward_data(dy, w, dx),
        "bias": lambda: op.backward_bias(dy, db),
    }


def product(backend: Backend, batch: int, name: str) -> tuple[float, Passes]:
    """The same of an inner product."""
    inputs, outputs = PRODUCTS[name]
    op = backend.ops.InnerProduct(backend, False)
    x, dy, w, b = _random(batch, inputs), _random(batch, outputs), _random(outputs, inputs), _random(outputs)
    y, dx, dw, db = (np.zeros_like(a) for a in (dy, x, w, b))
    op.plan(x.shape, y.shape)
    return 2 * batch * w.size, {
        "forward": lambda: op.forward(x, w, b, y),
        "filter": lambda: op.backward_filter(x, dy, dw),
        "data": lambda: op.backward_data(dy, w, dx),
        "bias": lambda: op.backward_bias(dy, db),
    }


def pooling(backend: Backend, batch: int, name: str, kind: str) -> Passes:
    """Forward and backward of MaxPool or AvePool."""
    image, kernel, stride = POOLS[name]
    op = getattr(backend.ops, kind)(backend, (kernel, kernel), (stride, stride), (0, 0))
    size = -(-(image[1] - kernel) // stride) + 1
    x, dy = _random(batch, *image), _random(batch, image[0], size, size)
    y, dx = np.zeros_like(dy), np.zeros_like(x)
    op.plan(x.shape, y.shape)
    return {"forward": lambda: op.forward(x, y), "backward": lambda: op.backward(dy, dx)}


def norm(backend: Backend, batch: int, name: str) -> Passes:
    """Forward and backward of AlexNet's LRN."""
    op = backend.ops.LRN(backend, 5, 1e-4, 0.75, 1.0)
    x = _random(batch, *NORMS[name])
    dy, y, dx = x.copy(), np.zeros_like(x), np.zeros_like(x)
    op.plan(x.shape)
    return {"forward": lambda: op.forward(x, y), "backward": lambda: op.backward(x, dy, dx)}


class Clock:
    """Measures seconds, those that pass or those that the process's threads work, each of ``threads`` as much."""

    def __init__(self, kind: str) -> None:
        self.cpu = kind == "cpu"

    def seconds(self, call: Callable[[], object], threads: int) -> float:
        """Of one call, out of as many as take 20 ms."""
        now = time.process_time if self.cpu else time.perf_counter
        count, began = 0, now()
        while True:
            call()
            count += 1
            passed = now() - began
            if passed > 0.02:
                return passed / count / (threads if self.cpu else 1)


class Yardstick:
    """What the machine's matrix product does just now, in GFLOP/s."""

    def __init__(self, threads: int, clock: Clock) -> None:
        self.threads, self.clock = threads, clock
        self.a, self.b = _random(1024, 1024), _random(1024, 1024)
        self.c = np.empty_like(self.a)
        self.seen: list[float] = []

    def measure(self) -> float:
        with threadpoolctl.threadpool_limits(1):
            speed = 2 * 1024**3 / self.clock.seconds(lambda: np.matmul(self.a, self.b, out=self.c), 1) / 1e9
        self.seen.append(speed * self.threads)
        return self.seen[-1]


def measure(passes: Passes, rounds: int, yardstick: Yardstick) -> dict[str, tuple[float, float]]:
    """Median seconds of each pass, and of seconds times the yardstick's speed in that round."""
    for call in passes.values():
        call()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in passes}
    for _ in range(rounds):
        before = yardstick.measure()
        taken = {name: yardstick.clock.seconds(call, yardstick.threads) for name, call in passes.items()}
        speed = (before + yardstick.measure()) / 2
        for name, took in taken.items():
            times[name].append((took, took * speed))
    return {
        name: (statistics.median(t for t, _ in values), statistics.median(s for _, s in values))
        for name, values in times.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--only", default="", help="ops whose name contains this")
    options = parser.parse_args()
    backend, batch = get_backend("cpu", "float32", options.threads), options.batch
    yardstick = Yardstick(options.threads, Clock(options.clock))
    print(f"batch {batch}, {options.threads} threads, {options.clock} clock; x: of the matrix product's speed")
    for make, names in ((convolution, CONVOLUTIONS), (product, PRODUCTS)):
        for name in filter(lambda name: options.only in name, names):
            flop, passes = make(backend, batch, name)
            results = measure(passes, options.rounds, yardstick)
            parts = [
                f"{what} {took * 1e3:.2f} ms"
                if what == "bias"
                else f"{what} {took * 1e3:.1f} ms {flop / took / 1e9:.0f} GFLOP/s {flop / 1e9 / work:.2f} x"
                for what, (took, work) in results.items()
            ]
            print(f"{name:14s} {'   '.join(parts)}", flush=True)
    others = {
        f"{name} {kind}": pooling(backend, batch, name, kind) for name in POOLS for kind in ("MaxPool", "AvePool")
    }
    others |= {name: norm(backend, batch, name) for name in NORMS}
    for name, passes in others.items():
        if options.only not in name:
            continue
        results = measure(passes, options.rounds, yardstick)
        print(
            f"{name:22s} {'   '.join(f'{what} {took * 1e3:.2f} ms' for what, (took, _) in results.items())}", flush=True
        )
    print(f"matrix product: {statistics.median(yardstick.seen):.0f} GFLOP/s in {options.threads} threads")


if __name__ == "__main__":
    main()
