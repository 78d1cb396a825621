"""MVN: mean 0 and variance 1 for each channel, or each image."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["MVN"]


@register_layer("MVN")
class MVN(Layer):
    """``y = (x - mean) / (sqrt(variance) + eps)`` over each channel, or with across_channels over each item.

    x of at most four axes, y always of four: (N, C, H, W), 1 for those that x lacks. With ``normalize_variance: false``
    only the mean is taken off. In place allowed. The gradient is Caffe's, which is exact for eps 0 (mvn_layer.cpp)::

        dx = (dy - (sum(dy) + y * sum(y * dy)) / n) / (sqrt(variance) + eps)

    Raises:
        LayerError: a bottom of more than four axes.
    """

    bottoms = (1, 1)
    tops = (1, 1)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.mvn_param
        self.variance, self.across, self.eps = param.normalize_variance, param.across_channels, param.eps
        self.deviation = self.total = self.backend.empty((0, 1))

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        if len(shape) > 4:
            raise self.error(
                "Cannot use legacy accessors on Blobs with > 4 axes (Check failed: num_axes() <= 4): "
                f"the bottom is {bottom[0].shape_string}. Reshape it to (N, C, H, W)."
            )
        n, c, h, w = shape = (*shape, *(1 for _ in range(4 - len(shape))))
        self.rows = (n, c * h * w) if self.across else (n * c, h * w)
        # In place this is the bottom, which Caffe gives four axes too.
        top[0].reshape(*shape)
        if len(self.total) != self.rows[0]:
            self.deviation = self.backend.empty((self.rows[0], 1))
            self.total = self.backend.empty((self.rows[0], 1))
        self.share = 1 / max(self.rows[1], 1)
        self.backend.scratch(self.rows)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x, y = bottom[0].data.reshape(self.rows), top[0].data.reshape(self.rows)
        self.xp.sum(x, axis=1, keepdims=True, out=self.total)
        self.total *= self.share
        self.xp.subtract(x, self.total, out=y)
        if self.variance:
            squares = self.backend.scratch(self.rows)
            self.xp.multiply(y, y, out=squares)
            self.xp.sum(squares, axis=1, keepdims=True, out=self.deviation)
            self.deviation *= self.share
            self.xp.sqrt(self.deviation, out=self.deviation)
            self.deviation += self.eps
            y /= self.deviation

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        y, dy, dx = top[0].data.reshape(self.rows), top[0].diff.reshape(self.rows), bottom[0].diff.reshape(self.rows)
        work = self.backend.scratch(self.rows)
        if self.variance:
            self.xp.multiply(y, dy, out=work)
            self.xp.sum(work, axis=1, keepdims=True, out=self.total)
            self.total *= self.share
            self.xp.multiply(y, self.total, out=work)
        self.xp.sum(dy, axis=1, keepdims=True, out=self.total)
        self.total *= self.share
        self.xp.subtract(dy, self.total, out=dx)
        if self.variance:
            dx -= work
            dx /= self.deviation
