"""The process in which attacks are carried out: memory and time are limited, and what ends it ends no test.

``python -m tests.attacks.run 12 345`` carries out attacks 12 and 345 and writes two lines of JSON for each: that it
begins, and how it ended (refused: a CaffepyError; accepted; or failed: anything else). A process that dies says so by
the line that is missing. ``--keep FOLDER`` leaves the files in FOLDER/12 and FOLDER/345.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import re
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.attacks.generate import Attack

__all__ = ["MEMORY", "SECONDS", "carry_out", "main", "write_files"]

#: Bytes that one attack may take beyond what the process had before the first.
MEMORY = 1 << 30
#: Seconds that one attack may take; what is compiled for the first time counts too.
SECONDS = 60.0


def limit_memory(size: int) -> None:
    """Let this process take ``size`` bytes of addresses more than it has."""
    import resource

    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + size, used + size))


def start_of_peak() -> int:
    """Bytes that this process has in memory; the most of it is counted from now on."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    found = re.search(rf"^{name}:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def write_files(folder: Path, made: Attack) -> None:
    """Put the files of an attack into ``folder``."""
    for path, content in made.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    for path, size in made.holes.items():
        os.truncate(folder / path, size)


def carry_out(victim: Callable[[Path], None], made: Attack) -> tuple[str, str]:
    """Let ``victim`` read the files; gives how it ended and the message."""
    from caffepy.errors import CaffepyError

    here = os.getcwd()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder, made)
        try:
            victim(folder)
        except CaffepyError as error:
            return ("refused", str(error)) if str(error).strip() else ("failed", "a CaffepyError without a message")
        except BaseException:
            return "failed", traceback.format_exc(limit=-8)
        finally:
            os.chdir(here)
    return ("failed", "it was accepted") if made.must_fail else ("accepted", "")


def _prepare() -> None:
    """Import and start what attacks need, so that it does not count as theirs."""
    import logging
    import warnings

    import h5py  # noqa: F401
    import lmdb  # noqa: F401

    from tests.attacks.victims import VICTIMS

    logging.getLogger("caffepy").addHandler(logging.NullHandler())
    logging.getLogger("caffepy").propagate = False
    # Of NumPy, about numbers that overflow: what a run makes of them is its own affair.
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "solver.prototxt").write_text(_sound_solver())
        (Path(folder) / "net.prototxt").write_text(_sound_net())
        here = os.getcwd()
        VICTIMS["solver"](Path(folder))
        os.chdir(here)


def _sound_solver() -> str:
    from tests.attacks.bases import SOLVER

    return SOLVER


def _sound_net() -> str:
    from tests.attacks.bases import NET

    return NET


def main(numbers: list[int], keep: str = "") -> None:
    """Carry out ``numbers``, one after the other."""
    from tests.attacks.generate import attack
    from tests.attacks.victims import VICTIMS

    out = os.fdopen(os.dup(1), "w")
    _prepare()
    limit_memory(MEMORY)
    for number in numbers:
        print(json.dumps({"number": number}), file=out, flush=True)
        made = attack(number)
        if keep:
            write_files(Path(keep) / str(number), made)
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        before, began = start_of_peak(), time.perf_counter()
        ended, message = carry_out(VICTIMS[made.victim], made)
        seconds, peak = time.perf_counter() - began, _status("VmHWM") - before
        faulthandler.cancel_dump_traceback_later()
        result = {
            "number": number,
            "note": made.note[:1000],
            "ended": ended,
            "message": message[:3000],
            "seconds": seconds,
            "peak": peak,
        }
        print(json.dumps(result), file=out, flush=True)


if __name__ == "__main__":
    import argparse

    parser = argparse.ArgumentParser(prog="python -m tests.attacks.run")
    parser.add_argument("numbers", nargs="+", type=int)
    parser.add_argument("--keep", default="", metavar="FOLDER")
    arguments = parser.parse_args()
    main(arguments.numbers, os.path.abspath(arguments.keep) if arguments.keep else "")
