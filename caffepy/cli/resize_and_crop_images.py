"""``caffepy resize-and-crop-images``: a folder of images, made square."""

from __future__ import annotations

import logging
import os
from typing import Any

import click

from caffepy.cli.command import CaffeCommand

__all__ = ["command"]

_log = logging.getLogger("caffepy")


@click.command("resize-and-crop-images", cls=CaffeCommand)
@click.argument("folders", nargs=-1, metavar="INPUT_FOLDER OUTPUT_FOLDER")
@click.option("--input-folder", metavar="FOLDER", help="The same as INPUT_FOLDER.")
@click.option("--output-folder", metavar="FOLDER", help="The same as OUTPUT_FOLDER.")
@click.option("--list", "--input", "list_file", metavar="FILE", help="Only the images that its lines name.")
@click.option(
    "--output-side-length", "side", type=click.IntRange(1), default=256, show_default=True, metavar="N",
    help="Pixels of the squares' sides.",
)  # fmt: skip
@click.option("--gray/--no-gray", default=False, help="One channel of brightness instead of colours.")
@click.option("--quality", type=click.IntRange(1, 95), default=95, show_default=True, help="Of JPEGs.")
@click.option("--skip-existing/--no-skip-existing", default=False, help="Go on: leave alone what is there.")
@click.option("--skip-bad/--no-skip-bad", default=False, help="Damaged or missing images are no failure.")
@click.option("--dry-run/--no-dry-run", default=False, help="Only count what is there; write nothing.")
@click.option("--processes", "--num-clients", type=click.IntRange(1), help="All cores unless given.")
@click.option("--image-lib", metavar="opencv|pil", help="Accepted as in Caffe, to no effect.")
def command(folders: tuple[str, ...], input_folder: str | None, output_folder: str | None, **flags: Any) -> int:
    """Resize all images below INPUT_FOLDER so that their shorter side has N pixels, and cut out the centre.

    The squares go to OUTPUT_FOLDER, under the same names. The other names of options are those of Caffe's
    tools/extra/resize_and_crop_images.py.

    An image that cannot be read does not keep others from being made; the exit code is 1 then, unless --skip-bad is
    given.
    """
    from caffepy.cli.output import counting, logged
    from caffepy.data.image_names import images_below, listed_names
    from caffepy.data.resize_and_crop import SquareSettings, plan_squares, resize_and_crop
    from caffepy.host import cores

    given = [*folders, *(folder for folder in (input_folder, output_folder) if folder)]
    if len(given) != 2 or (input_folder and folders and not output_folder):
        raise click.UsageError(f"Expected INPUT_FOLDER OUTPUT_FOLDER; got {len(given)} of them.")
    source, target = given
    with logged() as err:
        if flags["list_file"]:
            names = listed_names(flags["list_file"], source)
        else:
            names = [os.path.relpath(file, source) for file in images_below(source)]
        plan = plan_squares(names, source, target)
        _log.info("A total of %d images.", len(plan))
        if flags["dry_run"]:
            missing = [one.source for one in plan if not os.path.isfile(one.source)]
            there = sum(os.path.exists(one.target) for one in plan)
            _warn([(file, f"Could not open or find file {file}") for file in missing])
            _log.info(
                "%d to write, %d of them there already; %d missing.", len(plan) - len(missing), there, len(missing)
            )
            return 1 if missing and not flags["skip_bad"] else 0
        settings = SquareSettings(flags["side"], flags["gray"], flags["quality"], flags["skip_existing"])
        with counting(err, "files") as progress:
            report = resize_and_crop(plan, settings, processes=flags["processes"] or cores(), progress=progress)
        _warn(report.bad)
        if report.enlarged:
            _log.warning("%d images were smaller than %d and have been enlarged.", report.enlarged, flags["side"])
        _log.info(
            "%d of %d images written to %s; %d were there, %d missing or damaged.",
            report.written, len(plan), target, report.skipped, len(report.bad),
        )  # fmt: skip
        return 1 if report.bad and not flags["skip_bad"] else 0


def _warn(bad: list[tuple[str, str]]) -> None:
    for _, reason in bad[:20]:
        _log.warning("%s", reason)
    if len(bad) > 20:
        _log.warning("... and %d more.", len(bad) - 20)
