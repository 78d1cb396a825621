"""pycaffe's Net: a net as scripts drive it, over `caffepy.net.Net`, which holds and runs it."""

from __future__ import annotations

import logging
import os
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from caffepy import net as engines
from caffepy.backend import Backend
from caffepy.blob import Blob
from caffepy.data.options import DataOptions
from caffepy.errors import NetError, did_you_mean
from caffepy.layer import Layer
from caffepy.layers.memory_data import MemoryData
from caffepy.net.net import NetSource
from caffepy.proto import caffe_pb2
from caffepy.pycaffe import mode
from caffepy.pycaffe.host import HostLayer, Mirrors, then_write_back, write_back_all

__all__ = ["Net"]

_log = logging.getLogger("caffepy")

_Arrays = dict[str, NDArray[Any]]
_Net = TypeVar("_Net", bound="Net")


class Net:
    """A net in one phase.

    ``Net("net.prototxt", caffepy.TEST)``, ``Net("net.prototxt", caffepy.TEST, weights="net.caffemodel")`` or, as old
    scripts have it, ``Net("net.prototxt", "net.caffemodel", caffepy.TEST)``.

    Values are NumPy arrays: ``net.blobs["data"].data[...] = x`` writes into the net, ``net.params["conv1"][0].data``
    are weights. Where the net runs on a GPU they are copied when they are read, and back before the next pass.

    Args:
        network_file: the net's prototxt, or a NetParameter.
        phase: ``caffepy.TRAIN`` or ``caffepy.TEST``.
        level, stages: what layers are included by, beside the phase.
        weights: a .caffemodel or .h5 file to copy from.
        backend: where it runs; what `set_mode_gpu` and `set_device` say unless given.
        seed: of fillers, dropout, crops and every other draw; by `set_random_seed`, or else by chance, unless given.
        data: how data layers read.
        allow_python_layers: let ``type: "Python"`` layers import the modules that the prototxt names, which is running
            their code. Unless given, layers of modules that are imported already may run, and all of them after
            `caffepy.install_as_caffe`.

    Raises:
        CaffepyError: a file that cannot be read, or a net that cannot be built; the message names file and line.
    """

    def __init__(
        self,
        network_file: NetSource,
        phase: int | str | os.PathLike[str] = caffe_pb2.TEST,
        level: int = 0,
        stages: Iterable[str] | None = None,
        weights: str | os.PathLike[str] | None = None,
        *,
        backend: Backend | None = None,
        seed: int | None = None,
        data: DataOptions | None = None,
        allow_python_layers: bool | None = None,
    ) -> None:
        if isinstance(phase, (str, os.PathLike)):
            # Net(file, weights, phase), by position only.
            _log.warning(
                "DEPRECATION WARNING - deprecated use of Python interface. Use this instead (with the named "
                "\"weights\" parameter): Net('%s', %s, weights='%s')", network_file, level, phase,
            )  # fmt: skip
            weights, phase, level = phase, level, 0
        engine = engines.Net(
            network_file,
            phase,
            backend or mode.backend(),
            level=level,
            stages=stages or (),
            weights=weights,
            seed=mode.net_seed() if seed is None else seed,
            data=data,
            allow_python_layers=mode.allow_python_layers if allow_python_layers is None else allow_python_layers,
        )
        self._hold(engine)

    @classmethod
    def of(cls: type[_Net], engine: engines.Net) -> _Net:
        """A net that is there already, as scripts know nets."""
        net = cls.__new__(cls)
        net._hold(engine)
        return net

    def _hold(self, engine: engines.Net) -> None:
        #: The net itself, for what pycaffe has no words for.
        self.engine = engine
        # Scripts do not close nets, they forget them.
        self._closer = weakref.finalize(engine, _close, engine.layers)
        self._closer.atexit = False
        host = Mirrors()
        self._blob_names = list(engine.blobs)
        self._blobs = [host.blob(blob) for blob in engine.blobs.values()]
        self._layer_names = [layer.name for layer in engine.layers]
        #: The layers in the order in which they run.
        self.layers: list[Layer | HostLayer] = [host.layer(layer) for layer in engine.layers]
        #: Blobs by name, in the order in which layers make them.
        self.blobs: OrderedDict[str, Blob] = OrderedDict(zip(self._blob_names, self._blobs, strict=True))
        #: The layers by name.
        self.layer_dict = OrderedDict(zip(self._layer_names, self.layers, strict=True))
        #: Learnable blobs by layer.
        self.params: OrderedDict[str, list[Blob]] = OrderedDict(
            (name, layer.blobs) for name, layer in self.layer_dict.items() if layer.blobs
        )
        #: Names of the tops of Input layers.
        self.inputs: list[str] = list(engine.inputs)
        #: Names of the tops that no layer reads.
        self.outputs: list[str] = list(engine.outputs)
        #: Names of tops by layer.
        self.top_names = OrderedDict((entry.layer.name, [n for n in entry.top_names if n]) for entry in engine.entries)
        #: Names of bottoms by layer.
        self.bottom_names = OrderedDict((entry.layer.name, list(entry.bottom_names)) for entry in engine.entries)
        weights = engine.loss_weights
        self._blob_loss_weights = [weights[name] for name in self._blob_names]
        #: What each blob adds to the loss, by name.
        self.blob_loss_weights = OrderedDict(zip(self._blob_names, self._blob_loss_weights, strict=True))
        self._inputs = [self._blob_names.index(name) for name in self.inputs]
        self._outputs = [self._blob_names.index(name) for name in self.outputs]

    def _top_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(name) for name in self.engine.entries[layer].top_names if name]

    def _bottom_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(name) for name in self.engine.entries[layer].bottom_names]

    # Passes

    def forward(
        self, blobs: Iterable[str] | None = None, start: str | None = None, end: str | None = None, **kwargs: Any
    ) -> _Arrays:
        """Run the layers from ``start`` to ``end``, both included; all of them unless given.

        Args:
            blobs: names of blobs to give besides the net's outputs, or the tops of layer ``end``.
            start, end: names of layers.
            kwargs: arrays for the net's inputs, all of them or none, each of the size of its blob.

        Returns:
            the data of those blobs by name; the blobs' own arrays.

        Raises:
            NetError: no layer or blob of a name, inputs that do not fit.
        """
        first, last = self._index(start, 0), self._index(end, len(self.layers) - 1)
        wanted = self._wanted(self.outputs if end is None else self.top_names[end], blobs)
        if kwargs:
            if set(kwargs) != set(self.inputs):
                raise NetError(
                    "Input blob arguments do not match net inputs. The net's inputs: "
                    f"{', '.join(self.inputs) or 'none'}; given: {', '.join(kwargs)}."
                )
            for name, values in kwargs.items():
                _fill(self.blobs[name].data, values, f"Input is not batch sized: '{name}'")
        self._run_forward(first, last)
        return {name: self.blobs[name].data for name in wanted}

    def backward(
        self, diffs: Iterable[str] | None = None, start: str | None = None, end: str | None = None, **kwargs: Any
    ) -> _Arrays:
        """Run the layers backward from ``start`` down to ``end``, both included; all of them unless given.

        Gradients of learnable blobs add to what their diffs hold: `clear_param_diffs` first. In a net without a loss
        ``force_backward: true`` in the prototxt lets layers compute gradients at all.

        Args:
            diffs: names of blobs whose diff to give besides those of the net's inputs, or the bottoms of layer ``end``.
            start, end: names of layers.
            kwargs: diffs of the net's outputs, all of them or none.

        Returns:
            the diffs of those blobs by name; the blobs' own arrays.

        Raises:
            NetError: no layer or blob of a name, diffs that do not fit.
        """
        first, last = self._index(start, len(self.layers) - 1), self._index(end, 0)
        wanted = self._wanted(self.inputs if end is None else self.bottom_names[end], diffs)
        if kwargs:
            if set(kwargs) != set(self.outputs):
                raise NetError(
                    f"Top diff arguments do not match net outputs. The net's outputs: {', '.join(self.outputs)}; "
                    f"given: {', '.join(kwargs)}."
                )
            for name, values in kwargs.items():
                _fill(self.blobs[name].diff, values, f"Diff is not batch sized: '{name}'")
        self._backward(first, last)
        return {name: self.blobs[name].diff for name in wanted}

    def _run_forward(self, first: int, last: int) -> None:
        write_back_all()
        self.engine.run_forward(first, last)

    def _forward(self, start_ind: int, end_ind: int) -> float:
        """Run layers by number; gives the sum of their losses."""
        self._run_forward(start_ind, end_ind)
        return self.engine.loss(start_ind, end_ind)

    def _backward(self, start_ind: int, end_ind: int) -> None:
        write_back_all()
        self.engine.run_backward(start_ind, end_ind)

    def forward_all(self, blobs: Iterable[str] | None = None, **kwargs: Any) -> _Arrays:
        """Run any number of inputs through the net, a batch at a time; the last is filled up with zeros.

        Args:
            blobs: names of blobs to give besides the net's outputs.
            kwargs: arrays (n, ...) for the net's inputs, all of them.

        Returns:
            (n, ...) of those blobs by name, copied.

        Raises:
            NetError: as `forward`.
        """
        return self._run_all(list(blobs or ()), None, kwargs)[0]

    def forward_backward_all(
        self, blobs: Iterable[str] | None = None, diffs: Iterable[str] | None = None, **kwargs: Any
    ) -> tuple[_Arrays, _Arrays]:
        """Run any number of inputs through the net and back, a batch at a time; the last is filled up with zeros.

        Args:
            blobs, diffs: names of blobs whose data and diff to give besides the net's outputs and inputs.
            kwargs: arrays (n, ...) for the net's inputs, and diffs for its outputs; what is not given stays as it is.

        Returns:
            (n, ...) of data and of diffs by name, copied.

        Raises:
            NetError: as `forward` and `backward`.
        """
        return self._run_all(list(blobs or ()), list(diffs or ()), kwargs)

    def _run_all(self, blobs: list[str], diffs: list[str] | None, given: dict[str, Any]) -> tuple[_Arrays, _Arrays]:
        arrays = {name: np.asarray(values) for name, values in given.items()}
        numbers = {len(values) for values in arrays.values()}
        if len(numbers) != 1:
            raise NetError(
                f"Arrays of equal length are needed for the inputs ({', '.join(self.inputs) or 'there are none'}); "
                f"given: {', '.join(f'{name}: {len(values)}' for name, values in arrays.items()) or 'none'}."
            )
        number = numbers.pop()
        batch = self._batch_size(next(iter(arrays)))
        inputs = _batches({name: values for name, values in arrays.items() if name not in self.outputs}, batch)
        tops = _batches({name: values for name, values in arrays.items() if name in self.outputs}, batch)
        data: dict[str, list[NDArray[Any]]] = {}
        gradients: dict[str, list[NDArray[Any]]] = {}
        nothing: dict[str, Any] = {}
        for of_inputs, of_tops in zip_longest(inputs, tops, fillvalue=nothing):
            for name, values in self.forward(blobs, **of_inputs).items():
                data.setdefault(name, []).append(np.atleast_1d(values).copy())
            if diffs is not None:
                for name, values in self.backward(diffs, **of_tops).items():
                    gradients.setdefault(name, []).append(np.atleast_1d(values).copy())
        return _joined(data, number, batch), _joined(gradients, number, batch)

    def _batch_size(self, name: str) -> int:
        self._wanted([name], None)
        return max(self.blobs[name].shape[:1], default=1) or 1

    def before_forward(self, run: Callable[[int], object]) -> None:
        """Call ``run`` with a layer's number before it runs forward."""
        self.engine.before_forward.append(then_write_back(run))

    def after_forward(self, run: Callable[[int], object]) -> None:
        """Call ``run`` with a layer's number after it ran forward."""
        self.engine.after_forward.append(then_write_back(run))

    def before_backward(self, run: Callable[[int], object]) -> None:
        """Call ``run`` with a layer's number before it runs backward."""
        self.engine.before_backward.append(then_write_back(run))

    def after_backward(self, run: Callable[[int], object]) -> None:
        """Call ``run`` with a layer's number after it ran backward."""
        self.engine.after_backward.append(then_write_back(run))

    def loss(self) -> float:
        """The weighted sum of all losses of the last forward pass."""
        return self.engine.loss()

    # Shapes, inputs, weights

    def reshape(self) -> None:
        """Shape all blobs again after the shape of an input has changed; `forward` does so by itself."""
        write_back_all()
        self.engine.reshape()

    def set_input_arrays(self, data: NDArray[Any], labels: NDArray[Any]) -> None:
        """Let a net whose first layer is MemoryData read these rows, from the first on.

        Args:
            data: (n, C, H, W), C-contiguous float32, n a multiple of the batch size. Kept, not copied.
            labels: (n,) or (n, 1, 1, 1), likewise.

        Raises:
            NetError: another first layer, or arrays that do not fit.
        """
        layer = self.engine.layers[0] if self.engine.layers else None
        if not isinstance(layer, MemoryData):
            raise NetError(
                "set_input_arrays may only be called if the first layer is a MemoryDataLayer; "
                f"it is {f'{layer.name!r}, {layer.type}' if layer else 'not there'}."
            )
        layer.reset(data, labels)

    _set_input_arrays = set_input_arrays

    def clear_param_diffs(self) -> None:
        """Zero the diffs of all learnable blobs."""
        write_back_all()
        self.engine.clear_param_diffs()

    def copy_from(
        self, *paths: str | os.PathLike[str], on_mismatch: str = "error", reshape: bool = False
    ) -> engines.Report:
        """Copy weights from .caffemodel or .h5 files, layer by layer of equal name; later files win.

        Args:
            paths: one file or several.
            on_mismatch, reshape: what to do with layers that do not fit, see `caffepy.net.Net.copy_from`.

        Returns:
            what became of each layer.

        Raises:
            WeightsError: a file cannot be read, or a layer's blobs do not fit.
        """
        write_back_all()
        return self.engine.copy_from(*paths, on_mismatch=on_mismatch, reshape=reshape)

    def load_hdf5(self, filename: str | os.PathLike[str]) -> engines.Report:
        """Copy weights from an HDF5 file; `copy_from` knows such files by itself."""
        return self.copy_from(filename)

    def share_with(self, other: Net | engines.Net) -> None:
        """Use the weights of ``other``'s layers of equal name: the same memory, so what one learns both have.

        Raises:
            WeightsError: blobs of a layer differ in number or shape.
        """
        write_back_all()
        self.engine.share_with(other.engine if isinstance(other, Net) else other)

    def save(self, filename: str | os.PathLike[str]) -> None:
        """Write the weights as a .caffemodel; in HDF5 where the name ends in .h5."""
        write_back_all()
        self.engine.save(filename)

    def save_hdf5(self, filename: str | os.PathLike[str], write_diff: bool = False) -> None:
        """Write the weights in HDF5; diffs too if ``write_diff``."""
        write_back_all()
        self.engine.save(filename, diff=write_diff, hdf5=True)

    # What holds it

    @property
    def name(self) -> str:
        """The net's name in the prototxt."""
        return self.engine.name

    @property
    def phase(self) -> int:
        """``caffepy.TRAIN`` or ``caffepy.TEST``."""
        return self.engine.phase

    def close(self) -> None:
        """Let go of databases and threads; a net that nothing refers to any more does so by itself."""
        self._closer()

    def __enter__(self: _Net) -> _Net:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Net '{self.name}' {caffe_pb2.Phase.Name(self.phase)}, {len(self.layers)} layers>"

    def _index(self, layer: str | None, default: int) -> int:
        if layer is None:
            return default
        try:
            return self._layer_names.index(layer)
        except ValueError:
            raise NetError(
                f"The net has no layer '{layer}'.{did_you_mean(layer, self._layer_names)} "
                f"Its layers: {', '.join(self._layer_names)}."
            ) from None

    def _wanted(self, names: Iterable[str], more: Iterable[str] | None) -> list[str]:
        wanted = list(dict.fromkeys([*names, *([more] if isinstance(more, str) else more or ())]))
        for name in wanted:
            if name not in self.blobs:
                raise NetError(
                    f"The net has no blob '{name}'.{did_you_mean(name, self._blob_names)} "
                    f"Its blobs: {', '.join(self._blob_names)}."
                )
        return wanted


def _close(layers: list[Layer]) -> None:
    for layer in layers:
        layer.close()


def _fill(array: NDArray[Any], values: Any, complaint: str) -> None:
    values = np.asarray(values)
    if values.shape[:1] != array.shape[:1]:
        raise NetError(f"{complaint} has shape {values.shape}, the blob {array.shape}. Reshape the blob first.")
    try:
        array[...] = values
    except ValueError as error:
        raise NetError(f"{complaint}: shape {values.shape} does not fit the blob's, {array.shape}.") from error


def _batches(arrays: _Arrays, size: int) -> Iterator[dict[str, Any]]:
    """Rows of all arrays, ``size`` at a time; zeros fill up the last."""
    for begin in range(0, max(map(len, arrays.values()), default=0), size):
        batch = {name: values[begin : begin + size] for name, values in arrays.items()}
        yield {
            name: np.concatenate([rows, np.zeros((size - len(rows), *rows.shape[1:]), rows.dtype)])
            for name, rows in batch.items()
        }


def _joined(parts: dict[str, list[NDArray[Any]]], number: int, batch: int) -> _Arrays:
    """The batches one after another, without the rows that filled up the last."""
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    filled = -number % batch
    return {name: rows[:number] if len(rows) == number + filled else rows for name, rows in joined.items()}
