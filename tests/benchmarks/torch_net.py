"""A caffepy NetParameter as a torch.nn.Module, so that both sides of a benchmark run the very same net.

Written as PyTorch's users write nets: modules of torch.nn, ReLU in place, BatchNorm and Scale as one BatchNorm2d. A
`Net`'s parameters are copied over by name (`load`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from caffepy.proto import caffe_pb2

__all__ = ["TorchNet"]

Pair = tuple[int, int]


class TorchNet(nn.Module):
    """The layers of ``param`` in order.

    ``forward`` takes the values of the Input layers by name; gives the weighted sum of the losses, or the last layer's
    top where the net has none.
    """

    def __init__(self, param: caffe_pb2.NetParameter, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """``shapes``: of all blobs, as a caffepy net of the same param has them."""
        super().__init__()
        #: Layer names, their modules, bottoms, top, in order.
        self.steps: list[tuple[str, nn.Module, list[str], str]] = []
        self.layers = nn.ModuleList()
        self.weights: dict[str, float] = {}
        skip = False
        for layer, after in zip(param.layer, [*param.layer[1:], None], strict=True):
            if layer.type == "Input" or skip:
                skip = False
                continue
            # A BatchNorm and the Scale that reads it are one module, as is usual in PyTorch.
            if layer.type == "BatchNorm":
                if after is None or after.type != "Scale" or after.bottom[0] != layer.top[0]:
                    raise ValueError(f"layer '{layer.name}': a BatchNorm without a Scale is not supported")
                skip = True
            module = _module(layer, shapes)
            self.layers.append(module)
            top = after.top[0] if skip and after is not None else layer.top[0]
            self.steps.append((layer.name, module, list(layer.bottom), top))
            if layer.type == "SoftmaxWithLoss":
                self.weights[top] = layer.loss_weight[0] if layer.loss_weight else 1.0
        self._scales = {
            layer.name: after.name
            for layer, after in zip(param.layer, param.layer[1:], strict=False)
            if layer.type == "BatchNorm"
        }

    def forward(self, values: dict[str, Tensor]) -> Tensor:
        blobs = dict(values)
        out = None
        for _, module, bottoms, top in self.steps:
            out = blobs[top] = module(*[blobs[name] for name in bottoms])
        losses = [weight * blobs[top] for top, weight in self.weights.items()]
        return sum(losses[1:], losses[0]) if losses else out

    @torch.no_grad()
    def load(self, params: Mapping[str, list[NDArray[np.float32]]]) -> None:
        """Copy parameters in, by the names of caffepy's layers."""
        for name, module, _, _ in self.steps:
            if isinstance(module, nn.BatchNorm2d):
                mean, variance, factor = params[name]
                scale = 1 / factor[0] if factor[0] else 0.0
                module.running_mean.copy_(torch.from_numpy(mean * scale))
                module.running_var.copy_(torch.from_numpy(variance * scale))
                values = params[self._scales[name]]
            else:
                values = params.get(name, [])
            own = [p for p in (getattr(module, "weight", None), getattr(module, "bias", None)) if p is not None]
            for target, value in zip(own, values, strict=True):
                target.copy_(torch.from_numpy(value).reshape(target.shape))

    def gradients(self) -> dict[str, float]:
        """The norm of each gradient, by layer and number, a BatchNorm's under its Scale's name."""
        norms = {}
        for name, module, _, _ in self.steps:
            own = [p for p in (getattr(module, "weight", None), getattr(module, "bias", None)) if p is not None]
            for i, p in enumerate(own):
                norms[f"{self._scales.get(name, name)} {i}"] = float(p.grad.double().norm())
        return norms

    def groups(self, rate: float, weight_decay: float, param: caffe_pb2.NetParameter) -> list[dict[str, Any]]:
        """Groups for a torch optimiser: parameters of equal lr_mult and decay_mult."""
        mults = {
            (layer.name, i): (spec.lr_mult, spec.decay_mult)
            for layer in param.layer
            for i, spec in enumerate(layer.param)
        }
        found: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, module, _, _ in self.steps:
            own = [p for p in (getattr(module, "weight", None), getattr(module, "bias", None)) if p is not None]
            for i, p in enumerate(own):
                found.setdefault(mults.get((self._scales.get(name, name), i), (1.0, 1.0)), []).append(p)
        return [
            {"params": params, "lr": rate * lr_mult, "weight_decay": weight_decay * decay_mult}
            for (lr_mult, decay_mult), params in found.items()
        ]


class Concat(nn.Module):
    """Joins along the channels."""

    def forward(self, *x: Tensor) -> Tensor:
        return torch.cat(x, 1)


class Sum(nn.Module):
    """Adds."""

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            x = x + other
        return x


class CrossEntropy(nn.Module):
    """Of scores and labels."""

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(scores, labels)


class FlatLinear(nn.Linear):
    """A linear layer that takes images as they are."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.flatten(x, 1))


class Pool(nn.Module):
    """Pooling by Caffe's rule: a last window that is partly outside counts."""

    def __init__(self, average: bool, kernel: Pair, stride: Pair, pad: Pair, ceil: bool) -> None:
        super().__init__()
        self.average, self.arguments = average, (kernel, stride, pad)
        self.ceil = ceil

    def forward(self, x: Tensor) -> Tensor:
        if self.average:
            return functional.avg_pool2d(x, *self.arguments, ceil_mode=self.ceil, count_include_pad=True)
        return functional.max_pool2d(x, *self.arguments, ceil_mode=self.ceil)


def _module(layer: caffe_pb2.LayerParameter, shapes: Mapping[str, tuple[int, ...]]) -> nn.Module:
    if layer.type not in _MODULES:
        raise ValueError(f"layer '{layer.name}': type {layer.type} is not supported; these are: {', '.join(_MODULES)}")
    return _MODULES[layer.type](layer, shapes[layer.bottom[0]])


def _convolution(layer: caffe_pb2.LayerParameter, x: tuple[int, ...]) -> nn.Module:
    p = layer.convolution_param
    kernel, stride, pad, dilation = (
        (axes[0], axes[-1]) if axes else (default, default)
        for axes, default in ((p.kernel_size, 1), (p.stride, 1), (p.pad, 0), (p.dilation, 1))
    )
    return nn.Conv2d(x[1], p.num_output, kernel, stride, pad, dilation, p.group, p.bias_term)


def _inner_product(layer: caffe_pb2.LayerParameter, x: tuple[int, ...]) -> nn.Module:
    p = layer.inner_product_param
    return FlatLinear(int(np.prod(x[1:])), p.num_output, p.bias_term)


def _pooling(layer: caffe_pb2.LayerParameter, x: tuple[int, ...]) -> nn.Module:
    p = layer.pooling_param
    if p.pool == p.STOCHASTIC:
        raise ValueError(f"layer '{layer.name}': stochastic pooling is not supported")
    kernel = (x[2], x[3]) if p.global_pooling else (p.kernel_size, p.kernel_size)
    return Pool(p.pool == p.AVE, kernel, (p.stride, p.stride), (p.pad, p.pad), p.round_mode == p.CEIL)


def _lrn(layer: caffe_pb2.LayerParameter, _x: tuple[int, ...]) -> nn.Module:
    p = layer.lrn_param
    if p.norm_region != p.ACROSS_CHANNELS:
        raise ValueError(f"layer '{layer.name}': normalisation within channels is not supported")
    return nn.LocalResponseNorm(p.local_size, p.alpha, p.beta, p.k)


def _batch_norm(layer: caffe_pb2.LayerParameter, x: tuple[int, ...]) -> nn.Module:
    p = layer.batch_norm_param
    return nn.BatchNorm2d(x[1], p.eps, 1 - p.moving_average_fraction)


def _eltwise(layer: caffe_pb2.LayerParameter, _x: tuple[int, ...]) -> nn.Module:
    p = layer.eltwise_param
    if p.operation != p.SUM or any(coeff != 1 for coeff in p.coeff):
        raise ValueError(f"layer '{layer.name}': only plain sums are supported")
    return Sum()


_MODULES: dict[str, Callable[[caffe_pb2.LayerParameter, tuple[int, ...]], nn.Module]] = {
    "Convolution": _convolution,
    "InnerProduct": _inner_product,
    "Pooling": _pooling,
    "LRN": _lrn,
    "BatchNorm": _batch_norm,
    "Eltwise": _eltwise,
    "ReLU": lambda layer, _x: nn.ReLU(inplace=layer.bottom[0] == layer.top[0]),
    # Never in place: ReLU's output, which its gradient needs, would be lost.
    "Dropout": lambda layer, _x: nn.Dropout(layer.dropout_param.dropout_ratio),
    "Concat": lambda _layer, _x: Concat(),
    "Softmax": lambda _layer, _x: nn.Softmax(1),
    "SoftmaxWithLoss": lambda _layer, _x: CrossEntropy(),
}
