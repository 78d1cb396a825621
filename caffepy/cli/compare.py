"""``caffepy compare``: two nets, files of weights, or dumps of arrays, blob by blob."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from caffepy.cli.command import CaffeCommand
from caffepy.cli.options import (
    comma_list,
    copy_weights,
    open_backend,
    parse_shapes,
    phase_option,
    python_layers_option,
    shape_option,
    state_options,
    weights_options,
)

if TYPE_CHECKING:
    from caffepy.net import Net
    from caffepy.net.compare import Comparison, Difference

__all__ = ["command"]


@click.command("compare", cls=CaffeCommand)
@click.argument("words", metavar="A B | NET WEIGHTS B | NET WEIGHTS NET WEIGHTS", nargs=-1)
@click.option("--tolerance", type=click.FloatRange(0), default=1e-4, show_default=True, help="Relative, of a blob.")
@click.option("--absolute", type=click.FloatRange(0), default=1e-6, show_default=True, help="Added to it.")
@click.option("--input", "given", metavar="FILE", help="What inputs hold, by name: .npz or .h5. [default: random]")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of random inputs.")
@phase_option("TEST")
@shape_option
@click.option("--strict/--no-strict", default=False, help="A blob that one side alone has is a difference.")
@click.option("--gpu", default="", metavar="N", help="Run the second net, or the only one, on this GPU.")
@python_layers_option
@weights_options
@state_options
def command(words: tuple[str, ...], **flags: Any) -> None:
    """Compare two sides blob by blob, and say which blob is the first that differs.

    A and B are files of weights (.caffemodel, .h5) or of arrays by name (.npz, .h5). NET WEIGHTS B runs the net with
    its weights and with B's, or holds its blobs against the arrays in B, an .npz or .h5 file of another program; inputs
    that the file has are fed. With four words two nets run on the same data: that of a data layer, or random numbers.
    NET WEIGHTS WEIGHTS --gpu 0 compares the GPU with the CPU.

    The exit code is 1 if a blob differs by more than --absolute plus --tolerance times its largest value.
    """
    if not 2 <= len(words) <= 4:
        raise click.UsageError("expected two files, or NET WEIGHTS B, or NET WEIGHTS NET WEIGHTS.")
    from caffepy.cli.output import console, make_table

    with ExitStack() as stack:
        result = _compare(words, flags, stack)
    out = console()
    rows = [_row(one) for one in result.differences]
    out.print(make_table(["blob", "shape", "largest difference", "relative", "cosine", ""], rows, left=2))
    for names, side in ((result.first_only, "first"), (result.second_only, "second")):
        if names:
            more = f" and {len(names) - 20} more" if len(names) > 20 else ""
            out.print(f"\nonly in the {side}: {', '.join(names[:20])}{more}", soft_wrap=True)
    first = result.first_beyond
    beyond = sum(one.beyond for one in result.differences)
    limit = f"{flags['absolute']:g} + {flags['tolerance']:g} x its largest value"
    if first is None:
        out.print(f"\n{len(rows)} blobs agree within {limit}")
    else:
        out.print(f"\nfirst beyond {limit}: {first.name} ({_why(first)}); {beyond} of {len(rows)} blobs are")
    if first is not None or (flags["strict"] and (result.first_only or result.second_only)):
        click.get_current_context().exit(1)


def _compare(words: tuple[str, ...], flags: dict[str, Any], stack: ExitStack) -> Comparison:
    from caffepy.net.compare import compare, feed_same, net_arrays
    from caffepy.net.stored_arrays import open_arrays
    from caffepy.proto.file_kind import is_hdf5, is_zip

    tolerances = {"relative": flags["tolerance"], "absolute": flags["absolute"]}
    if len(words) == 2:
        first, second = (stack.enter_context(open_arrays(word)) for word in words)
        return compare(first, second, **tolerances)
    given = stack.enter_context(open_arrays(flags["given"])) if flags["given"] else None
    alone = len(words) == 3 and (is_zip(words[2]) or (is_hdf5(words[2]) and _no_weights(words[2])))
    one = _net(words[0], words[1], flags["gpu"] if alone else "", flags, stack)
    if alone:
        dump = stack.enter_context(open_arrays(words[2]))
        feed_same(one, None, given or dump, flags["seed"])
        return compare(net_arrays(one), dump, **tolerances)
    other = _net(words[-2] if len(words) == 4 else words[0], words[-1], flags["gpu"], flags, stack)
    feed_same(one, other, given, flags["seed"])
    return compare(net_arrays(one), net_arrays(other), **tolerances)


def _no_weights(path: str) -> bool:
    from caffepy.net.stored_arrays import open_arrays

    with open_arrays(path) as arrays:
        return not all(name.endswith("]") for name in arrays)


def _net(path: str, weights: str, gpu: str, flags: dict[str, Any], stack: ExitStack) -> Net:
    from caffepy.net import Net
    from caffepy.net.summary import net_without_data
    from caffepy.proto import caffe_pb2
    from caffepy.proto.read import read_net

    number = caffe_pb2.Phase.Value(flags["phase"].upper())
    level, stages = flags["level"], comma_list(flags["stage"])
    given = parse_shapes(flags["shapes"])
    param, lines = read_net(path)
    param = net_without_data(param, lines, number, given, level, stages)
    net = Net(
        (param, lines), number, open_backend(gpu, None), level=level, stages=stages,
        allow_python_layers=flags["allow_python_layers"],
    )  # fmt: skip
    stack.callback(net.close)
    report = copy_weights(net, weights, flags)
    click.echo(str(report), err=True)
    return net


def _row(one: Difference) -> list[str]:
    shape = _times(one.shapes[0])
    if one.sizes_differ:
        return [one.name, f"{shape} and {_times(one.shapes[1])}", "", "", "", "shapes differ"]
    cosine = "" if math.isnan(one.cosine) else f"{one.cosine:.7f}"
    mark = "beyond" if one.beyond else "equal" if one.largest == 0 else ""
    return [one.name, shape, f"{one.largest:.3g}", f"{one.relative:.3g}", cosine, mark]


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "1"


def _why(one: Difference) -> str:
    if one.sizes_differ:
        return f"shapes {_times(one.shapes[0])} and {_times(one.shapes[1])}"
    return f"{one.largest:.3g}, relative {one.relative:.3g}"
