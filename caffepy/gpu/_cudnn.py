"""NVIDIA's cuDNN through nvidia-cudnn-frontend: passes of a convolution as graphs, planned once for a shape."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import cupy
import numpy as np

__all__ = ["OUT", "Plan", "Refused", "Shapes", "library", "plan_for", "without_cudnn"]

_log = logging.getLogger("caffepy")

Shape = tuple[int, ...]

#: Number of the tensor that a graph writes; those it reads are 1, 2 and, if there is a bias, 3.
OUT = 4

# Plans are asked for and timed in cuDNN's order of their likely speed; the best is hardly ever further down.
_MOST_CANDIDATES = 8
# A plan further down must be this much faster: noise shall not decide, for each plan rounds in its own way.
_CLEARLY = 0.9
# Timing one pass ends after so many milliseconds of the device.
_TIMING_MS = 200.0
# A plan may take an eighth of the device's memory, and no more than this.
_MOST_WORKSPACE = 1 << 30
# Nets whose images change their size may need many plans; later ones push out earlier ones.
_MOST_PLANS = 512


class Refused(Exception):
    """What cuDNN says about a convolution that it does not do."""


class Shapes(NamedTuple):
    """A convolution of two or three spatial axes; x (N, C, *spatial), w (num_output, C / group, *kernel)."""

    x: Shape
    w: Shape
    y: Shape
    stride: Shape
    pad: Shape
    dilation: Shape


@cache
def _library() -> Any:
    try:
        import cudnn

        version = cudnn.backend_version_string()
    except (ImportError, OSError, RuntimeError) as error:
        cuda = cupy.cuda.runtime.runtimeGetVersion() // 1000
        _log.info(
            "Convolutions run by cuBLAS and kernels of caffepy's own, with the same results, to rounding, as by cuDNN, "
            "which cannot be used (%s). For it: pip install 'caffepy[gpu-cuda%d]'",
            error,
            cuda,
        )
        return None
    _log.info("Convolutions run by cuDNN %s", version)
    return cudnn


_off = threading.local()


def library() -> Any:
    """The module ``cudnn``, or None; the first call says in the log which of both it is."""
    return None if getattr(_off, "value", False) else _library()


@contextmanager
def without_cudnn() -> Iterator[None]:
    """As if it were not installed, for convolutions that this thread plans meanwhile."""
    _off.value = True
    try:
        yield
    finally:
        _off.value = False


class _Handle:
    """Of one device and thread, with the plans made for it."""

    def __init__(self, cudnn: Any) -> None:
        self.cudnn = cudnn
        self.value = cudnn.create_handle()
        self.plans: dict[Any, Plan] = {}

    def on_current_stream(self) -> Any:
        self.cudnn.set_stream(handle=self.value, stream=cupy.cuda.get_current_stream().ptr)
        return self.value


class _Local(threading.local):
    def __init__(self) -> None:
        self.by_device: dict[int, _Handle] = {}


_local = _Local()


def _handle(cudnn: Any) -> _Handle:
    device = cupy.cuda.runtime.getDevice()
    if device not in _local.by_device:
        _local.by_device[device] = _Handle(cudnn)
    return _local.by_device[device]


# Which plan a pass takes, on each device, in all threads: nets of one shape compute the same bits.
_choices: dict[Any, tuple[int, float]] = {}


def plan_for(what: str, shapes: Shapes, dtype: np.dtype[Any], tf32: bool = False) -> Plan:
    """The plan of a pass on the current device for this thread.

    Args:
        what: "forward" reads x, w and writes y; "biased" reads b (1, num_output, 1, 1) too; "rectified" writes
            max(y, 0) of that, NaN where y is; "data" reads dy, w and writes dx; "filter" reads x, dy and writes dw, in
            float32; "rounded filter" writes it in ``dtype``.
        shapes: of the convolution.
        dtype: of all other arrays: float32, or float16, added up in float32.
        tf32: tensor cores may round float32 factors to TF32.

    Raises:
        Refused: cuDNN has no plan for it.
    """
    cudnn = library()
    if dtype.name not in ("float16", "float32"):
        raise Refused(f"{dtype} is not for it")
    device = cupy.cuda.runtime.getDevice()
    try:
        handle = _handle(cudnn)
        key = device, what, shapes, dtype.name, tf32
        if key not in handle.plans:
            if len(handle.plans) >= _MOST_PLANS:
                del handle.plans[next(iter(handle.plans))]
            if key not in _choices:
                _choices[key] = _choose(handle, what, shapes, dtype, tf32)
            handle.plans[key] = Plan(_graph(handle, what, shapes, dtype, tf32), handle, *_choices[key])
        return handle.plans[key]
    except (cudnn.cudnnGraphNotSupportedError, RuntimeError, ValueError) as error:
        # The rest is what each of its engines says.
        raise Refused(str(error).strip().split("\n")[0][:200]) from None


class Plan:
    """How cuDNN does one pass.

    Attributes:
        workspace: bytes that `execute` needs.
        milliseconds: that it took; infinite where there was no memory to try.
    """

    def __init__(self, graph: Any, handle: _Handle, index: int, milliseconds: float) -> None:
        # A graph of its own, for one keeps all plans that were ever built in it.
        self._graph, self._handle = graph, handle
        self.milliseconds = milliseconds
        self._graph.build_plan_at_index(index)
        self.workspace: int = self._graph.get_workspace_size()

    def execute(self, pointers: dict[int, int], workspace: int) -> None:
        """Start it on CuPy's current stream; addresses of tensors by number, and of the workspace."""
        self._graph.execute(pointers, workspace, handle=self._handle.on_current_stream())


def _packed(shape: Shape) -> list[int]:
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def _dims(what: str, shapes: Shapes) -> tuple[list[Shape], Shape]:
    """Of the tensors that a pass reads, and of the one that it writes."""
    bias = (1, shapes.w[0], *(1 for _ in shapes.stride))
    return {
        "forward": ([shapes.x, shapes.w], shapes.y),
        "biased": ([shapes.x, shapes.w, bias], shapes.y),
        "rectified": ([shapes.x, shapes.w, bias], shapes.y),
        "data": ([shapes.y, shapes.w], shapes.x),
        "filter": ([shapes.x, shapes.y], shapes.w),
        "rounded filter": ([shapes.x, shapes.y], shapes.w),
    }[what]


def _graph(handle: _Handle, what: str, shapes: Shapes, dtype: np.dtype[Any], tf32: bool = False) -> Any:
    """The graph of a pass, with plans proposed that keep the precision and give the same bits each time."""
    cudnn = handle.cudnn
    stored = cudnn.data_type.HALF if dtype == np.float16 else cudnn.data_type.FLOAT
    computed = cudnn.data_type.FLOAT
    graph = cudnn.pygraph(
        io_data_type=stored, intermediate_data_type=computed, compute_data_type=computed, handle=handle.value
    )
    read, written = _dims(what, shapes)
    inputs = [graph.tensor(dim=list(dim), stride=_packed(dim), uid=i) for i, dim in enumerate(read, 1)]
    places = {"padding": list(shapes.pad), "stride": list(shapes.stride), "dilation": list(shapes.dilation)}
    if what == "forward":
        out = graph.conv_fprop(image=inputs[0], weight=inputs[1], **places)
    elif what in ("biased", "rectified"):
        out = graph.bias(input=graph.conv_fprop(image=inputs[0], weight=inputs[1], **places), bias=inputs[2])
        out = graph.relu(input=out) if what == "rectified" else out
    elif what == "data":
        out = graph.conv_dgrad(loss=inputs[0], filter=inputs[1], **places)
    else:
        out = graph.conv_wgrad(image=inputs[0], loss=inputs[1], **places)
    # Left to itself the frontend takes any gradient for that of one group.
    kind = computed if what == "filter" else stored
    out.set_output(True).set_data_type(kind).set_dim(list(written)).set_stride(_packed(written)).set_uid(OUT)
    graph.validate()
    graph.build_operation_graph()
    graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
    notes = cudnn.numerical_note
    unwanted = [notes.NONDETERMINISTIC, notes.REDUCED_PRECISION_REDUCTION]
    if dtype == np.float32 and not tf32:
        # Tensor cores round floats to TF32.
        unwanted += [notes.TENSOR_CORE, notes.DOWN_CONVERT_INPUTS]
    graph.deselect_numeric_notes(unwanted)
    graph.deselect_workspace_greater_than(min(cupy.cuda.runtime.memGetInfo()[1] // 8, _MOST_WORKSPACE))
    graph.check_support()
    return graph


def _candidates(
    handle: _Handle, what: str, shapes: Shapes, dtype: np.dtype[Any], tf32: bool = False
) -> tuple[Any, list[int]]:
    """The graph of a pass, and the numbers of plans that were built in it.

    Raises:
        Refused: there are none.
    """
    graph = _graph(handle, what, shapes, dtype, tf32)
    found, reason = [], "no plan"
    for index in range(graph.get_execution_plan_count()):
        try:
            graph.build_plan_at_index(index)
        except (handle.cudnn.cudnnGraphNotSupportedError, RuntimeError) as error:
            reason = str(error)
        else:
            found.append(index)
            if len(found) == _MOST_CANDIDATES:
                break
    if not found:
        raise Refused(f"no plan of {dtype} precision: {reason}")
    return graph, found


def _choose(handle: _Handle, what: str, shapes: Shapes, dtype: np.dtype[Any], tf32: bool = False) -> tuple[int, float]:
    """The number of the fastest plan and its milliseconds, timed on the device."""
    graph, found = _candidates(handle, what, shapes, dtype, tf32)
    workspace = max(graph.get_workspace_size(), *map(graph.get_workspace_size_plan_at_index, found))
    read, written = _dims(what, shapes)
    try:
        # Whatever lies there: no plan's speed depends on it.
        memory = [cupy.empty(dim, dtype) for dim in read]
        memory += [cupy.empty(written, np.float32), cupy.empty(max(workspace, 1), np.uint8)]
    except cupy.cuda.memory.OutOfMemoryError:
        return found[0], math.inf
    pointers = {i: array.data.ptr for i, array in enumerate(memory[: len(read)], 1)} | {OUT: memory[-2].data.ptr}

    def run(index: int) -> None:
        graph.execute_plan_at_index(pointers, memory[-1].data.ptr, index, handle=handle.on_current_stream())

    best, least = _fastest(run, found)
    _log.debug("cuDNN: %s of %s: plan %s of %s, %.3f ms", what, shapes, best, found, least)
    return best, least


def _fastest(run: Any, candidates: list[int]) -> tuple[int, float]:
    """The first of them that no later one is clearly faster than, and its milliseconds."""
    best, least, spent = candidates[0], math.inf, 0.0
    for index in candidates:
        # The first run loads what is needed.
        took = [_milliseconds(run, index) for _ in range(3)]
        spent += sum(took)
        if min(took[1:]) < least * _CLEARLY:
            best, least = index, min(took[1:])
        if spent > _TIMING_MS:
            break
    return best, least


def _milliseconds(run: Any, index: int) -> float:
    begin, end = cupy.cuda.Event(), cupy.cuda.Event()
    begin.record()
    run(index)
    end.record()
    end.synchronize()
    return float(cupy.cuda.get_elapsed_time(begin, end))
