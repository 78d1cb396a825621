"""Writes the pages that come from the code: the catalogue of layers, the table of fields, and the commands' --help.

``python docs/generate.py`` writes them; a test holds the committed pages against it.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click

from caffepy.cli.main import COMMANDS, cli

sys.path.insert(0, str(Path(__file__).parent))
import field_table
import layer_pages

__all__ = ["pages", "write"]


def _commands_page() -> str:
    """The help of every command."""
    lines = [
        "# Commands",
        "",
        "Options take one dash or two, hyphens or underscores: `-solver x`, `--solver=x`, `--sigint_effect stop`.",
        "",
    ]
    for name in COMMANDS:
        command: click.Command = importlib.import_module(f"caffepy.cli.{name.replace('-', '_')}").command
        lines += [f"## {name}", "", "```text", _help(command, f"caffepy {name}"), "```", ""]
        for part, one in command.commands.items() if isinstance(command, click.Group) else ():
            lines += [f"### {name} {part}", "", "```text", _help(one, f"caffepy {name} {part}"), "```", ""]
    return "\n".join(lines)


def _help(command: click.Command, name: str) -> str:
    """As ``NAME --help`` shows it: click takes the names of the help flag from the group."""
    context = click.Context(
        command,
        info_name=name,
        terminal_width=100,
        max_content_width=100,
        help_option_names=cli.context_settings["help_option_names"],
    )
    return command.get_help(context)


def pages() -> dict[str, str]:
    """Path below docs/ to text."""
    return {"commands.md": _commands_page(), "fields.md": field_table.page(), **layer_pages.pages()}


def write() -> None:
    """Write all pages; pages of layers that are no more go."""
    folder = Path(__file__).parent
    (folder / "layers").mkdir(exist_ok=True)
    made = pages()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")
    for page in (folder / "layers").glob("*.md"):
        if f"layers/{page.name}" not in made:
            page.unlink()


if __name__ == "__main__":
    write()
