"""Python: a layer whose class is in a module that the prototxt names."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from caffepy.blob import Blob
from caffepy.errors import LayerError, did_you_mean
from caffepy.layer import Layer, register_layer
from caffepy.layers._host_blob import HOST, BlobVec, mirror, write_back
from caffepy.layers._python_class import import_module, layer_classes, other_caffe, place_in

__all__ = ["Python"]


@register_layer("Python")
class Python(Layer):
    """Runs the class ``layer`` of the module ``module`` (Caffe's python_layer.hpp).

    The class is one written for pycaffe, ``class X(caffe.Layer)`` with ``setup``, ``reshape``, ``forward`` and
    ``backward``, which finds its settings in ``self.param_str``; it need not be registered. Blobs' data and diff are
    NumPy arrays on every device. The module is looked for on sys.path, then in the current folder.

    A prototxt that names code to run is trusted only where the caller says so: ``--allow-python-layers`` or
    ``Net(..., allow_python_layers=True)``. A module that the program has imported by itself needs no such word.

    Raises:
        LayerError: not allowed; a module or class that is not there or is no layer; whatever the class raises, which is
            then the error's ``__cause__``.
    """

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.python_param
        self.code = f"{param.module}.{param.layer}"
        if not (self.context.allow_python_layers or param.module in sys.modules):
            raise self.error(
                f"runs '{self.code}', code that the prototxt names. If you trust it, allow it: --allow-python-layers "
                "on the command line, Net(..., allow_python_layers=True) or caffepy.install_as_caffe(); or import "
                f"{param.module} in the script before."
            )
        self.module = self._guarded("import", import_module, param.module)
        # The user's own, which is a layer inside this one.
        self.user: Any = self._guarded("__init__", self._class(), self.param, self.context, self.where)
        self.user.param_str = param.param_str
        # Its name until 2015, which Faster R-CNN's layers still use.
        self.user.param_str_ = param.param_str
        self.user.xp = HOST
        self.user.blobs = BlobVec(self)
        self._run("setup", bottom, top)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._run("reshape", bottom, top)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._run("forward", bottom, top)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.user.param_propagate_down = self.param_propagate_down
        self._run("backward", top, bottom, propagate_down)

    def can_propagate(self, index: int) -> bool:
        return bool(self.user.can_propagate(index))

    def close(self) -> None:
        """Let the user's layer close what it has open."""
        self._guarded("close", self.user.close)

    def _run(
        self, method: str, first: list[Blob], second: list[Blob], propagate_down: list[bool] | None = None
    ) -> None:
        # Of a blob that is bottom and top there is one mirror.
        known = {id(blob): mirror(blob) for blob in [*first, *second]}
        first, second = [known[id(blob)] for blob in first], [known[id(blob)] for blob in second]
        args = (first, second) if propagate_down is None else (first, propagate_down, second)
        self._guarded(method, getattr(self.user, method), *args)
        write_back([*known.values(), *self.user.blobs])

    def _class(self) -> Callable[..., Any]:
        """The class, with what pycaffe lets a layer leave out."""
        name, known = self.param.python_param.layer, layer_classes(self.module)
        found = getattr(self.module, name, None)
        if not (isinstance(found, type) and issubclass(found, Layer)):
            what = "does not exist" if found is None else "is no layer: derive it from caffe.Layer"
            raise self.error(
                f"class '{self.code}' {what}{other_caffe(found)}.{did_you_mean(name, known)} "
                f"Layers of {getattr(self.module, '__file__', self.module.__name__)}: {', '.join(known) or 'none'}."
            )
        missing = found.__abstractmethods__
        if needed := sorted(missing & {"reshape", "forward"}):
            raise self.error(f"class '{self.code}' has no method {' and no '.join(needed)}: a layer needs it.")
        return type(found.__name__, (found,), dict.fromkeys(missing, _nothing)) if missing else found

    def _guarded(self, what: str, function: Callable[..., Any], *args: Any) -> Any:
        try:
            return function(*args)
        except LayerError:
            raise
        except Exception as error:
            place = place_in(getattr(self, "module", None), error.__traceback__)
            raise self.error(
                f"'{self.code}', {what}: {type(error).__name__}: {error}{f' ({place})' if place else ''}."
            ) from error


def _nothing(*args: Any) -> None:
    """What a layer without setup or backward does."""
