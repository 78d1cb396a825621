"""What cuDNN plans of the convolutions of models/, and what it refuses: a table for the GPU at hand.

    python -m tests.gpu.cudnn_plans [--jobs 2] [--write]

Each distinct convolution at its own batch size: forward alone, with its bias, and with ReLU too, in both phases; both
gradients in TRAIN. In float32, in TF32 and in float16; with channels before places (NCHW, as caffepy stores blobs) and
behind them (NHWC). Nothing is computed. Plans are cuDNN's own also on an emulated device.

One that is there to be loaded will do: those that are compiled when they are built, in one to eight seconds each, are
asked where there is no other. In float16 some of cuDNN's first eight are, so that building all of them, as a run does
to time them, takes many times as long.

Where cuDNN refuses, caffepy has another way, and the table tells which: cuBLAS and its own kernels do any convolution.
What is refused is kept in refused_plans.tsv, which ``--write`` writes; more than that ends the program with 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import cupy
import numpy as np

from caffepy.gpu import _cudnn
from caffepy.gpu._cudnn import Refused, Shapes
from caffepy.proto.read import read_net
from tests.test_models import MODELS, NETS, TEST, TRAIN, first, layers_of, walk

__all__ = ["FILE", "Asked", "convolutions", "every_question", "plan", "read_refused", "way"]

FILE = Path(__file__).with_name("refused_plans.tsv")
PRECISIONS = {
    "fp32": (np.dtype("float32"), False),
    "TF32": (np.dtype("float32"), True),
    "fp16": (np.dtype("float16"), False),
}
LAYOUTS = "NCHW", "NHWC"
FORWARD = "forward", "biased", "rectified"
PASSES = *FORWARD, "data", "filter", "rounded filter"
HEAD = "device\tprecision\tlayout\tpass\tconvolution\n"


class Asked(NamedTuple):
    """One question to cuDNN."""

    precision: str
    layout: str
    what: str
    shapes: Shapes


def convolutions(path: str, phases: tuple[int, ...] = (TRAIN, TEST)) -> dict[Shapes, str]:
    """Those of a net, by shape; each with the name of a layer."""
    net, _ = read_net(MODELS / path)
    found = {}
    for phase in phases:
        blobs, params = walk(path, phase)
        for layer in layers_of(net, phase):
            if layer.type == "Convolution":
                conv = layer.convolution_param
                stride, pad = (first(values, default) for values, default in ((conv.stride, 1), (conv.pad, 0)))
                x, w, y = blobs[layer.bottom[0]], params[layer.name][0], blobs[layer.top[0]]
                found[Shapes(x, w, y, (stride,) * 2, (pad,) * 2, (1, 1))] = layer.name
    return found


def every_question() -> list[Asked]:
    """Of all nets of models/."""
    forward = list(dict.fromkeys(shapes for path in NETS for shapes in convolutions(path)))
    train = {shapes for path in NETS if "deploy" not in path for shapes in convolutions(path, (TRAIN,))}
    asked = []
    for precision, layout, what in product(PRECISIONS, LAYOUTS, PASSES):
        if what != "rounded filter" or precision == "fp16":
            asked += [Asked(precision, layout, what, each) for each in forward if what in FORWARD or each in train]
    return asked


def _channels_last(shape: tuple[int, ...]) -> list[int]:
    """Strides of a tensor whose shape is still told as (N, C, *spatial)."""
    stride = dict(zip((0, *range(2, len(shape)), 1), _packed((shape[0], *shape[2:], shape[1])), strict=True))
    return [stride[axis] for axis in range(len(shape))]


_packed = _cudnn._packed


def plan(asked: Asked) -> str:
    """Why cuDNN refuses; empty where it has a plan."""
    dtype, tf32 = PRECISIONS[asked.precision]
    handle = _cudnn._handle(_cudnn.library())
    _cudnn._packed = _packed if asked.layout == "NCHW" else _channels_last
    try:
        graph = _cudnn._graph(handle, asked.what, asked.shapes, dtype, tf32)
        for compiled in (False, True):
            for index in range(graph.get_execution_plan_count()):
                if _is_compiled(handle.cudnn, graph, index) == compiled and _builds(handle.cudnn, graph, index):
                    return ""
    except (handle.cudnn.cudnnGraphNotSupportedError, RuntimeError, ValueError) as error:
        return str(error).strip().split("\n")[0] or type(error).__name__
    except Refused as error:
        return str(error)
    finally:
        _cudnn._packed = _packed
    return "no engine builds a plan"


def _is_compiled(cudnn, graph, index: int) -> bool:
    return cudnn.behavior_note.RUNTIME_COMPILATION in graph.get_behavior_notes_for_plan_at_index(index)


def _builds(cudnn, graph, index: int) -> bool:
    try:
        graph.build_plan_at_index(index)
    except (cudnn.cudnnGraphNotSupportedError, RuntimeError):
        return False
    return True


def way(refused: set[str], precision: str) -> str:
    """How caffepy runs a convolution with ReLU of which cuDNN refuses these passes: see `CudnnConv.plan`."""
    filters = {"filter", "rounded filter"} if precision == "fp16" else {"filter"}
    if refused & {"forward", "data"} or filters <= refused:
        return "cuBLAS and kernels of caffepy's own"
    forward = "forward in two" if "rectified" in refused else "forward in one"
    return f"cuDNN, {forward}" + (", gradient of filters rounded to float16" if "filter" in refused else "")


def _text(shapes: Shapes) -> str:
    x, w = ("x".join(map(str, shape)) for shape in (shapes.x, shapes.w))
    return f"x {x} w {w} stride {shapes.stride[0]} pad {shapes.pad[0]}"


def _device() -> str:
    return f"sm_{cupy.cuda.Device().compute_capability}"


def read_refused(device: str) -> set[tuple[str, ...]]:
    """(precision, layout, pass, convolution) of what is known to be refused there; "all" stands for all."""
    lines = FILE.read_text(encoding="utf-8").splitlines()[1:]
    return {tuple(line.split("\t")[1:]) for line in lines if line.split("\t")[0] == device}


def _lines(asked: list[Asked], refused: set[Asked]) -> Iterator[tuple[str, ...]]:
    """As they are in the file: one for all convolutions where none has a plan."""
    for key in dict.fromkeys(each[:3] for each in asked):
        every = [each for each in asked if each[:3] == key]
        no = [each for each in every if each in refused]
        yield from [(*key, "all")] if len(no) == len(every) else [(*key, _text(each.shapes)) for each in no]


def _write(device: str, lines: list[tuple[str, ...]]) -> None:
    kept = [line for line in FILE.read_text(encoding="utf-8").splitlines(True)[1:] if not line.startswith(device)]
    new = ["\t".join((device, *line)) + "\n" for line in lines]
    FILE.write_text(HEAD + "".join(sorted(kept + new)), encoding="utf-8")


def _table(asked: list[Asked], refused: set[Asked]) -> None:
    """Plans and refusals by precision, layout and pass; then how caffepy trains with what it stores as NCHW."""
    print(f"{'':6}{'':6}" + "".join(f"{what:>16}" for what in PASSES))
    for precision, layout in product(PRECISIONS, LAYOUTS):
        cells = []
        for what in PASSES:
            every = [each for each in asked if each[:3] == (precision, layout, what)]
            cells.append(f"{sum(each not in refused for each in every)} of {len(every)}" if every else "")
        print(f"{precision:6}{layout:6}" + "".join(f"{cell:>16}" for cell in cells))
    for precision in PRECISIONS:
        ways: dict[str, int] = {}
        for shapes in dict.fromkeys(each.shapes for each in asked if each.what == "data"):
            no = {each.what for each in refused if each.shapes == shapes and each[:2] == (precision, "NCHW")}
            ways[way(no, precision)] = ways.get(way(no, precision), 0) + 1
        for what, count in sorted(ways.items()):
            print(f"{precision}: {count} by {what}")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.cudnn_plans")
    parser.add_argument("--jobs", type=int, default=2, help="processes that ask")
    parser.add_argument("--write", action="store_true", help="write what is refused, instead of comparing")
    options = parser.parse_args(arguments)
    if _cudnn.library() is None:
        print("cuDNN is not installed: nvidia-cudnn-frontend and its library")
        return 1
    began, asked = time.perf_counter(), every_question()
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        reasons = dict(zip(asked, pool.map(plan, asked, chunksize=20), strict=True))
    refused = {each for each in asked if reasons[each]}
    device = _device()
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    print(
        f"{name} ({device}), cuDNN {_cudnn.library().backend_version_string()}: "
        f"{len(asked) - len(refused)} planned, {len(refused)} refused, {time.perf_counter() - began:.0f} s"
    )
    _table(asked, refused)
    for reason in sorted({reasons[each] for each in refused}):
        print(f"said: {reason} ({sum(reasons[each] == reason for each in refused)})")
    lines = list(_lines(asked, refused))
    if options.write:
        _write(device, lines)
        return 0
    known = read_refused(device)
    new = [line for line in lines if line not in known and (*line[:3], "all") not in known]
    for line in new:
        print("not refused before:", *line)
    gone = len(known - set(lines))
    if gone:
        print(f"{gone} lines of {FILE.name} are not needed any more: --write")
    return int(bool(new))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
