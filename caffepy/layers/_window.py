"""The sliding window of a *_param: kernel, stride, pad and dilation for each axis, and both output-size rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from caffepy.layer import Layer
from caffepy.proto import caffe_pb2

__all__ = ["Window", "conv_window", "pool_window"]

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """One number an axis each; ``dilation`` is the distance of neighbouring taps."""

    kernel: Sizes
    stride: Sizes
    pad: Sizes
    dilation: Sizes

    def conv_output(self, layer: Layer, sizes: Sequence[int]) -> Sizes:
        """``(size + 2 pad - extent) / stride + 1`` with ``extent = dilation * (kernel - 1) + 1``, for each axis.

        The division drops the fraction, as C++ does: a window that is larger than the padded image by less than the
        stride has one place, and reads zeros beyond the border.

        Raises:
            LayerError: the window is larger than that.
        """
        output = []
        for size, k, s, p, d in zip(sizes, self.kernel, self.stride, self.pad, self.dilation, strict=True):
            room = size + 2 * p - (d * (k - 1) + 1)
            if room <= -s:
                raise layer.error(_too_large(sizes, self))
            output.append(max(room, 0) // s + 1)
        return tuple(output)

    def conv_input(self, layer: Layer, sizes: Sequence[int]) -> Sizes:
        """The inverse, for Deconvolution: ``stride * (size - 1) + extent - 2 pad``.

        Raises:
            LayerError: nothing is left inside the padding.
        """
        result = tuple(
            s * (size - 1) + d * (k - 1) + 1 - 2 * p
            for size, k, s, p, d in zip(sizes, self.kernel, self.stride, self.pad, self.dilation, strict=True)
        )
        if min(result, default=1) < 1:
            raise layer.error(_too_large(sizes, self))
        return result

    def pool_output(self, layer: Layer, sizes: Sequence[int], ceil: bool) -> Sizes:
        """``(size + 2 pad - kernel) / stride`` rounded up (or down), plus 1.

        A last window that would start in the padding is left out.

        Raises:
            LayerError: the window is larger than the padded image.
        """
        output = []
        padded = any(self.pad)
        for size, k, s, p in zip(sizes, self.kernel, self.stride, self.pad, strict=True):
            room = size + 2 * p - k
            pooled = (-(-room // s) if ceil else room // s) + 1
            if padded and (pooled - 1) * s >= size + p:
                pooled -= 1
            if pooled < 1:
                raise layer.error(_too_large(sizes, self))
            output.append(pooled)
        return tuple(output)


def _too_large(sizes: Sequence[int], window: Window) -> str:
    def text(values: Sequence[int]) -> str:
        return " x ".join(map(str, values))

    dilation = f", dilation {text(window.dilation)}" if max(window.dilation) > 1 else ""
    return (
        f"the window does not fit into the image: input {text(sizes)}, kernel {text(window.kernel)}, "
        f"pad {text(window.pad)}{dilation}. Use a smaller kernel, more pad or larger images."
    )


def conv_window(layer: Layer, param: caffe_pb2.ConvolutionParameter, axes: int) -> Window:
    """The window of a convolution over ``axes`` spatial axes, with the checks of Caffe's base_conv_layer.cpp.

    Raises:
        LayerError: names the field.
    """
    kernel = _numbers(layer, param, "kernel_size", "kernel", axes, None)
    stride = _numbers(layer, param, "stride", "stride", axes, 1)
    pad = _numbers(layer, param, "pad", "pad", axes, 0)
    dilation = _repeated(layer, "dilation", param.dilation, axes, 1)
    if min(kernel, default=1) < 1:
        raise layer.error(f"Filter dimensions must be nonzero; got kernel {kernel}.")
    if min(stride, default=1) < 1:
        raise layer.error(f"Stride dimensions must be nonzero; got stride {stride}.")
    if min(dilation, default=1) < 1:
        raise layer.error(f"Dilation must be at least 1 (1 is no dilation); got dilation {dilation}.")
    return Window(kernel, stride, pad, dilation)


def _numbers(layer: Layer, param: Any, field: str, stem: str, axes: int, default: int | None) -> Sizes:
    repeated = getattr(param, field)
    if param.HasField(f"{stem}_h") or param.HasField(f"{stem}_w"):
        if axes != 2:
            raise layer.error(f"{stem}_h & {stem}_w can only be used for 2D convolution; this one has {axes} axes.")
        if repeated:
            raise layer.error(f"Either {field} or {stem}_h/w should be specified; not both.")
        return (getattr(param, f"{stem}_h"), getattr(param, f"{stem}_w"))
    return _repeated(layer, field, repeated, axes, default)


def _repeated(layer: Layer, field: str, values: Sequence[int], axes: int, default: int | None) -> Sizes:
    given = list(values) or ([] if default is None else [default])
    if len(given) not in (1, axes):
        raise layer.error(
            f"{field} must be specified once, or once per spatial dimension ({field} specified {len(given)} times; "
            f"{axes} spatial dims)."
        )
    return tuple(given * axes if len(given) == 1 else given)


def pool_window(layer: Layer, param: caffe_pb2.PoolingParameter, sizes: Sequence[int]) -> Window:
    """The window of a pooling over images of ``sizes`` (height, width), with the checks of Caffe's pooling_layer.cpp.

    Raises:
        LayerError: names the field.
    """
    pair = param.HasField("kernel_h") and param.HasField("kernel_w")
    if param.global_pooling:
        if param.HasField("kernel_size") or param.HasField("kernel_h") or param.HasField("kernel_w"):
            raise layer.error("With Global_pooling: true Filter size cannot specified: take kernel_size out.")
        kernel: Sizes = tuple(sizes)
    elif param.HasField("kernel_size"):
        if pair:
            raise layer.error("Filter size is kernel_size OR kernel_h and kernel_w; not both.")
        kernel = (param.kernel_size, param.kernel_size)
    elif pair:
        kernel = (param.kernel_h, param.kernel_w)
    elif param.HasField("kernel_h") or param.HasField("kernel_w"):
        raise layer.error("For non-square filters both kernel_h and kernel_w are required.")
    else:
        raise layer.error(
            "Filter size is kernel_size OR kernel_h and kernel_w; got none of them. "
            "Set kernel_size, or global_pooling: true."
        )
    pad = _either(layer, param, "pad")
    stride = _either(layer, param, "stride")
    if param.global_pooling and (any(pad) or stride != (1, 1)):
        raise layer.error("With Global_pooling: true; only pad = 0 and stride = 1.")
    if min(kernel) < 1:
        raise layer.error(f"Filter dimensions cannot be zero; got kernel {kernel}.")
    if min(stride) < 1:
        raise layer.error(f"Stride dimensions cannot be zero; got stride {stride}.")
    if any(p >= k for p, k in zip(pad, kernel, strict=True)):
        raise layer.error(f"pad must be smaller than the kernel (Check failed: pad < kernel); got {pad} and {kernel}.")
    return Window(kernel, stride, pad, (1, 1))


def _either(layer: Layer, param: caffe_pb2.PoolingParameter, field: str) -> Sizes:
    height, width = f"{field}_h", f"{field}_w"
    given = [param.HasField(height), param.HasField(width)]
    if not any(given):
        return (getattr(param, field), getattr(param, field))
    if param.HasField(field) or not all(given):
        raise layer.error(f"{field} is {field} OR {height} and {width}, both of them.")
    return (getattr(param, height), getattr(param, width))
