"""BatchNorm: each channel brought to mean 0 and variance 1; a Scale layer after it learns factor and offset."""

from __future__ import annotations

import math

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer
from caffepy.proto import caffe_pb2

__all__ = ["BatchNorm"]


@register_layer("BatchNorm")
class BatchNorm(Layer):
    """``y = (x - mean) / sqrt(var + eps)`` for each channel of (N, C, H, W) or (N, C), in place allowed.

    Blobs: running sums of the mean (C,) and of the unbiased variance (C,), and their weight (1,). With use_global_stats
    (in TEST unless given) mean and variance are those sums divided by the weight. Without they are the batch's, and
    forward adds them, ``sum = moving_average_fraction * sum + value``. Nothing is learned: lr_mult is 0 for all three.

    Sources: Caffe's batch_norm_layer.cpp; Ioffe and Szegedy, arXiv 1502.03167.

    Raises:
        LayerError: a ``param`` whose lr_mult is not 0, or a bottom with another number of channels than at first.
    """

    bottoms = (1, 1)
    tops = (1, 1)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.batch_norm_param
        self.fraction = param.moving_average_fraction
        self.use_global_stats = self.phase == caffe_pb2.TEST
        if param.HasField("use_global_stats"):
            self.use_global_stats = param.use_global_stats
        self.channels = bottom[0].shape[1] if len(bottom[0].shape) > 1 else 1
        self.batch_norm = self.ops.BatchNorm(self.backend, param.eps)
        zero = caffe_pb2.FillerParameter()
        for i, shape in enumerate([(self.channels,), (self.channels,), (1,)]):
            self.add_blob(shape, zero)
            if i == len(self.param.param):
                self.param.param.add(lr_mult=0)
            elif self.param.param[i].lr_mult != 0:
                raise self.error(
                    "Cannot configure batch normalization statistics as layer parameters. Set lr_mult: 0 in param "
                    f"{i} of the layer or remove it; got {self.param.param[i].lr_mult:g}."
                )
        self.mean = self.backend.full.zeros((self.channels,))
        self.variance = self.backend.full.zeros((self.channels,))
        # Of stored sums.
        self.factor, self.divisor = (self.backend.full.zeros((1,)) for _ in range(2))

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        channels = shape[1] if len(shape) > 1 else 1
        if channels != self.channels:
            raise self.error(
                f"made for {self.channels} channels (Check failed: bottom[0]->shape(1) == channels_); "
                f"got a bottom {bottom[0].shape_string}."
            )
        top[0].reshape(*shape)
        self.batch_norm.plan((math.prod(shape[:1]), channels, math.prod(shape[2:])), self.use_global_stats)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x, y = bottom[0].data, top[0].data
        mean_sum, variance_sum, weight = (blob.data for blob in self.blobs)
        if self.use_global_stats:
            # Before the first training pass the weight is 0, and Caffe then takes mean and variance for 0.
            factor = self.xp.not_equal(weight, 0, out=self.factor)
            self.xp.subtract(1, factor, out=self.divisor)
            self.divisor += weight
            factor /= self.divisor
            self.xp.multiply(mean_sum, factor, out=self.mean)
            self.xp.multiply(variance_sum, factor, out=self.variance)
            self.batch_norm.forward_global(x, self.mean, self.variance, y)
            return
        if not bottom[0].count:
            # Nothing has no mean: the sums stay as they are.
            return
        self.batch_norm.forward(x, self.mean, self.variance, y)
        count = bottom[0].count // self.channels
        # Unbiased: of m values about their own mean only m - 1 are free.
        self.variance *= count / (count - 1) if count > 1 else 1
        for total, value in ((mean_sum, self.mean), (variance_sum, self.variance), (weight, 1)):
            total *= self.fraction
            total += value

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        if self.use_global_stats:
            self.batch_norm.backward_global(top[0].diff, bottom[0].diff)
        else:
            self.batch_norm.backward(top[0].diff, bottom[0].diff)
