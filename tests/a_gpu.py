"""Whether there is a GPU to test on: one that CuPy sees, real or emulated."""

from __future__ import annotations

from caffepy.devices import get_backend
from caffepy.errors import BackendError

__all__ = ["BACKENDS", "WHY_NOT"]


def _why_not() -> str:
    try:
        get_backend("gpu:0")
    except BackendError as error:
        return str(error)
    return ""


#: Empty where there is one.
WHY_NOT = _why_not()
#: A backend joins every contract test by its name here.
BACKENDS = ["cpu"] if WHY_NOT else ["cpu", "gpu:0"]
