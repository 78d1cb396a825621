"""A number of the host, where recorded work finds what it is by then."""

from __future__ import annotations

from caffepy.backend import Array, Backend

__all__ = ["Number"]


class Number:
    """A number in an array of one element, written when it changes; the host waits for nothing.

    Attributes:
        array: (1,), of the backend's dtype.
    """

    def __init__(self, backend: Backend) -> None:
        self.array: Array = backend.zeros((1,))
        self._value = 0.0

    def set(self, value: float) -> None:
        """Let it be ``value`` for all work that is asked for from now on."""
        if value != self._value:
            self.array.fill(value)
            self._value = value
