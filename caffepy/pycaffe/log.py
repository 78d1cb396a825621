"""pycaffe's ``init_log`` and ``log``: Caffe's log on stderr, in the shape that glog gives it."""

from __future__ import annotations

import logging

from caffepy.monitor.log import GlogFormatter, least_level

__all__ = ["init_log", "log"]

_log = logging.getLogger("caffepy")
_handler: logging.Handler | None = None


def init_log(level: int | None = None, stderr: bool = True) -> None:
    """Write caffepy's log to stderr, as Caffe does; without this call it goes where `logging` is told to put it.

    Args:
        level: the least that is written: 0 all, 1 warnings, 2 errors, 3 nothing but what ends a run; the environment's
            GLOG_minloglevel unless given.
        stderr: False writes errors only. (Caffe writes the rest to files in /tmp.)
    """
    global _handler
    if _handler is not None:
        _log.removeHandler(_handler)
    _handler = logging.StreamHandler()
    _handler.setFormatter(GlogFormatter())
    _handler.setLevel(max(least_level(level), least_level(0 if stderr else 2)))
    _log.addHandler(_handler)
    _log.setLevel(logging.INFO)
    # Or a program that sets up logging of its own would have each line twice.
    _log.propagate = False


def log(text: str) -> None:
    """Write a line of your own to the log."""
    _log.info("%s", text, stacklevel=2)
