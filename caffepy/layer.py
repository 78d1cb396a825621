"""Layer: what every layer is, how it is registered, and what it is given by the net that it is in."""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, ClassVar, TypeVar

from caffepy.backend import Backend, Budget, Counter
from caffepy.blob import Blob
from caffepy.data.options import DataOptions
from caffepy.errors import BackendError, CaffepyError, LayerError, NetError, did_you_mean, prefix
from caffepy.filler import fill
from caffepy.proto import caffe_pb2
from caffepy.proto.arrays import blob_array
from caffepy.proto.forks import fork_of_layer
from caffepy.random import Stream

__all__ = ["Layer", "LayerContext", "get_layer_class", "layer_types", "register_layer"]

LayerClass = TypeVar("LayerClass", bound="type[Layer]")

_registry: dict[str, type[Layer]] = {}


@dataclass
class LayerContext:
    """What a net tells its layers.

    Attributes:
        backend: where blobs live and ops run.
        phase: ``caffe_pb2.TRAIN`` or ``caffe_pb2.TEST``.
        seed: of every random stream in the net.
        counter: the pass that the net is in.
        data: how data layers read.
        allow_python_layers: whether a prototxt may name a Python module to import.
        fill_params: whether learnable blobs get their initial values; a net that takes all of them from elsewhere
            saves the time and, until they are written, the memory.
        budget: the memory that the net's layers may take on the device; None does not count.
        host_budget: the same on the host.
    """

    backend: Backend
    phase: int
    seed: int = 0
    counter: Counter = field(default_factory=Counter)
    data: DataOptions = field(default_factory=DataOptions)
    allow_python_layers: bool = False
    fill_params: bool = True
    budget: Budget | None = None
    host_budget: Budget | None = None


class Layer(ABC):
    """One step of a net: ``setup`` once, ``reshape`` before each ``forward``, then ``backward``.

    ``bottom`` and ``top`` are lists of `Blob`. ``forward`` writes ``top[i].data``; ``backward`` reads ``top[i].diff``,
    overwrites ``bottom[i].diff`` where ``propagate_down[i]``, and adds to ``blobs[j].diff`` where
    ``param_propagate_down[j]``. A layer written on ``self.xp`` runs on every backend.

    Class attributes say what a layer takes, and `Net` checks them before ``setup``:

    * ``bottoms``, ``tops``: least and most number of blobs (``None``: no limit); ``equal_bottoms_tops``.
    * ``in_place``: whether a top may be the very blob of the bottom in the same place.
    * ``loss``: the first top is a loss, with weight 1 unless the prototxt says otherwise.
    * ``auto_top_blobs``: tops that the prototxt leaves out are made, as Caffe does for losses.
    * ``no_gradient``: bottoms, by index, to which nothing can be propagated (labels).
    """

    bottoms: ClassVar[tuple[int, int | None]] = (0, None)
    tops: ClassVar[tuple[int, int | None]] = (0, None)
    equal_bottoms_tops: ClassVar[bool] = False
    in_place: ClassVar[bool] = True
    loss: ClassVar[bool] = False
    auto_top_blobs: ClassVar[bool] = False
    no_gradient: ClassVar[frozenset[int]] = frozenset()

    def __init__(self, param: caffe_pb2.LayerParameter, context: LayerContext, where: str = "") -> None:
        self.param = param
        self.context = context
        self.where = where
        self.name = param.name
        self.type = param.type
        self.phase: int = param.phase if param.HasField("phase") else context.phase
        self.backend = context.backend
        self.xp: Any = context.backend.xp
        self.ops: ModuleType = context.backend.ops
        #: Learnable blobs, made in ``setup`` by `add_blob`.
        self.blobs: list[Blob] = []
        #: For each learnable blob, whether ``backward`` must add to its diff; set by the net.
        self.param_propagate_down: list[bool] = []

    @abstractmethod
    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read the settings, make ops and learnable blobs; called once."""

    @abstractmethod
    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Shape the tops from the bottoms and plan the ops; called before every forward pass."""

    @abstractmethod
    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Compute ``top[i].data`` from ``bottom[i].data``."""

    @abstractmethod
    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Compute the diffs of bottoms and learnable blobs from ``top[i].diff``."""

    def close(self) -> None:
        """Let go of files and threads; a layer without any has nothing to do."""
        return

    def can_propagate(self, index: int) -> bool:
        """Whether a gradient for ``bottom[index]`` exists; ``no_gradient`` unless a layer decides by its settings."""
        return index not in self.no_gradient

    def stream(self, *names: str | int) -> Stream:
        """The random numbers of this layer for one purpose."""
        return self.backend.stream(self.context.seed, self.name, *names)

    def add_blob(self, shape: Sequence[int], filler: caffe_pb2.FillerParameter) -> Blob:
        """Append a learnable blob: from the prototxt's own ``blobs`` where it has them, else filled by ``filler``."""
        index = len(self.blobs)
        blob = Blob(self.backend.full, tuple(shape))
        self.blobs.append(blob)
        # The filler's values are there until they are copied.
        filled = blob.unallocated if self.context.fill_params else 0
        self.take_memory(blob.unallocated, f"learnable blob {index}, {blob.shape_string},", filled)
        if not self.context.fill_params:
            return blob
        if index < len(self.param.blobs):
            values = blob_array(self.param.blobs[index])
            if len(values) != blob.count:
                raise self.error(
                    f"blobs[{index}] in the prototxt has {len(values)} values; "
                    f"its shape {blob.shape_string} needs {blob.count}."
                )
            blob.data[...] = self.backend.asarray(values.reshape(blob.shape))
        else:
            with self.named():
                values = fill(filler, blob.shape, self.stream("blob", index))
            # On the CPU that is the filler's own memory, not touched twice.
            blob.place(data=blob.backend.asarray(values.reshape(-1)))
        return blob

    def axis(self, blob: Blob, index: int, what: str = "axis") -> int:
        """``index`` as an axis of ``blob``, negative ones counted from the end.

        Raises:
            LayerError: no such axis.
        """
        try:
            return blob.axis(index)
        except NetError as error:
            raise self.error(f"{what}: {error}") from None

    def take_memory(self, size: int, what: str, meanwhile: int = 0) -> None:
        """Count ``size`` bytes that are about to be allocated for ``what``, and ``meanwhile`` more until it is ready.

        Raises:
            LayerError: there is not so much memory for the net.
        """
        self._take(self.context.budget, size, what, meanwhile)

    def take_host_memory(self, size: int, what: str) -> None:
        """The same of memory on the host, whatever the device."""
        self._take(self.context.host_budget, size, what)

    def _take(self, budget: Budget | None, size: int, what: str, meanwhile: int = 0) -> None:
        if budget is not None:
            try:
                budget.take(size, what, meanwhile)
            except BackendError as error:
                raise self.error(str(error)) from None

    @contextmanager
    def named(self, kind: type[CaffepyError] = LayerError) -> Iterator[None]:
        """Errors of ``kind`` inside the block, which know nothing of layers, get this one's name and line."""
        try:
            yield
        except kind as error:
            raise kind(str(self.error(str(error)))) from error

    def error(self, text: str) -> LayerError:
        """An error that names this layer and its line; ``raise self.error("...")``."""
        return LayerError(f"{prefix(self.where)}layer '{self.name}' ({self.type}): {text}")


def register_layer(type_name: str) -> Callable[[LayerClass], LayerClass]:
    """Make a class the layer of prototxt type ``type_name``::

        @caffepy.register_layer("Swish2")
        class Swish2(caffepy.Layer): ...

    A later registration of the same name from the same module replaces the former (a notebook cell run twice).

    Raises:
        NetError: another module registered the name.
    """

    def register(layer_class: LayerClass) -> LayerClass:
        if not layer_class.__module__.startswith(f"{__package__}."):
            # Or a clash with a built-in layer would show later, in a net that has nothing to do with it.
            _import_built_in()
        known = _registry.get(type_name)
        if known is not None and known.__module__ != layer_class.__module__:
            raise NetError(
                f"Layer type {type_name} already registered by {known.__module__}.{known.__qualname__}. "
                "Choose another name."
            )
        _registry[type_name] = layer_class
        return layer_class

    return register


def _import_built_in() -> None:
    import caffepy.layers as package

    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{package.__name__}.{module.name}")


def get_layer_class(type_name: str, where: str = "") -> type[Layer]:
    """The class of prototxt type ``type_name``.

    Raises:
        NetError: no such type; names the nearest, and the fork of Caffe that has it where that is known.
    """
    if type_name not in _registry:
        _import_built_in()
    if type_name not in _registry:
        hint = fork_of_layer(type_name) or did_you_mean(type_name, list(_registry))
        if type_name == "Recurrent":
            hint = " It is what Caffe's RNN and LSTM are built on, and no type of its own: use one of these."
        known = f" Known types: {', '.join(layer_types())}."
        raise NetError(
            f"{prefix(where)}Unknown layer type: {type_name or '(none given)'}."
            f"{hint or known} "
            f'A layer of your own is added by @caffepy.register_layer("{type_name}").'
        )
    return _registry[type_name]


def layer_types() -> list[str]:
    """All registered types, sorted."""
    _import_built_in()
    return sorted(_registry)
