"""Loops over flat arrays, in chunks whose bounds do not depend on the number of threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caffepy.cpu._parallel import Workers

__all__ = ["CHUNK", "chunks_of", "for_chunks"]

#: Elements that one thread takes at a time: below this, waking another thread costs more than it saves.
CHUNK = 1 << 15


def chunks_of(count: int) -> int:
    """How many chunks ``count`` elements have."""
    return (count + CHUNK - 1) // CHUNK


def for_chunks(workers: Workers, count: int, kernel: Callable[..., Any], *arguments: Any) -> None:
    """Call ``kernel(begin, end, *arguments)`` for ranges that cover ``range(count)`` and begin at whole chunks."""

    def part(first: int, last: int, worker: int) -> None:
        kernel(first * CHUNK, min(last * CHUNK, count), *arguments)

    workers.run(chunks_of(count), part)
