"""Other names of modules: ``caffepy.io`` is `caffepy.pycaffe.io`, and, where it is asked for, ``caffe`` is caffepy.

Scripts written for Caffe say ``import caffe.io``, ``from caffe.proto import caffe_pb2`` and the like. A module has one
copy whatever it is called: two of `caffe_pb2` would be two sets of classes that do not know each other.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from importlib.abc import Loader

__all__ = ["HELPERS", "alias_caffe", "find_aliases"]

#: pycaffe's modules, by the names that they have there.
HELPERS = ("classifier", "coord_map", "detector", "draw", "io", "net_spec")

_ROOT = __package__


class _Aliases:
    """Finds modules under their other names: a finder and a loader, whose base classes take long to import."""

    @property
    def _loader(self) -> Loader:
        return cast("Loader", self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        home = _home(fullname)
        return ModuleSpec(fullname, self._loader, origin=home) if home else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(spec.origin or "")
        # The import system is about to give it the alias's spec.
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It has run already, under its own name."""
        spec = module.__spec__
        if spec is not None and spec.loader is self._loader:
            module.__spec__ = spec.loader_state


def _home(fullname: str) -> str:
    """The real name of the module ``fullname``; empty where that is its real name, or none of ours."""
    head, _, tail = fullname.partition(".")
    if not tail or not (head == _ROOT or (head == "caffe" and sys.modules.get("caffe") is sys.modules[_ROOT])):
        return ""
    if tail in HELPERS:
        return f"{_ROOT}.pycaffe.{tail}"
    if head == _ROOT:
        return ""
    return _ROOT if tail == "_caffe" else f"{_ROOT}.{tail}"


_FINDER = _Aliases()


def find_aliases() -> None:
    """Let ``import caffepy.io`` and the like find their modules; done when caffepy is imported."""
    if _FINDER not in sys.meta_path:
        # First: the ordinary finder would make a second copy of caffe.proto out of caffepy's folder.
        sys.meta_path.insert(0, _FINDER)


def alias_caffe() -> None:
    """Let ``import caffe`` give caffepy, from now on.

    Raises:
        CaffepyError: another ``caffe`` has been imported.
    """
    root = sys.modules[_ROOT]
    other = sys.modules.setdefault("caffe", root)
    if other is not root:
        from caffepy.errors import CaffepyError

        raise CaffepyError(
            f"'caffe' has been imported already, from {getattr(other, '__file__', None) or 'elsewhere'}: "
            "call caffepy.install_as_caffe() before that."
        )
