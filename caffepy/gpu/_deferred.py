"""Checks of values that lie on the device: made when the host waits for it anyway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from caffepy.errors import LayerError

__all__ = ["Deferred"]


class Deferred:
    """Checks to make at the next wait, each once, in the order in which they were first asked for."""

    def __init__(self) -> None:
        self._checks: dict[Callable[[], None], None] = {}
        self._noted: list[Callable[[], None]] | None = None

    @contextmanager
    def noting(self) -> Iterator[list[Callable[[], None]]]:
        """The list that gets what is asked for inside the block, where nothing runs and so nothing can be checked."""
        self._noted = []
        try:
            yield self._noted
        finally:
            self._noted = None

    def add(self, check: Callable[[], None]) -> None:
        """Make ``check`` at the next wait; asked for twice it is made once."""
        if self._noted is None:
            self._checks[check] = None
        else:
            self._noted.append(check)

    def run(self) -> None:
        """Make them all, and raise what the first raised that found something.

        The others, too, read what they keep and so forget it: it may be of the same fault, and must not be told later.
        """
        if not self._checks:
            return
        checks, self._checks = self._checks, {}
        found: LayerError | None = None
        for check in checks:
            try:
                check()
            except LayerError as error:
                found = found or error
        if found is not None:
            raise found
