"""The ten crops that AlexNet's authors average over: the four corners and the centre, then the same five mirrored."""

from __future__ import annotations

from caffepy.errors import DataError

__all__ = ["ten_crops"]


def ten_crops(height: int, width: int, crop_height: int, crop_width: int) -> list[tuple[int, int, bool]]:
    """Row and column where each crop of an image begins, and whether it is mirrored.

    In pycaffe's order: top left, top right, bottom left, bottom right, centre; then those mirrored (Krizhevsky,
    Sutskever, Hinton 2012, section 4.1).

    Raises:
        DataError: a crop that is larger than the image, or empty.
    """
    if not (0 < crop_height <= height and 0 < crop_width <= width):
        raise DataError(f"cannot crop {crop_height} x {crop_width} out of images of {height} x {width}.")
    below, right = height - crop_height, width - crop_width
    places = [(0, 0), (0, right), (below, 0), (below, right), (below // 2, right // 2)]
    return [(row, column, mirror) for mirror in (False, True) for row, column in places]
