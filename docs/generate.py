"""Writes the pages that come from the code: layers.md from docstrings, commands.md from each command's --help.

``python docs/generate.py`` writes them; a test holds the committed pages against it.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import click

import caffepy
from caffepy.cli.main import COMMANDS
from caffepy.layer import get_layer_class

__all__ = ["commands_page", "layers_page", "write"]


def _count(limits: tuple[int, int | None]) -> str:
    least, most = limits
    if most is None:
        return f"{least} or more"
    return str(least) if least == most else f"{least} to {most}"


def layers_page() -> str:
    """The catalogue: what each layer computes, takes and raises."""
    lines = [
        "# Layers",
        "",
        "Written from the docstrings of `caffepy/layers/`. Fields and defaults are those of `proto/caffe.proto`.",
        "",
    ]
    for name in caffepy.layer_types():
        layer = get_layer_class(name)
        if not layer.__module__.startswith("caffepy.layers."):
            continue
        traits = [f"Bottoms: {_count(layer.bottoms)}", f"tops: {_count(layer.tops)}"]
        traits += ["may run in place"] * layer.in_place + ["a loss"] * layer.loss
        lines += [
            f"## {name}",
            "",
            f"*{'; '.join(traits)}.* `{layer.__module__.replace('.', '/')}.py`",
            "",
            inspect.cleandoc(layer.__doc__ or ""),
            "",
        ]
    return "\n".join(lines)


def commands_page() -> str:
    """The help of every command."""
    lines = [
        "# Commands",
        "",
        "Options take one dash or two, hyphens or underscores: `-solver x`, `--solver=x`, `--sigint_effect stop`.",
        "",
    ]
    for name in COMMANDS:
        command: click.Command = importlib.import_module(f"caffepy.cli.{name.replace('-', '_')}").command
        context = click.Context(command, info_name=f"caffepy {name}", terminal_width=100, max_content_width=100)
        lines += [f"## {name}", "", "```text", command.get_help(context), "```", ""]
    return "\n".join(lines)


def write() -> None:
    """Write both pages beside this file."""
    folder = Path(__file__).parent
    (folder / "layers.md").write_text(layers_page(), encoding="utf-8")
    (folder / "commands.md").write_text(commands_page(), encoding="utf-8")


if __name__ == "__main__":
    write()
