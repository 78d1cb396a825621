"""The kind of click command that all of caffepy's are: it reads its flags as Caffe's tools do."""

from __future__ import annotations

import click

from caffepy.cli.argv import normalise

__all__ = ["ARGUMENTS", "MINLOGLEVEL", "CaffeCommand"]

#: Where in a context's ``meta`` the words after the command are, as they were typed.
ARGUMENTS = "caffepy.arguments"

#: Where in it -minloglevel is, if given.
MINLOGLEVEL = "caffepy.minloglevel"

# glog's flags, which all of Caffe's tools take beside their own; True for those that are on or off.
_GLOG = {
    "logtostderr": True,
    "alsologtostderr": True,
    "colorlogtostderr": True,
    "log-dir": False,
    "stderrthreshold": False,
    "minloglevel": False,
    "v": False,
}


class CaffeCommand(click.Command):
    """A command whose flags may have one dash or two, hyphens or underscores; see `caffepy.cli.argv`.

    glog's flags are taken too: -minloglevel says how much is written to stderr, and the others, which say where else
    a log goes, have no effect.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[ARGUMENTS] = list(args)
        flags = {"help": True, **_GLOG}
        for param in self.params:
            if isinstance(param, click.Option):
                flags.update({name.lstrip("-"): param.is_flag for name in param.opts})
        args = ["--help" if word in ("-h", "-help") else word for word in args]
        try:
            words = normalise(args, flags)
        except ValueError as error:
            raise click.UsageError(str(error), ctx) from None
        return super().parse_args(ctx, _without_glog(ctx, words))


def _without_glog(ctx: click.Context, words: list[str]) -> list[str]:
    """``words`` without glog's flags; what -minloglevel says goes into the context."""
    end = words.index("--") if "--" in words else len(words)
    kept = []
    for word in words[:end]:
        name, _, value = word.removeprefix("--").removeprefix("no-").partition("=")
        if not word.startswith("--") or name not in _GLOG:
            kept.append(word)
        elif name == "minloglevel":
            if value not in ("0", "1", "2", "3"):
                raise click.UsageError(f"--minloglevel takes 0 to 3; got '{value}'.", ctx)
            ctx.meta[MINLOGLEVEL] = int(value)
    return kept + words[end:]
