"""Counting the records that are passed over, and the end of the run when there are too many."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from caffepy.errors import DataError

__all__ = ["BadRecords", "too_many"]

_log = logging.getLogger("caffepy")


class BadRecords:
    """The different records that were passed over so far; each is logged once.

    Args:
        allowed: how many there may be.
    """

    def __init__(self, allowed: int) -> None:
        self.allowed = allowed
        self._seen: set[int] = set()

    def __len__(self) -> int:
        return len(self._seen)

    def note(self, passed_over: Iterable[tuple[int, str]]) -> None:
        """Count records, each with its number and what is wrong with it.

        Raises:
            DataError: there are more than allowed.
        """
        for record, reason in passed_over:
            if record in self._seen:
                continue
            self._seen.add(record)
            if len(self._seen) > self.allowed:
                raise DataError(too_many(reason, self.allowed))
            _log.warning("bad record %d of %d allowed: %s", len(self._seen), self.allowed, reason)


def too_many(reason: str, allowed: int) -> str:
    """What to say of the one bad record more than ``allowed``."""
    return f"{reason} One bad record more than the {allowed} allowed; --max-bad-records lets a run pass over some."
