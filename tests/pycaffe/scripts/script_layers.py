"""Layers of a script's own: batches of numbers, and half the squared distance."""

import json

import caffe
import numpy as np


class LineDataLayer(caffe.Layer):
    """Points of y = 2 x - 1; settings in param_str."""

    def setup(self, bottom, top):
        params = json.loads(self.param_str)
        self.batch_size = params["batch_size"]
        self.random = np.random.RandomState(params["seed"])
        if len(top) != 2:
            raise Exception("Need two tops: x and y.")

    def reshape(self, bottom, top):
        top[0].reshape(self.batch_size, 1)
        top[1].reshape(self.batch_size, 1)

    def forward(self, bottom, top):
        x = self.random.rand(self.batch_size, 1)
        top[0].data[...] = x
        top[1].data[...] = 2 * x - 1

    def backward(self, top, propagate_down, bottom):
        pass


class EuclideanLossLayer(caffe.Layer):
    """sum((a - b)^2) / (2 N)."""

    def setup(self, bottom, top):
        if len(bottom) != 2:
            raise Exception("Need two inputs to compute distance.")

    def reshape(self, bottom, top):
        if bottom[0].count != bottom[1].count:
            raise Exception("Inputs must have the same dimension.")
        self.diff = np.zeros_like(bottom[0].data, dtype=np.float32)
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.diff[...] = bottom[0].data - bottom[1].data
        top[0].data[...] = np.sum(self.diff**2) / bottom[0].num / 2.0

    def backward(self, top, propagate_down, bottom):
        for i in range(2):
            if propagate_down[i]:
                bottom[i].diff[...] = (1 if i == 0 else -1) * self.diff / bottom[i].num
