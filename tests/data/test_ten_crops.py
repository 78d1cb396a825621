"""The ten crops of an image."""

from __future__ import annotations

import pytest

from caffepy.data.ten_crops import ten_crops
from caffepy.errors import DataError


def test_corners_and_centre_then_mirrored():
    places = [(0, 0), (0, 5), (4, 0), (4, 5), (2, 2)]
    assert ten_crops(10, 12, 6, 7) == [(*place, False) for place in places] + [(*place, True) for place in places]


def test_a_crop_of_the_whole_image_is_ten_times_the_same_place():
    assert {place[:2] for place in ten_crops(6, 7, 6, 7)} == {(0, 0)}


@pytest.mark.parametrize("size", [(7, 7), (6, 8), (0, 1)])
def test_crops_must_be_in_the_image(size):
    with pytest.raises(DataError, match=f"cannot crop {size[0]} x {size[1]} out of images of 6 x 7"):
        ten_crops(6, 7, *size)
