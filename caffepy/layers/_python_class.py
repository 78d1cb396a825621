"""Finding the class that a prototxt names, as Caffe's users have it: on sys.path, or in the current folder."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from types import ModuleType, TracebackType

from caffepy.aliases import alias_caffe
from caffepy.layer import Layer

__all__ = ["import_module", "layer_classes", "other_caffe", "place_in"]

_OWN = os.path.dirname(os.path.dirname(__file__))


def import_module(name: str) -> ModuleType:
    """The module ``name``, imported from sys.path, or else with the current folder at its end, where it then stays.

    ``import caffe`` in it gives caffepy, unless another Caffe is installed. Raises what importing raises.
    """
    _let_caffe_be_caffepy()
    # A file may have been written a moment ago.
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        here = os.getcwd()
        if here in sys.path or "" in sys.path:
            raise
        sys.path.append(here)
        try:
            return importlib.import_module(name)
        except BaseException:
            sys.path.remove(here)
            raise


def _let_caffe_be_caffepy() -> None:
    if "caffe" in sys.modules or importlib.util.find_spec("caffe") is not None:
        return
    alias_caffe()


def layer_classes(module: ModuleType) -> list[str]:
    """Names of the layers that ``module`` defines."""
    return [name for name, value in vars(module).items() if isinstance(value, type) and issubclass(value, Layer)]


def other_caffe(found: object) -> str:
    """Words about the Layer that a class comes from, where it is not caffepy's; empty where it comes from none."""
    bases = found.__mro__ if isinstance(found, type) else ()
    other = next((base for base in bases if base.__name__ == "Layer"), None)
    return f" of caffepy; its Layer is that of '{other.__module__}': write 'import caffepy as caffe'" if other else ""


def place_in(module: ModuleType | None, trace: TracebackType | None) -> str:
    """``file:line`` of the last call in ``module`` that led to an error; without one, of the last in a user's file."""
    place = ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        wanted = file == getattr(module, "__file__", None) if module else not file.startswith(("<frozen", _OWN))
        if wanted and os.path.basename(os.path.dirname(file)) != "importlib":
            place = f"{file}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
