"""Pooling: one value for each window of an image."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer
from caffepy.layers._images import check_images
from caffepy.layers._window import pool_window
from caffepy.proto import caffe_pb2

__all__ = ["Pooling"]

_METHOD = caffe_pb2.PoolingParameter


@register_layer("Pooling")
class Pooling(Layer):
    """The maximum (MAX), mean (AVE) or a random value (STOCHASTIC) of each window; x (N, C, H, W), y (N, C, h, w).

    ``h = ceil((H + 2 pad - kernel) / stride) + 1``, rounded down with ``round_mode: FLOOR``; a last window that would
    start in the padding is left out. AVE divides by the size of the window clipped to the padded image. STOCHASTIC
    draws with probability proportional to the values, which must not be negative, and takes the mean under it in tests.
    ``global_pooling`` makes the window the image. With MAX a second top, of y's shape, gets each maximum's index in
    its plane. Not in place. Source: Caffe's pooling_layer.cpp.

    Raises:
        LayerError: settings that contradict each other, or do not fit the bottom.
    """

    bottoms = (1, 1)
    tops = (1, 2)
    in_place = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.pooling_param
        method = param.pool
        if len(top) > 1 and method != _METHOD.MAX:
            raise self.error("Pooling Layer produces at most 1 top blob(s) as output unless pool is MAX; got 2.")
        check_images(self, bottom[0])
        window = pool_window(self, param, bottom[0].shape[2:])
        if method == _METHOD.STOCHASTIC and any(window.pad):
            raise self.error("Padding implemented only for average and max pooling; pool is STOCHASTIC.")
        self.train = self.phase == caffe_pb2.TRAIN
        self.windows: tuple[int, ...] = ()

    def _make(self, bottom: Blob) -> None:
        """The op; anew when the image, and with it a global window, changes."""
        param = self.param.pooling_param
        self.window = window = pool_window(self, param, bottom.shape[2:])
        if param.pool == _METHOD.MAX:
            self.pool = self.ops.MaxPool(self.backend, window.kernel, window.stride, window.pad)
        elif param.pool == _METHOD.AVE:
            self.pool = self.ops.AvePool(self.backend, window.kernel, window.stride, window.pad)
        else:
            key = self.stream("stochastic_pooling").key
            self.pool = self.ops.StochasticPool(
                self.backend, window.kernel, window.stride, key, self.context.counter, self.train
            )

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        check_images(self, bottom[0])
        size = bottom[0].shape[2:]
        if not self.windows or (self.param.pooling_param.global_pooling and size != self.windows):
            self.windows = size
            self._make(bottom[0])
        ceil = self.param.pooling_param.round_mode == _METHOD.CEIL
        output = self.window.pool_output(self, size, ceil)
        for blob in top:
            blob.reshape(*bottom[0].shape[:2], *output)
        self.pool.plan(bottom[0].shape, top[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        if len(top) > 1:
            self.pool.forward(bottom[0].data, top[0].data, top[1].data)
        else:
            self.pool.forward(bottom[0].data, top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        if self.param.pooling_param.pool == _METHOD.STOCHASTIC and not self.train:
            raise self.error("stochastic pooling has a gradient in the TRAIN phase only.")
        self.pool.backward(top[0].diff, bottom[0].diff)
