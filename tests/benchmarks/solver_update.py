"""SGD's update of AlexNet's 61 million parameters, alone, against torch.optim.SGD(foreach=True).

    python -m tests.benchmarks.solver_update [--model alexnet] [--repetitions 7]

Printed too: PyTorch's fused form, and the bytes a second that caffepy's six streams (w, dw and history, read
and written) come to.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator

from tests.benchmarks.machine import missing
from tests.benchmarks.rows import Row, main
from tests.benchmarks.turns import Side, take_turns


def rows(given: argparse.Namespace) -> Iterator[Row]:
    """One."""
    settings = {"model": given.model}
    reason = missing("torch")
    with contextlib.ExitStack() as stack:
        sides = {"caffepy": stack.enter_context(Side("caffepy_update", settings, given.threads))}
        count = sides["caffepy"].facts["count"]
        if not reason:
            sides["SGD(foreach)"] = stack.enter_context(Side("torch_update", settings, given.threads))
            sides["SGD(fused)"] = stack.enter_context(Side("torch_update", {**settings, "fused": True}, given.threads))
        series = take_turns(sides, given.repetitions)
    taken = {
        name: one.middle(given.clock) / (given.threads if given.clock == "cpu" else 1) for name, one in series.items()
    }
    details = [f"{name}: median {1e3 * seconds:.1f} ms" for name, seconds in taken.items()]
    details.append(f"{count:,} parameters; caffepy moves {24 * count / taken['caffepy'] / 1e9:.1f} GB/s")
    value = None if reason else taken["caffepy"] / taken["SGD(foreach)"]
    summary = ", ".join(f"{name} {1e3 * seconds:.1f} ms" for name, seconds in taken.items())
    what = "Solver update alone, against PyTorch's SGD(foreach)"
    yield Row(what, 0.80, value, skipped=reason, summary=summary, details=details)


def options(parser: argparse.ArgumentParser) -> None:
    """Beside those of all scripts."""
    parser.add_argument("--model", default="alexnet", help="a folder of models/")


if __name__ == "__main__":
    main(__doc__, rows, options)
