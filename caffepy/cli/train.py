"""``caffepy train``: a training run, with everything that watches it."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from caffepy.cli.command import ARGUMENTS, CaffeCommand
from caffepy.cli.options import (
    backend_options,
    colour_options,
    comma_list,
    data_threads_option,
    open_backend,
    precision_options,
    python_layers_option,
    state_options,
    weights_options,
)

if TYPE_CHECKING:
    from rich.console import Console

    from caffepy.data.options import DataOptions
    from caffepy.proto import caffe_pb2
    from caffepy.proto.text import Lines

__all__ = ["command"]

_log = logging.getLogger("caffepy")
_EFFECTS = click.Choice(["stop", "snapshot", "none"])


@dataclass(frozen=True)
class _Flags:
    """The command line; names as the options'."""

    solver: str
    weights: str
    snapshot: str
    resume: str
    run_dir: str
    seed: int | None
    gpu: str
    threads: int | None
    tf32: bool
    amp: bool
    stage: str
    level: int
    sigint_effect: str
    sighup_effect: str
    iterations: int | None
    data_threads: int
    shuffle: bool
    colour_noise: float
    colour_pca: str
    max_bad_records: int
    allow_python_layers: bool
    graph: bool
    on_mismatch: str
    reshape_weights: bool


@click.command("train", cls=CaffeCommand)
@click.option("--solver", required=True, metavar="FILE", help="The solver's prototxt.")
@click.option(
    "--weights", default="", metavar="FILE,...", help="Start from these .caffemodel or .h5 files (fine-tune)."
)
@click.option("--snapshot", default="", metavar="FILE", help="Go on from this .solverstate.")
@click.option(
    "--resume", default="", metavar="auto|FILE", help="Go on from the last snapshot, if any; or as --snapshot."
)
@click.option("--run-dir", default="", metavar="FOLDER", help="For log, metrics and curves. [default: the snapshots']")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Instead of the solver's random_seed.")
@backend_options
@precision_options
@state_options
@click.option("--sigint-effect", type=_EFFECTS, default="stop", show_default=True, help="What Ctrl-C does.")
@click.option("--sighup-effect", type=_EFFECTS, default="snapshot", show_default=True, help="What SIGHUP does.")
@click.option("--iterations", type=int, help="Accepted as in Caffe, to no effect: max_iter in the solver counts.")
@data_threads_option
@click.option("--shuffle/--no-shuffle", default=False, help="Visit training records in another order each epoch.")
@colour_options
@click.option(
    "--max-bad-records",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Pass over up to N undecodable ones a data layer. [default: 0]",
)
@python_layers_option
@click.option("--graph/--no-graph", default=True, help="On a GPU, repeat the iteration as one CUDA graph.")
@weights_options
def command(**flags: Any) -> None:
    """Train as a solver.prototxt says.

    On a terminal one line tells how the run goes; elsewhere Caffe's log is written to stderr. The run's folder gets the
    log (train.log), metrics.jsonl, run.json and curves.png.

    Ctrl-C and SIGTERM snapshot and stop; --resume auto goes on from there.
    """
    given = _Flags(**{field.name: flags[field.name] for field in fields(_Flags)})
    if given.weights and (given.snapshot or given.resume):
        raise click.UsageError("Give a snapshot to resume training or weights to finetune but not both.")
    if given.snapshot and given.resume:
        raise click.UsageError("--snapshot and --resume say the same: give one of them.")
    from caffepy.cli.output import console, log_to, plain_lines, told_level
    from caffepy.monitor.log import RUN, GlogFormatter

    out = console(stderr=True)
    if out.is_terminal:
        lines = plain_lines(out)
        # The progress line and what stays above it say the same.
        lines.addFilter(lambda record: record.name != RUN)
    else:
        lines = logging.StreamHandler(sys.stderr)
        lines.setFormatter(GlogFormatter())
    lines.setLevel(told_level())
    with log_to(lines):
        _run(given, click.get_current_context().meta[ARGUMENTS], out)


def _run(flags: _Flags, arguments: list[str], out: Console) -> None:
    from caffepy.cli.output import log_to
    from caffepy.errors import CaffepyError
    from caffepy.proto.read import read_solver
    from caffepy.solver.snapshot import check_state, latest_state

    param, lines = read_solver(flags.solver)
    folder = Path(flags.run_dir or Path(param.snapshot_prefix).parent)
    _make_folder(folder, "--run-dir" if flags.run_dir else f"snapshot_prefix '{param.snapshot_prefix}'")
    auto = flags.resume == "auto"
    state = latest_state(param.snapshot_prefix) if auto else flags.snapshot or flags.resume or None
    if state is not None:
        check_state(state)
    file = _log_file(folder / "train.log", keep=state is not None)
    with log_to(file):
        if auto and state is None:
            _log.info("No snapshot of %s yet: starting anew.", param.snapshot_prefix)
        _settle(param, flags, state, folder)
        try:
            _train((param, lines), flags, arguments, state, folder, out)
        except CaffepyError as error:
            # To the file alone: whoever runs the command prints it.
            file.handle(_log.makeRecord("caffepy", logging.ERROR, __file__, 0, str(error), (), None))
            raise


def _make_folder(folder: Path, named_by: str) -> None:
    """Make the run's folder, which an option or a field names.

    Raises:
        SolverError: it cannot be made; says what names it.
    """
    from caffepy.errors import SolverError, reason

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SolverError(
            f"Cannot make the run's folder '{folder}', which {named_by} names: {reason(error)}. "
            "Make sure that the directory exists and is writeable, or name another."
        ) from error


def _log_file(path: Path, keep: bool) -> logging.Handler:
    from caffepy.monitor.log import GlogFormatter

    # The log of a start that failed is not worth that of the run before it.
    if not keep and path.exists() and _has_trained(path):
        os.replace(path, path.with_name(f"{path.name}.old"))
    handler = logging.FileHandler(path, mode="a" if keep else "w", encoding="utf-8")
    handler.setFormatter(GlogFormatter())
    return handler


def _has_trained(log: Path) -> bool:
    """Whether ``log`` is of a run that came to its first iteration or test."""
    with open(log, encoding="utf-8", errors="replace") as file:
        return any("] Iteration " in line for line in file)


def _settle(param: caffe_pb2.SolverParameter, flags: _Flags, state: str | None, folder: Path) -> None:
    """What the flags say instead of the solver's file."""
    if state is not None:
        _log.info("Resuming from %s", state)
        param.ClearField("weights")
    elif flags.weights:
        param.ClearField("weights")
        param.weights.extend(comma_list(flags.weights))
    # Caffe sets the level to 0 where no flag is given, even against the file; here the file counts then.
    if flags.level:
        param.train_state.level = flags.level
    param.train_state.stage.extend(comma_list(flags.stage))
    if flags.seed is not None:
        param.random_seed = flags.seed
    elif state is not None and param.random_seed < 0:
        _same_seed(param, folder)
    if param.HasField("solver_mode") and param.solver_mode == param.GPU and not flags.gpu:
        _log.warning("solver_mode: GPU in %s has no effect: add --gpu 0, or this computes on the CPU.", flags.solver)
    if flags.iterations is not None:
        _log.warning("-iterations is for test and time; max_iter in %s says how long to train.", flags.solver)


def _same_seed(param: caffe_pb2.SolverParameter, folder: Path) -> None:
    """The seed that chance gave the run before, so that the whole is one run."""
    from caffepy.monitor.run_json import read_run

    earlier = read_run(folder / "run.json")
    if earlier.get("snapshot_prefix") == param.snapshot_prefix and isinstance(earlier.get("seed"), int):
        param.random_seed = earlier["seed"]
    else:
        _log.warning(
            "random_seed is not set and %s does not tell the one before: what follows is not, number by number, what "
            "the uninterrupted run would have been.",
            folder / "run.json",
        )


def _train(
    source: tuple[caffe_pb2.SolverParameter, Lines],
    flags: _Flags,
    arguments: list[str],
    state: str | None,
    folder: Path,
    out: Console,
) -> None:
    from caffepy.cli.signals import Signals
    from caffepy.monitor.curves import Curves
    from caffepy.monitor.health import Health
    from caffepy.monitor.log import Log
    from caffepy.monitor.metrics import Metrics
    from caffepy.monitor.progress import Progress
    from caffepy.monitor.run_json import RunJson
    from caffepy.net import CopyRules
    from caffepy.solver import get_solver

    data = _data_options(flags)
    backend = open_backend(flags.gpu, flags.threads, tf32=flags.tf32, amp=flags.amp)
    metrics = Metrics(folder / "metrics.jsonl")
    with ExitStack() as stack:
        signals = stack.enter_context(Signals(flags.sigint_effect, flags.sighup_effect, out.is_terminal))
        stack.callback(metrics.close)
        observers = [
            signals,
            Log(),
            Health(),
            metrics,
            RunJson(folder / "run.json", flags.solver, arguments, data, state),
            Curves(folder / "curves.png", metrics.path),
        ]
        if out.is_terminal:
            observers.append(stack.enter_context(Progress(out)))
        solver = get_solver(
            source,
            backend,
            data=data,
            allow_python_layers=flags.allow_python_layers,
            share_memory=True,
            record=flags.graph,
            copy_rules=CopyRules(flags.on_mismatch, flags.reshape_weights),
            observers=observers,
        )
        stack.callback(solver.close)
        _log.info(
            "Training on %s, %d threads, random_seed %d, to iteration %d; log, metrics and curves in %s",
            backend.device, backend.threads, solver.seed, solver.param.max_iter, folder,
        )  # fmt: skip
        solver.solve(state)
        _log.info("Curves: %s", folder / "curves.png")
        if signals.stopping and solver.param.snapshot_after_train:
            _log.info("The same command with --resume auto goes on from here.")


def _data_options(flags: _Flags) -> DataOptions:
    from caffepy.data.options import DataOptions

    return DataOptions(
        threads=flags.data_threads,
        shuffle=flags.shuffle,
        colour_noise=flags.colour_noise,
        colour_pca=flags.colour_pca,
        max_bad_records=flags.max_bad_records,
    )
