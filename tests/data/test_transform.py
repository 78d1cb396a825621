"""transform_param: its checks and its draws."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.data.colour_noise import ColourNoise
from caffepy.data.mean import write_mean
from caffepy.data.transform import Transform
from caffepy.errors import DataError
from caffepy.proto import caffe_pb2
from caffepy.random import Stream

TRAIN, TEST = caffe_pb2.TRAIN, caffe_pb2.TEST


def make(phase=TRAIN, seed=1, name="data", **fields):
    return Transform(caffe_pb2.TransformationParameter(**fields), phase, seed, name, "net.prototxt:7")


def test_settings_are_read():
    transform = make(crop_size=5, mirror=True, scale=0.5, mean_value=[1, 2, 3], force_gray=True)
    assert (transform.crop_size, transform.mirror, transform.scale, transform.color) == (5, True, 0.5, "gray")
    assert transform.mean.tolist() == [1, 2, 3]
    assert make(force_color=True).color == "color"
    plain = make()
    assert (plain.crop_size, plain.mirror, plain.scale, plain.color, plain.mean) == (0, False, 1.0, None, None)
    assert plain.output_shape((3, 4, 5)) == (3, 4, 5)
    assert make(crop_size=2).output_shape((3, 4, 5)) == (3, 2, 2)


def test_mean_file_is_read(tmp_path):
    mean = np.random.default_rng(0).uniform(0, 255, (3, 4, 5)).astype(np.float32)
    write_mean(tmp_path / "mean.binaryproto", mean)
    assert np.array_equal(make(mean_file=str(tmp_path / "mean.binaryproto")).mean, mean)


def test_test_phase_crops_the_centre_and_draws_nothing():
    placed = make(TEST, crop_size=4).placements(np.arange(5), 9, 12)
    assert placed.h_off.tolist() == [2] * 5
    assert placed.w_off.tolist() == [4] * 5
    assert placed.mirror.tolist() == [False] * 5


def test_mirroring_has_probability_one_half_in_both_phases():
    for phase in (TRAIN, TEST):
        mirrored = make(phase, mirror=True).placements(np.arange(4000), 8, 8).mirror
        assert 0.46 < mirrored.mean() < 0.54
        assert not make(phase).placements(np.arange(400), 8, 8).mirror.any()


def test_training_crops_take_every_place_equally_often():
    placed = make(TRAIN, crop_size=4).placements(np.arange(6000), 7, 5)
    rows = np.bincount(placed.h_off, minlength=4)
    columns = np.bincount(placed.w_off, minlength=2)
    assert len(rows) == 4
    assert len(columns) == 2
    assert rows.min() > 1300
    assert columns.min() > 2800


def test_draws_depend_on_seed_layer_and_ordinal_only():
    ordinals = np.arange(100, 140)
    both = [part.tolist() for part in make(crop_size=3, mirror=True).placements(ordinals, 40, 50)]
    one = make(crop_size=3, mirror=True)
    for i, ordinal in enumerate(ordinals):
        placed = one.placements(np.array([ordinal]), 40, 50)
        assert [int(placed.h_off[0]), int(placed.w_off[0]), bool(placed.mirror[0])] == [part[i] for part in both]
        alone = one.place(one.draw(np.array([ordinal]))[0], 40, 50)
        assert [int(alone.h_off), int(alone.w_off), bool(alone.mirror)] == [part[i] for part in both]
    for other in (make(seed=2, crop_size=3, mirror=True), make(name="data2", crop_size=3, mirror=True)):
        assert [part.tolist() for part in other.placements(ordinals, 40, 50)] != both
    words = Stream(1, "data", "transform").bits(3, 100)
    assert both[0][0] == int(words[0]) * 38 >> 32
    assert both[1][0] == int(words[1]) * 48 >> 32
    assert both[2][0] == (int(words[2]) >= 2**31)


def test_placements_in_images_of_several_sizes():
    transform = make(crop_size=3)
    heights, widths = np.array([3, 10, 200]), np.array([50, 3, 7])
    placed = transform.placements(np.arange(3), heights, widths)
    assert placed.h_off[0] == 0
    assert placed.w_off[1] == 0
    assert (placed.h_off <= heights - 3).all()
    assert (placed.w_off <= widths - 3).all()


def test_without_crop_nothing_moves():
    placed = make(TRAIN).placements(np.arange(9), 7, 5)
    assert placed.h_off.tolist() == placed.w_off.tolist() == [0] * 9


def test_colour_noise_in_training_only():
    noise = ColourNoise(np.eye(3), np.array([10.0, 20.0, 30.0]))
    param = caffe_pb2.TransformationParameter()
    train = Transform(param, TRAIN, 1, "data", colour_noise=noise)
    shifts = train.shifts(np.arange(4))
    assert shifts.shape == (4, 3)
    expected = Stream(1, "data", "colour").normal(3, 2) * np.float32(0.1) * np.float32([10, 20, 30])
    np.testing.assert_allclose(shifts[2], expected, rtol=1e-6)
    assert Transform(param, TEST, 1, "data", colour_noise=noise).shifts(np.arange(4)) is None
    assert make().shifts(np.arange(4)) is None


def test_settings_that_contradict_each_other():
    with pytest.raises(DataError, match=r"net.prototxt:7: layer 'data': cannot set both force_color and force_gray"):
        make(force_color=True, force_gray=True)
    with pytest.raises(DataError, match="layer 'data': Cannot specify mean_file and mean_value at the same time"):
        make(mean_file="m.binaryproto", mean_value=[1])


def test_a_mean_file_that_is_not_there():
    with pytest.raises(
        DataError, match=r"net.prototxt:7: layer 'data': mean_file: there is no mean file 'none.binaryproto'"
    ):
        make(mean_file="none.binaryproto")


def test_crop_larger_than_the_image():
    with pytest.raises(
        DataError, match=r"record 'k' is 3 x 8 x 9, .*Check failed: datum_height >= crop_size \(8 vs. 9\)"
    ):
        make(crop_size=9).check((3, 8, 9), "record 'k'")
    with pytest.raises(DataError, match=r"Check failed: datum_width >= crop_size \(8 vs. 9\)"):
        make(crop_size=9).check((3, 9, 8), "record 'k'")
    make(crop_size=9).check((3, 9, 9), "record 'k'")


def test_channels_last_is_suspected():
    with pytest.raises(DataError, match=r"datum_width >= crop_size \(3 vs. 224\).*channels first"):
        make(crop_size=224).check((256, 256, 3), "record 'k'")


def test_mean_values_for_other_channels():
    with pytest.raises(DataError, match=r"2 mean_value for .*Specify either 1 mean_value or as many as channels: 3"):
        make(mean_value=[1, 2]).check((3, 4, 4), "record 'k'")
    make(mean_value=[1]).check((3, 4, 4), "record 'k'")
    make(mean_value=[1, 2, 3]).check((3, 4, 4), "record 'k'")


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((1, 4, 5), r"datum_channels == data_mean_.channels\(\) \(1 vs. 3\)"),
        ((3, 9, 5), r"datum_height == data_mean_.height\(\) \(9 vs. 4\)"),
        ((3, 4, 9), r"datum_width == data_mean_.width\(\) \(9 vs. 5\)"),
    ],
)
def test_mean_file_of_another_size(tmp_path, shape, said):
    write_mean(tmp_path / "m.binaryproto", np.zeros((3, 4, 5), np.float32))
    transform = make(mean_file=str(tmp_path / "m.binaryproto"))
    transform.check((3, 4, 5), "record 'k'")
    with pytest.raises(DataError, match=f"Check failed: {said}.*compute-image-mean"):
        transform.check(shape, "record 'k'")
