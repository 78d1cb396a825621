"""The kind of click command that all of caffepy's are: it reads its flags as Caffe's tools do."""

from __future__ import annotations

import click

from caffepy.cli.argv import normalise

__all__ = ["ARGUMENTS", "CaffeCommand"]

#: Where in a context's ``meta`` the words after the command are, as they were typed.
ARGUMENTS = "caffepy.arguments"


class CaffeCommand(click.Command):
    """A command whose flags may have one dash or two, hyphens or underscores; see `caffepy.cli.argv`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[ARGUMENTS] = list(args)
        flags = {"help": True}
        for param in self.params:
            if isinstance(param, click.Option):
                flags.update({name.lstrip("-"): param.is_flag for name in param.opts})
        args = ["--help" if word in ("-h", "-help") else word for word in args]
        try:
            words = normalise(args, flags)
        except ValueError as error:
            raise click.UsageError(str(error), ctx) from None
        return super().parse_args(ctx, words)
