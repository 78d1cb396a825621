"""What RNN and LSTM share: sequences and their markers, static input, exposed states, and what all steps do at once."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

from caffepy.backend import Array
from caffepy.blob import Blob
from caffepy.layer import Layer
from caffepy.layers._sequence import check_counts, check_sequence

__all__ = ["RecurrentBase"]


class RecurrentBase(Layer):
    """Steps through time, with the rules of Caffe's recurrent_layer.cpp, which builds a net of all steps instead.

    The inputs of all steps meet their weights in one product, into ``pre`` (T, N, gates * num_output); a subclass adds
    what comes from the step before and goes through the steps.
    """

    in_place = False

    #: How many states go from step to step: h, or h and c.
    states: ClassVar[int]
    #: Rows of the weights of x for each output.
    gates: ClassVar[int]

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.recurrent_param
        self.exposed = self.states if param.expose_hidden else 0
        self.static = len(bottom) > 2 + self.exposed
        check_counts(self, len(bottom), len(top), self.exposed)
        if param.num_output < 1:
            raise self.error(f"num_output must be positive; got {param.num_output}. Set it in recurrent_param.")
        self.num_output, self.rows = param.num_output, self.gates * param.num_output
        check_sequence(self, bottom, self.static)
        self.steps = bottom[0].shape[0]
        # The blobs come in the order of the layers of Caffe's net.
        self.inputs = self._features(bottom[0], 2, "bottom[0]")
        self.add_blob((self.rows, self.inputs), param.weight_filler)
        self.add_blob((self.rows,), param.bias_filler)
        self.input_product = self.ops.InnerProduct(self.backend, False)
        if self.static:
            self.static_inputs = self._features(bottom[2], 1, "bottom[2]")
            self.add_blob((self.rows, self.static_inputs), param.weight_filler)
            self.static_product = self.ops.InnerProduct(self.backend, False)
            self.static_pre = Blob(self.backend)
        self.pre = Blob(self.backend)
        #: States before the first step, and after the last, which the next pass begins with.
        self.first = [Blob(self.backend) for _ in range(self.states)]
        self.last = [Blob(self.backend) for _ in range(self.states)]
        self.setup_steps()

    def _features(self, blob: Blob, axis: int, what: str) -> int:
        self.axis(blob, axis, f"the features of {what}")
        return math.prod(blob.shape[axis:])

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        check_sequence(self, bottom, self.static)
        if bottom[0].shape[0] != self.steps:
            raise self.error(f"input number of timesteps changed: {self.steps} at setup, now {bottom[0].shape_string}.")
        streams = bottom[0].shape[1]
        self._plan_inputs(bottom, streams)
        state = (1, streams, self.num_output)
        for blob in (*self.first, *self.last, *top[1:]):
            blob.reshape(*state)
        for j, blob in enumerate(bottom[len(bottom) - self.exposed :]):
            if blob.shape != state:
                raise self.error(
                    f"shape mismatch - recur_input_blobs_[{j}]: {self.first[j].shape_string} vs. "
                    f"bottom[{len(bottom) - self.exposed + j}]: {blob.shape_string}."
                )
        top[0].reshape(self.steps, streams, self.num_output)
        self.plan_steps(streams)

    def _plan_inputs(self, bottom: list[Blob], streams: int) -> None:
        sizes = [(bottom[0], 2, self.inputs)] + ([(bottom[2], 1, self.static_inputs)] if self.static else [])
        for blob, axis, size in sizes:
            if math.prod(blob.shape[axis:]) != size:
                raise self.error(
                    f"Input size incompatible with inner product parameters: weights read {size} values from axis "
                    f"{axis} on, bottom has shape {blob.shape_string}."
                )
        self.pre.reshape(self.steps, streams, self.rows)
        self.input_product.plan((self.steps * streams, self.inputs), (self.steps * streams, self.rows))
        if self.static:
            self.static_pre.reshape(streams, self.rows)
            self.static_product.plan((streams, self.static_inputs), (streams, self.rows))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x, pre = bottom[0].data.reshape(-1, self.inputs), self.pre.data
        self.input_product.forward(x, self.blobs[0].data, self.blobs[1].data, pre.reshape(-1, self.rows))
        if self.static:
            x = bottom[2].data.reshape(-1, self.static_inputs)
            self.static_product.forward(x, self.blobs[2].data, None, self.static_pre.data)
            pre += self.static_pre.data
        before = bottom[len(bottom) - self.exposed :] if self.exposed else self.last
        for state, source in zip(self.first, before, strict=True):
            state.data[...] = source.data
        self.forward_steps(bottom[1].data, top[0].data)
        for state, blob in zip(self.last, top[1:], strict=False):
            blob.data[...] = state.data

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[1]:
            raise self.error("Cannot backpropagate to sequence indicators.")
        self.backward_steps(bottom[1].data, top[0].diff)
        x, dpre = bottom[0].data.reshape(-1, self.inputs), self.pre.diff.reshape(-1, self.rows)
        if self.param_propagate_down[0]:
            self.input_product.backward_filter(x, dpre, self.blobs[0].diff)
        if self.param_propagate_down[1]:
            self.input_product.backward_bias(dpre, self.blobs[1].diff)
        if propagate_down[0]:
            dx = bottom[0].diff.reshape(-1, self.inputs)
            self.input_product.backward_data(dpre, self.blobs[0].data, dx)
        if self.static:
            self._backward_static(propagate_down[2], bottom[2])
        for i in range(len(bottom) - self.exposed, len(bottom)):
            if propagate_down[i]:
                bottom[i].diff.fill(0)

    def _backward_static(self, down: bool, bottom: Blob) -> None:
        x, dpre = bottom.data.reshape(-1, self.static_inputs), self.static_pre.diff
        self.xp.sum(self.pre.diff, axis=0, out=dpre)
        if self.param_propagate_down[2]:
            self.static_product.backward_filter(x, dpre, self.blobs[2].diff)
        if down:
            dx = bottom.diff.reshape(-1, self.static_inputs)
            self.static_product.backward_data(dpre, self.blobs[2].data, dx)

    def can_propagate(self, index: int) -> bool:
        """Whether ``bottom[index]`` is x or the static input: as in Caffe, nothing goes back through exposed states."""
        return index == 0 or (index == 2 and self.static)

    @abstractmethod
    def setup_steps(self) -> None:
        """Add the other learnable blobs and make ops."""

    @abstractmethod
    def plan_steps(self, streams: int) -> None:
        """Plan the ops for ``streams`` streams."""

    @abstractmethod
    def forward_steps(self, cont: Array, out: Array) -> None:
        """From ``first`` and ``pre`` into ``out`` (T, N, num_output) and ``last``."""

    @abstractmethod
    def backward_steps(self, cont: Array, dy: Array) -> None:
        """From ``dy`` (T, N, num_output) into ``pre.diff``; adds to the diffs of the blobs of `setup_steps`."""
