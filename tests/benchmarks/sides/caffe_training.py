"""BVLC Caffe: iterations of ``caffe train``, by the times in its log."""

from __future__ import annotations

import re
import resource
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from caffepy.proto import caffe_pb2
from tests.benchmarks.nets import benchmark_net
from tests.benchmarks.sides import RATE
from tests.benchmarks.worker import peak_memory

__all__ = ["Side"]

# "I1124 03:03:26.123456 12345 solver.cpp:218] Iteration 2 (0.5 iter/s, 2s/1 iters), loss = 6.9"
_LINE = re.compile(r"^I\S+ (\d+):(\d+):(\d+\.\d+) .*\] Iteration (\d+)[ ,].*loss = ", re.MULTILINE)


class Side:
    """The net of `caffepy_training`; its images are constant, as Caffe would draw others in each iteration.

    Args:
        binary: path of ``caffe``.
        model, batch, drop: as there.
        threads: set in the environment.
        folder: where the solver is written; no weights are shared.
    """

    def __init__(
        self, binary: str, model: str, batch: int, threads: int, folder: str, drop: Collection[str] = ()
    ) -> None:
        self.binary = binary
        net = benchmark_net(model, batch, drop=drop)
        for layer in net.layer:
            if layer.type == "Input":
                shapes = list(layer.input_param.shape)
                layer.ClearField("input_param")
                layer.type = "DummyData"
                layer.dummy_data_param.shape.extend(shapes)
                layer.dummy_data_param.data_filler.add(type="constant", value=1)
        solver = caffe_pb2.SolverParameter(
            net_param=net, type="SGD", base_lr=RATE, lr_policy="fixed", momentum=0.9, weight_decay=5e-4, display=1,
            max_iter=3, snapshot_after_train=False, solver_mode=caffe_pb2.SolverParameter.CPU,
        )  # fmt: skip
        self.solver = Path(folder) / "solver.prototxt"
        self.solver.write_text(text_format.MessageToString(solver))
        self.facts: dict[str, Any] = {}

    def step(self) -> float:
        """Start Caffe for three iterations; gives the seconds of one, the first not counted."""
        done = subprocess.run(
            [self.binary, "train", f"--solver={self.solver}"], cwd=self.solver.parent, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise RuntimeError(f"{self.binary} ended with {done.returncode}: {done.stderr[-500:]}")
        ends = [60 * (60 * int(h) + int(m)) + float(s) for h, m, s, _ in _LINE.findall(done.stderr)]
        if len(ends) < 3:
            raise RuntimeError(f"{self.binary} showed {len(ends)} iterations of 3: {done.stderr[-500:]}")
        # The log's hours begin again at midnight.
        return (ends[2] - ends[1]) % 86400

    def parts(self) -> dict[str, float]:
        """Bytes of Caffe's process at most."""
        return {"peak": peak_memory(resource.RUSAGE_CHILDREN)}
