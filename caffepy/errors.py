"""Every error that caffepy raises on purpose.

::

    CaffepyError
    ├── ParseError      a prototxt that cannot be read or written: syntax, unknown field, bad value
    ├── NetError        a net that cannot be built: names, wiring, parameters shared
    │   └── LayerError  one layer's settings or shapes
    ├── WeightsError    a caffemodel, solverstate or HDF5 file that cannot be read or does not fit
    ├── SolverError     solver settings, snapshots, a loss that is no longer a number
    ├── DataError       databases, records, images, means
    └── BackendError    a device or an op that is not there

A message says where (file and line, layer or record), what was expected, what was got and what to do. Where Caffe's
users search for Caffe's own wording, the message contains it.
"""

from __future__ import annotations

__all__ = [
    "BackendError",
    "CaffepyError",
    "DataError",
    "LayerError",
    "NetError",
    "ParseError",
    "SolverError",
    "WeightsError",
    "did_you_mean",
    "prefix",
    "reason",
]


class CaffepyError(RuntimeError):
    """Base of all errors raised on purpose; the command line prints its text without a traceback.

    It is a RuntimeError because pycaffe's errors are: scripts that catch those go on working.
    """


class ParseError(CaffepyError):
    """A prototxt that cannot be read, or written."""


class NetError(CaffepyError):
    """A net that cannot be built or run."""


class LayerError(NetError):
    """One layer's settings or the shapes of its bottoms."""


class WeightsError(CaffepyError):
    """A file of weights or solver state that cannot be read, or that does not fit the net."""


class SolverError(CaffepyError):
    """Solver settings, snapshots, a diverged run."""


class DataError(CaffepyError):
    """A database, record, image or mean file."""


class BackendError(CaffepyError):
    """A device, or an op of it, that is not there."""


def prefix(where: str) -> str:
    """``where: ``, with which a message begins; nothing where the place, such as ``net.prototxt:12``, is not known."""
    return f"{where}: " if where else ""


def reason(error: BaseException) -> str:
    """What went wrong; of an error of the system its own words, without the number and the path."""
    return str(getattr(error, "strerror", None) or error)


# Comparing words takes time with the product of their lengths.
_LONGEST_WORD = 100
_MOST_WORDS = 2000


def did_you_mean(word: str, known: list[str]) -> str:
    """`` Did you mean 'x'?`` for the nearest of ``known``, or the empty string."""
    import difflib

    if len(word) > _LONGEST_WORD:
        return ""
    # The last ones, which a file has just before the place of the error.
    known = [k for k in known[-_MOST_WORDS:] if len(k) <= _LONGEST_WORD]
    # Case is the most frequent slip ("Relu"), and difflib counts it as an ordinary difference.
    by_lower = {k.lower(): k for k in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f" Did you mean '{by_lower[near[0]]}'?" if near else ""
