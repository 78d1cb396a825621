"""``caffepy COMMAND``: finds the command, runs it, and turns errors into one line and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from caffepy.errors import CaffepyError, did_you_mean

__all__ = ["main"]

# Of an error's text, in characters.
_LONGEST = 20_000

#: What each command does. Its module, named alike, is imported when it is called.
COMMANDS = {
    "train": "Train a net as a solver.prototxt says, or go on with it.",
    "test": "Measure a net with weights: accuracy and loss.",
    "detect": "Find what windows of images show.",
    "ilsvrc-eval": "Compute the errors of predictions as ILSVRC does.",
    "classify": "Find the classes of images.",
    "gradcheck": "Check the gradients of every layer of a net.",
    "time": "Measure how long each layer takes, forward and backward.",
    "summary": "Show a net's layers, shapes, parameters, multiply-adds and memory.",
    "deploy": "Make a deploy.prototxt from a train_val.prototxt.",
    "extract-features": "Write what blobs of a net hold for each record.",
    "show": "Draw filters, blobs, batches and confusion matrices.",
    "compare": "Compare two nets, weights or dumps, blob by blob.",
    "fold-bn": "Fold BatchNorm, Scale and Bias into the layers beside them.",
    "parse-log": "Make tables of the figures in a run's log.",
    "plot-log": "Draw runs from their logs.",
    "draw-net": "Draw a net, as SVG or PNG.",
    "resize-and-crop-images": "Make images square: shorter side to N pixels, and the centre.",
    "convert-imageset": "Make a database of images from a list of files and labels.",
    "convert-mnist": "Make a database of images from files in MNIST's format.",
    "compute-image-mean": "Compute the mean image of a database.",
    "check-data": "Look for records that would stop a training run.",
    "upgrade-net": "Bring a net or weights of an older Caffe into today's form.",
    "upgrade-solver": "Bring a solver.prototxt of an older Caffe into today's form.",
    "device-query": "Show the processor, the GPUs and the versions of all that is used.",
}

#: Other names of commands: those of Caffe's tools.
ALIASES = {
    "plot-training-log": "plot-log",
    "upgrade-net-proto-binary": "upgrade-net",
    "upgrade-net-proto-text": "upgrade-net",
    "upgrade-solver-proto-text": "upgrade-solver",
}


def _known(name: str) -> str | None:
    """The command that ``name``, as it was typed, stands for; None if there is none."""
    name = name.replace("_", "-")
    name = ALIASES.get(name, name)
    return name if name in COMMANDS else None


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        known = _known(name)
        if known is None:
            return None
        command = importlib.import_module(f"caffepy.cli.{known.replace('-', '_')}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] == "help":
            args = [*args[1:2], "--help"]
            if len(args) == 1:
                click.echo(ctx.get_help())
                ctx.exit()
        name = args[0].replace("_", "-")
        if _known(name) is None and not name.startswith("-"):
            hint = did_you_mean(name, [*COMMANDS, *ALIASES])
            ctx.fail(f"No such command '{args[0]}'.{hint} Commands: {', '.join(COMMANDS)}.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # click would import every command to learn its help.
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        from caffepy import __version__

        click.echo(f"caffepy {__version__}")
        ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "-help", "--help"]})
@click.option(
    "-version",
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Caffe as a Python library. Flags take one dash or two, hyphens or underscores, as Caffe's own do.

    CAFFEPY_TRACEBACK=1 shows where in the code an error arose.
    """


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line (that of the process unless given); gives the exit code.

    0: done; 1: a `CaffepyError` or an error of the operating system, told in one line; 2: a command line that is not
    understood; 130: interrupted from the keyboard.
    """
    trace = os.environ.get("CAFFEPY_TRACEBACK", "") not in ("", "0")
    try:
        result = cli.main(args=None if args is None else list(args), prog_name="caffepy", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return 130
    except BrokenPipeError:
        # The reader of a pipe has had enough; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if trace:
            raise
        text = _text(error)
        # A hostile file may have names of megabytes.
        text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ... ({len(text):,} characters)"
        click.echo(f"error: {text}", err=True)
        return 1


def _text(error: Exception) -> str:
    if isinstance(error, CaffepyError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
    if isinstance(error, MemoryError):
        return f"out of memory. {error}".strip()
    return (
        f"{type(error).__name__}: {error}\n"
        "This is a fault of caffepy. Run again with CAFFEPY_TRACEBACK=1 and report what it shows."
    )
