"""The passes of a convolution by cuDNN."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, cast

import cupy
import numpy as np

from caffepy.backend import Array, Backend
from caffepy.gpu._cudnn import OUT, Plan, Refused, Shapes, library, plan_for
from caffepy.gpu._kernels import blocks_for

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["CudnnConv", "aligned"]

_log = logging.getLogger("caffepy")

Shape = tuple[int, ...]

# cuDNN takes no tensor that begins elsewhere.
_ALIGN = 16
# A convolution that adds the bias saves a pass through y, which takes so much less than the convolution.
_BIAS_PASS = 0.8
# Pieces of scratch memory begin at whole cache lines.
_PIECE = 256


def aligned(*arrays: Array) -> bool:
    """Whether all begin where cuDNN can read them."""
    return not any(array.data.ptr % _ALIGN for array in arrays)


def _padded(size: int) -> int:
    return -(-size // _PIECE) * _PIECE


class CudnnConv:
    """Cross-correlation of two or three spatial axes, or fewer, which get axes of one place; see `Conv`."""

    def __init__(
        self, backend: Backend, num_output: int, kernel: Shape, stride: Shape, pad: Shape, dilation: Shape, group: int
    ) -> None:
        self._gpu = cast("GpuBackend", backend)
        self._kernels = self._gpu.kernels("conv")
        missing = max(2 - len(kernel), 0)
        self._ones = (1,) * missing
        self._kernel, self._stride, self._dilation = (self._ones + each for each in (kernel, stride, dilation))
        self._pad = (0,) * missing + pad
        self._num_output, self._group = num_output, group
        # What a plan adds where there is nothing to add. A recorded pass may read it, so it stays where it is.
        self._nothing: Array = None

    def plan(self, x_shape: Shape, y_shape: Shape) -> bool:
        """Make plans, and reserve memory, for images of ``x_shape``; False, with a line in the log, if cuDNN cannot."""
        if library() is None:
            return False
        x, y = ((*shape[:2], *self._ones, *shape[2:]) for shape in (x_shape, y_shape))
        w = (self._num_output, x_shape[1] // self._group, *self._kernel)
        shapes = Shapes(x, w, y, self._stride, self._pad, self._dilation)
        try:
            if len(x) > 5:
                raise Refused("it knows three spatial axes at most")
            self._plans = {what: self._plan_for(what, shapes) for what in ("forward", "data")}
            self._plans["filter"] = self._filter_plan(shapes)
        except Refused as refusal:
            _log.info(
                "cuDNN does not do the convolution of x %s with w %s, stride %s, pad %s, dilation %s, by groups of %d "
                "(%s): it runs by cuBLAS and kernels of caffepy's own",
                *(x_shape, w, self._stride, self._pad, self._dilation, self._group, refusal),
            )
            return False
        self._shapes = shapes
        self._biased = self._whole("biased")
        self._rectified: Plan | None = None
        self._relu_planned = False
        self._filter_bytes = _padded(self._gpu.full.dtype.itemsize * math.prod(w))
        for plan in (*self._plans.values(), self._biased):
            if plan:
                self._memory(plan)
        return True

    def _plan_relu(self) -> None:
        """In the first pass that needs it: a net knows after its shapes which convolutions do ReLU, and few do."""
        self._relu_planned = True
        self._rectified = self._whole("rectified")
        if self._rectified:
            self._memory(self._rectified)
            if self._nothing is None:
                self._nothing = self._gpu.zeros((self._num_output,))

    def _plan_for(self, what: str, shapes: Shapes) -> Plan:
        return plan_for(what, shapes, self._gpu.dtype, self._gpu.tf32)

    def _filter_plan(self, shapes: Shapes) -> Plan:
        """Of float16 with dw in float32, which cuDNN has for whole eights of channels, or else with dw in float16."""
        self._part_dtype = self._gpu.full.dtype
        try:
            return self._plan_for("filter", shapes)
        except Refused:
            if self._gpu.full is self._gpu:
                raise
            self._part_dtype = self._gpu.dtype
            return self._plan_for("rounded filter", shapes)

    def _whole(self, what: str) -> Plan | None:
        """That does it in one go; None where cuDNN has none, or one that is much slower."""
        try:
            plan = self._plan_for(what, self._shapes)
        except Refused:
            return None
        return None if self._plans["forward"].milliseconds < plan.milliseconds * _BIAS_PASS else plan

    def _memory(self, plan: Plan) -> Array:
        """The plan's workspace, then room for filters and for biases."""
        bias = _padded(self._gpu.dtype.itemsize * self._num_output)
        return self._gpu.scratch((_padded(plan.workspace) + self._filter_bytes + bias,), np.uint8)

    def forward(
        self, x: Array, w: Array, shift: Array | None, out: Array, scale: Array | None = None, slope: float = 1.0
    ) -> None:
        """See `Columns.forward`."""
        plan, whole = self._forward_plan(shift, scale, slope)
        memory = self._memory(plan).data.ptr
        filters = memory + _padded(plan.workspace)
        if whole and scale is not None:
            depth = math.prod(w.shape[1:])
            self._kernels.elements("conv_scale", w.size, w, scale, np.uintp(filters), depth)
        else:
            filters = self._where(w, filters)
        pointers = {1: x.data.ptr, 2: filters, OUT: out.data.ptr}
        if plan is not self._plans["forward"]:
            bias = memory + _padded(plan.workspace) + self._filter_bytes
            pointers[3] = self._where(self._nothing if shift is None else shift, bias)
        plan.execute(pointers, memory)
        if not whole:
            numbers = (np.uintp(0) if each is None else each for each in (scale, shift))
            sizes = (np.int32(size) for size in (len(out), self._num_output, math.prod(out.shape[2:])))
            args = (out, *numbers, self._gpu.number(slope), *sizes)
            self._kernels.launch("conv_finish", blocks_for(out.size), args)

    def _forward_plan(self, shift: Array | None, scale: Array | None, slope: float) -> tuple[Plan, bool]:
        """And whether it does all, where ``scale`` goes into the filters; in float16 these might become too small."""
        forward = self._plans["forward"]
        plan: Plan | None = None
        if scale is None or self._gpu.full is self._gpu:
            if slope == 0:
                if not self._relu_planned:
                    self._plan_relu()
                plan = self._rectified
            elif slope == 1:
                plan = forward if shift is None else self._biased
        return plan or forward, plan is not None

    def backward_data(self, dy: Array, w: Array, out: Array) -> None:
        """``out`` (N, C, *spatial) is overwritten."""
        plan = self._plans["data"]
        memory = self._memory(plan).data.ptr
        w_at = self._where(w, memory + _padded(plan.workspace))
        plan.execute({1: dy.data.ptr, 2: w_at, OUT: out.data.ptr}, memory)

    def backward_filter(self, x: Array, dy: Array, out: Array) -> None:
        """Adds to ``out``, of w's shape."""
        plan = self._plans["filter"]
        memory = self._memory(plan)
        begin = _padded(plan.workspace)
        part = memory[begin : begin + out.size * self._part_dtype.itemsize].view(self._part_dtype)
        plan.execute({1: x.data.ptr, 2: dy.data.ptr, OUT: part.data.ptr}, memory.data.ptr)
        add = "conv_add" if part.dtype == out.dtype else "conv_add_rounded"
        self._kernels.elements(add, out.size, part, out)

    def _where(self, array: Array, room: int) -> int:
        """Its address, or that of a copy in ``room``: learnable blobs lie in one flat array, and begin anywhere.

        For products of float16 the copy is rounded to it.
        """
        address: int = array.data.ptr
        if array.dtype != self._gpu.dtype:
            self._gpu.kernels("gemm").elements("gemm_round", array.size, array, np.uintp(room))
        elif address % _ALIGN == 0:
            return address
        else:
            stream = cupy.cuda.get_current_stream().ptr
            cupy.cuda.runtime.memcpyAsync(room, address, array.nbytes, cupy.cuda.runtime.memcpyDeviceToDevice, stream)
        return room
