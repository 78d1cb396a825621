"""``caffepy convert-imageset``: images and labels into a database."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from caffepy.cli.command import CaffeCommand
from caffepy.cli.options import database_option, resize_options, threads_option

if TYPE_CHECKING:
    from caffepy.data.convert import ConversionReport

__all__ = ["command"]

_log = logging.getLogger("caffepy")


@click.command("convert-imageset", cls=CaffeCommand)
@click.argument("rootfolder")
@click.argument("paths", nargs=-1, metavar="LISTFILE DB_NAME")
@click.option("--gray/--no-gray", default=False, help="One channel of brightness instead of colours.")
@click.option("--shuffle/--no-shuffle", default=False, help="In random order, which training needs.")
@database_option
@resize_options
@click.option("--check-size/--no-check-size", default=False, help="Refuse an image of another size than the first.")
@click.option("--encoded/--no-encoded", default=False, help="Store compressed images: smaller, and read as fast.")
@click.option("--encode-type", default="", metavar="jpg|png", help="Compress as this; implies --encoded.")
@click.option(
    "--class-folders/--no-class-folders", default=False, help="No LISTFILE: ROOTFOLDER has a folder per class."
)
@click.option("--skip-bad/--no-skip-bad", default=False, help="Leave out images that are missing or damaged.")
@click.option("--dry-run/--no-dry-run", default=False, help="Only count what is there; write nothing.")
@threads_option
def command(rootfolder: str, paths: tuple[str, ...], **flags: Any) -> int:
    """Make the database DB_NAME of the images that LISTFILE names, one "file label" a line, below ROOTFOLDER.

    A missing or damaged image is an error unless --skip-bad is given.
    """
    wanted = 1 if flags["class_folders"] else 2
    if flags["dry_run"] and len(paths) == wanted - 1:
        paths = (*paths, "")
    if len(paths) != wanted:
        names = "ROOTFOLDER DB_NAME" if wanted == 1 else "ROOTFOLDER LISTFILE DB_NAME"
        raise click.UsageError(f"Expected {names}; got {len(paths) + 1} of them.")
    from caffepy.cli.output import counting, logged
    from caffepy.data.convert import ConversionSettings, convert_images, plan_conversion
    from caffepy.data.image_list import class_folders, read_list
    from caffepy.host import cores

    with logged() as err:
        if flags["class_folders"]:
            entries, classes = class_folders(rootfolder)
            for label, name in enumerate(classes):
                _log.info("Label %d: %s", label, name)
        else:
            entries = read_list(paths[0])
        _log.info("A total of %d images.", len(entries))
        if flags["dry_run"]:
            report = plan_conversion(entries, rootfolder)
            _tell(report, "found")
            return 1 if report.missing else 0
        settings = ConversionSettings(
            **{name: flags[name] for name in ConversionSettings.__dataclass_fields__ if name in flags}
        )
        Path(paths[-1]).absolute().parent.mkdir(parents=True, exist_ok=True)
        with counting(err, "files") as progress:
            report = convert_images(
                entries,
                rootfolder,
                paths[-1],
                settings,
                backend=flags["backend"].upper(),
                threads=flags["threads"] or cores(),
                progress=progress,
            )
        _tell(report, f"written to {paths[-1]}")
        return 0


def _tell(report: ConversionReport, done: str) -> None:
    for entry in report.missing[:20]:
        _log.warning("Could not open or find file %s", entry.name)
    for entry, reason in report.undecodable[:20]:
        _log.warning("%s cannot be decoded: %s", entry.name, reason)
    if report.turned:
        _log.warning(
            "%d images are to be turned by their EXIF orientation, the first %s. Their pixels are taken as they lie, "
            "as by Caffe with OpenCV 2.4; OpenCV 3.1 and later turn them. To turn the files before: "
            "mogrify -auto-orient FILES (ImageMagick), or exiftran -ai FILES (JPEG, without loss).",
            len(report.turned), report.turned[0].name,
        )  # fmt: skip
    labels = report.labels
    if labels:
        _log.info(
            "%d labels from %d to %d, %d to %d images each.",
            len(labels), min(labels), max(labels), min(labels.values()), max(labels.values()),
        )  # fmt: skip
    _log.info(
        "%d of %d images %s; %d missing, %d damaged.",
        report.records, report.listed, done, len(report.missing), len(report.undecodable),
    )  # fmt: skip
