"""Net: layers wired by blobs, run forward and backward."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Container, Iterable
from types import TracebackType
from typing import TypeAlias

from caffepy.backend import Array, Backend, Counter, LossScale
from caffepy.blob import Blob
from caffepy.data.options import DataOptions
from caffepy.devices import get_backend
from caffepy.errors import NetError, did_you_mean
from caffepy.layer import Layer, LayerContext
from caffepy.net import debug
from caffepy.net.build import Entry, LearnableParam, wire
from caffepy.net.copy_weights import CopyRules, Report, load_weights
from caffepy.net.fusion import Fusion
from caffepy.net.gradients import find_gradients, log_gradients
from caffepy.net.memory import SharedMemory
from caffepy.net.state import net_state
from caffepy.net.weights import save_weights, share_weights
from caffepy.proto import caffe_pb2
from caffepy.proto.ignored import ignored_note
from caffepy.proto.read import read_net
from caffepy.proto.text import Lines
from caffepy.proto.upgrade import upgrade_net

__all__ = ["Net", "NetSource"]

_log = logging.getLogger("caffepy")


#: A prototxt's path, a message, or a message with the lines that it was read from.
NetSource: TypeAlias = "str | os.PathLike[str] | caffe_pb2.NetParameter | tuple[caffe_pb2.NetParameter, Lines]"


class Net:
    """A net in one phase on one backend.

    Args:
        source: the net's prototxt (a path), its NetParameter, or both the message and its lines.
        phase: ``caffe_pb2.TRAIN`` or ``caffe_pb2.TEST``.
        backend: where it runs; the CPU unless given.
        level, stages: of the net's state, beside the phase; layers are included by them. Stages that the file's own
            ``state`` has count too.
        weights: a .caffemodel or .h5 file to copy from.
        seed: of fillers, dropout, crops and every other draw.
        data: how data layers read.
        allow_python_layers: let ``type: "Python"`` layers import the modules that the prototxt names. That is running
            their code: say so only for files that you trust.
        fill_params: False leaves learnable blobs at zero, for a net that takes all of them from elsewhere.
        unfilled: names of layers whose learnable blobs stay zero, because another net's will be shared with them.
        check_memory: refuse a net that needs more memory than there is; False for one that is only looked at.
        share_memory: let intermediate blobs lie in the same memory where they are not needed at the same time. Then
            what they hold can be looked at while a pass runs, by layers and calls around them, and not after it.

    Raises:
        CaffepyError: a file that cannot be read, or a net that cannot be built; the message names file and line.
    """

    def __init__(
        self,
        source: NetSource,
        phase: int = caffe_pb2.TEST,
        backend: Backend | None = None,
        *,
        level: int = 0,
        stages: Iterable[str] = (),
        weights: str | os.PathLike[str] | None = None,
        seed: int = 0,
        data: DataOptions | None = None,
        allow_python_layers: bool = False,
        fill_params: bool = True,
        unfilled: Container[str] = (),
        check_memory: bool = True,
        share_memory: bool = False,
    ) -> None:
        param, lines = _read(source)
        self.param = param
        self.name = param.name
        self.phase = phase
        self.state = net_state(phase, level, [*param.state.stage, *stages])
        self.backend = backend or get_backend("cpu")
        #: The pass that the net is in; see `Counter`.
        self.counter = Counter()
        context = LayerContext(
            self.backend, phase, seed, self.counter, data or DataOptions(), allow_python_layers, fill_params,
            *(self.backend.budgets() if check_memory else ()),
        )  # fmt: skip
        if note := ignored_note(param, lines):
            _log.info("%s", note)
        wiring = wire(param, lines, self.state, context, unfilled)
        self.entries: list[Entry] = wiring.entries
        #: Blobs by name, in the order in which layers make them.
        self.blobs: dict[str, Blob] = wiring.blobs
        self.learnable_params: list[LearnableParam] = wiring.params
        #: Names of the tops that no layer reads.
        self.outputs: list[str] = wiring.outputs
        #: Names of the tops of Input layers.
        self.inputs: list[str] = [
            name for entry in self.entries if entry.layer.type == "Input" for name in entry.top_names
        ]
        find_gradients(self.entries, param.force_backward)
        log_gradients(self.entries, self.outputs)
        self._index = {entry.layer.name: i for i, entry in enumerate(self.entries)}
        # Of all learnable blobs, once they lie in one array.
        self._flat_diff: Array = None
        #: What a solver scales gradients by, where they are float16; of a net by itself nothing does.
        self.loss_scale: LossScale | None = None
        self._loss_shapes: dict[tuple[int, int], tuple[int, ...]] = {}
        self.debug_info = param.debug_info
        #: Called with a layer's number, before and after it runs.
        self.before_forward: list[Callable[[int], None]] = []
        self.after_forward: list[Callable[[int], None]] = []
        self.before_backward: list[Callable[[int], None]] = []
        self.after_backward: list[Callable[[int], None]] = []
        try:
            self.seed_losses()
            self.memory = SharedMemory(self) if share_memory else None
            self.fusion = Fusion(self)
            if weights is not None:
                self.copy_from(weights)
        except BaseException:
            self.close()
            raise

    @property
    def watched(self) -> bool:
        """Whether something looks at each layer as it runs: a call before or after it, or the log of debug_info."""
        calls = (self.before_forward, self.after_forward, self.before_backward, self.after_backward)
        return self.debug_info or any(calls)

    @property
    def layers(self) -> list[Layer]:
        """The layers in the order in which they run."""
        return [entry.layer for entry in self.entries]

    @property
    def layer_dict(self) -> dict[str, Layer]:
        """The layers by name."""
        return {entry.layer.name: entry.layer for entry in self.entries}

    @property
    def params(self) -> dict[str, list[Blob]]:
        """The learnable blobs by layer."""
        return {entry.layer.name: entry.layer.blobs for entry in self.entries if entry.layer.blobs}

    @property
    def loss_weights(self) -> dict[str, float]:
        """By blob, what it adds to the loss: 0 where it is no loss."""
        return {
            name: weight
            for entry in self.entries
            for name, weight in zip(entry.top_names, entry.loss_weights, strict=True)
        }

    @property
    def wait_seconds(self) -> float:
        """Seconds that passes have waited for data so far."""
        return sum(getattr(layer, "wait_seconds", 0.0) for layer in self.layers)

    def forward(self, start: str | None = None, end: str | None = None) -> dict[str, Array]:
        """Run the layers from ``start`` to ``end``, both included; all of them unless given.

        A pass that begins at the first layer counts as one for data and random draws; one that begins later belongs to
        the pass before it.

        Returns:
            the data of the net's outputs, or of the tops of layer ``end``. The arrays are the blobs' own.

        Raises:
            NetError: no layer of that name.
        """
        last = self._layer_index(end, len(self.entries) - 1)
        self.run_forward(self._layer_index(start, 0), last)
        names = self.outputs if end is None else [name for name in self.entries[last].top_names if name]
        return {name: self.blobs[name].data for name in names}

    def run_forward(self, first: int, last: int) -> None:
        """`forward` by the layers' numbers."""
        self.backend.use()
        if self.memory is not None:
            self.memory.before_forward(first)
        number = self.counter.value
        if first > 0:
            self.counter.value = max(number - 1, 0)
        looked_at = self.before_forward or self.after_forward or self.debug_info
        try:
            skipped = () if looked_at else self.fusion.begin(first, last)
            for i in range(first, last + 1):
                for call in self.before_forward:
                    call(i)
                entry = self.entries[i]
                entry.layer.reshape(entry.bottom, entry.top)
                if i not in skipped:
                    entry.layer.forward(entry.bottom, entry.top)
                if self.debug_info:
                    debug.log_forward(entry, self._param_names(entry))
                for call in self.after_forward:
                    call(i)
        finally:
            self.fusion.end()
            self.counter.value = number
        self.seed_losses()
        self.counter.value += first == 0

    def backward(self, start: str | None = None, end: str | None = None) -> None:
        """Run the layers backward from ``start`` down to ``end``, both included; all of them unless given.

        Gradients of learnable blobs add to what their diffs hold: `clear_param_diffs` first.

        Raises:
            NetError: no layer of that name.
        """
        self.run_backward(self._layer_index(start, len(self.entries) - 1), self._layer_index(end, 0))
        if self.debug_info and start is None and end is None:
            debug.log_totals(self)

    def run_backward(self, first: int, last: int) -> None:
        """`backward` by the layers' numbers, from ``first`` down to ``last``."""
        self.backend.use()
        if self.memory is not None:
            self.memory.before_backward(first - last + 1 == len(self.entries))
        for i in range(first, last - 1, -1):
            for call in self.before_backward:
                call(i)
            entry = self.entries[i]
            if entry.need_backward:
                entry.layer.backward(entry.top, entry.propagate_down, entry.bottom)
                if self.debug_info:
                    debug.log_backward(entry)
            for call in self.after_backward:
                call(i)

    def loss(self, first: int = 0, last: int | None = None) -> float:
        """The weighted sum of the losses of the last forward pass; waits for the device.

        Those of layers ``first`` to ``last``, by number; of all unless given.
        """
        total = 0.0
        for entry in self.entries[first : None if last is None else last + 1]:
            for weight, blob in zip(entry.loss_weights, entry.top, strict=True):
                if weight:
                    total += weight * float(self.backend.to_host(blob.data).sum())
        return total

    def clear_param_diffs(self) -> None:
        """Zero the diffs of all learnable blobs."""
        if self._flat_diff is not None:
            self._flat_diff.fill(0)
            return
        for param in self.learnable_params:
            param.blob.diff.fill(0)

    def reshape(self) -> None:
        """Shape all blobs again after the shape of an input has changed; `forward` does so by itself."""
        for entry in self.entries:
            entry.layer.reshape(entry.bottom, entry.top)

    def param_slices(self) -> list[slice]:
        """Where each learnable blob lies in the arrays of `flatten_params`, as aligned as the backend wants it."""
        slices, begin, step = [], 0, self.backend.alignment
        for param in self.learnable_params:
            slices.append(slice(begin, begin + param.blob.count))
            begin += -(-param.blob.count // step) * step
        return slices

    def flatten_params(self) -> tuple[Array, Array]:
        """Move all learnable blobs into two flat arrays, data and diff, so that an update is one call; gives both.

        What lies between two blobs is zero.
        """
        slices = self.param_slices()
        total = slices[-1].stop if slices else 0
        data, diff = self.backend.zeros((total,)), self.backend.zeros((total,))
        for param, place in zip(self.learnable_params, slices, strict=True):
            param.blob.bind(data[place], diff[place])
            for sharer in param.sharers:
                sharer.share_data(param.blob)
                sharer.share_diff(param.blob)
        self._flat_diff = diff
        return data, diff

    def copy_from(self, *paths: str | os.PathLike[str], on_mismatch: str = "error", reshape: bool = False) -> Report:
        """Copy weights from .caffemodel or .h5 files, layer by layer of equal name; later files win.

        Args:
            paths: one file or several.
            on_mismatch: what to do where a layer's blobs in the file are of other shapes: ``"error"``, as Caffe does,
                or ``"skip"``, which leaves that layer as it is.
            reshape: copy blobs whose first dimension and number of values agree in spite of their shapes: a fully
                connected layer into a convolution and back.

        Returns:
            what became of each layer.

        Raises:
            WeightsError: a file cannot be read, or a layer's blobs do not fit.
        """
        return load_weights(self, paths, CopyRules(on_mismatch, reshape))

    def save(self, path: str | os.PathLike[str], *, diff: bool = False, hdf5: bool | None = None) -> None:
        """Write the weights. ``diff`` writes diffs too.

        In HDF5 where ``hdf5`` says so, or else where the path ends in .h5; otherwise as a .caffemodel.
        """
        save_weights(self, path, diff=diff, hdf5=hdf5)

    def share_with(self, other: Net) -> None:
        """Use the weights of ``other``'s layers of equal name: the same memory, so what one learns both have.

        Raises:
            WeightsError: blobs of a layer differ in number or shape.
        """
        share_weights(self, other)

    def close(self) -> None:
        """Let go of databases and threads."""
        for entry in self.entries:
            entry.layer.close()

    def __enter__(self) -> Net:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def seed_losses(self) -> None:
        """Backward starts from each loss's weight, in its diff; written again only where the shape has changed.

        Where there is a loss scale, it may change with every update.
        """
        for i, entry in enumerate(self.entries):
            if not any(entry.loss_weights):
                continue
            for j, (weight, blob) in enumerate(zip(entry.loss_weights, entry.top, strict=True)):
                if weight and self.loss_scale is not None:
                    self.loss_scale.seed(blob.diff, weight)
                elif weight and self._loss_shapes.get((i, j)) != blob.shape:
                    blob.diff.fill(weight)
                    self._loss_shapes[i, j] = blob.shape

    def _layer_index(self, name: str | None, default: int) -> int:
        if name is None:
            return default
        if name not in self._index:
            hint = did_you_mean(name, list(self._index))
            raise NetError(f"The net has no layer '{name}'.{hint} Its layers: {', '.join(self._index)}.")
        return self._index[name]

    def _param_names(self, entry: Entry) -> list[str]:
        return [self.learnable_params[i].name or str(j) for j, i in enumerate(entry.param_ids)]


def _read(source: NetSource) -> tuple[caffe_pb2.NetParameter, Lines]:
    if isinstance(source, tuple):
        return source
    if isinstance(source, caffe_pb2.NetParameter):
        param = caffe_pb2.NetParameter()
        param.CopyFrom(source)
        return param, upgrade_net(param, Lines.unknown())
    return read_net(source)
