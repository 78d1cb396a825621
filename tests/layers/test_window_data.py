"""WindowData: which windows are drawn, what becomes of them, and window files that are none."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from PIL import Image

from caffepy.data.mean import write_mean
from caffepy.data.window_crop import place_window
from caffepy.data.window_file import read_window_file
from caffepy.errors import CaffepyError, DataError, LayerError
from caffepy.proto import caffe_pb2
from caffepy.proto.ignored import ignored_note
from caffepy.proto.read import parse_net
from caffepy.random import Stream
from tests.layers.data_nets import data_net, equal, limit_memory, passes
from tests.reference.window import window_crop

SIZES = [(30, 40), (25, 17), (33, 21)]
IMAGES = [np.random.default_rng(i).integers(0, 256, (3, *size), dtype=np.uint8) for i, size in enumerate(SIZES)]
#: image, class, overlap, box; thresholds of 0.5 and 0.3 put 5 in the foreground and 4 in the background.
WINDOWS = [
    (0, 3, 1.0, (2, 3, 20, 17)), (0, 4, 0.5, (0, 0, 39, 29)), (0, 5, 0.49, (0, 0, 9, 9)), (0, 5, 0.29, (5, 5, 9, 9)),
    (0, 0, 0.0, (30, 20, 39, 29)),
    (2, 7, 0.9, (1, 10, 20, 14)), (2, 7, 0.7, (4, 0, 8, 32)), (2, 1, 0.1, (0, 0, 20, 3)), (2, 2, 0.2, (0, 30, 2, 32)),
    (2, 8, 0.8, (10, 10, 10, 10)),
]  # fmt: skip
FOREGROUND = [w for w in WINDOWS if w[2] >= 0.5]
BACKGROUND = [w for w in WINDOWS if w[2] < 0.3]
FIELDS = "batch_size: 8 fg_fraction: 0.4 bg_threshold: 0.3"


def text_of(windows=WINDOWS, name="{}.png"):
    text = ""
    for i, (height, width) in enumerate(SIZES):
        own = [w for w in windows if w[0] == i]
        text += f"# {i}\n{name.format(i)}\n3\n{height}\n{width}\n{len(own)}\n"
        text += "".join(f"{w[1]} {w[2]} {' '.join(map(str, w[3]))}\n" for w in own)
    return text


@pytest.fixture
def folder(tmp_path):
    """Three PNGs, the second without windows, and their window file."""
    for i, image in enumerate(IMAGES):
        Image.fromarray(image[::-1].transpose(1, 2, 0)).save(tmp_path / f"{i}.png")
    (tmp_path / "windows.txt").write_text(text_of())
    return tmp_path


def net(backend, folder, fields=FIELDS, transform="crop_size: 12", more="", **settings):
    text = f"""layer {{ name: "d" type: "WindowData" top: "data" top: "label" transform_param {{ {transform} }} {more}
        window_data_param {{ source: "{folder}/windows.txt" root_folder: "{folder}/" {fields} }} }}"""
    return data_net(backend, text, **settings)


def drawn(step, count=8, foreground=3, seed=2):
    """The windows of a batch and whether each is mirrored, by the definition of the draws."""
    words = Stream(seed, "d", "window").bits_of_steps(np.arange(step * count, (step + 1) * count), 2).astype(int)
    chosen = []
    for i in range(count):
        windows = FOREGROUND if i >= count - foreground else BACKGROUND
        chosen.append((windows[words[i, 0] * len(windows) >> 32], bool(words[i, 1] >> 31)))
    return chosen


@pytest.mark.parametrize("cache", ["", "cache_images: true"])
@pytest.mark.parametrize("transform", ["crop_size: 12", "crop_size: 12 mirror: true"])
@pytest.mark.parametrize(
    "fields", ["", "context_pad: 2", 'crop_mode: "square"', 'crop_mode: "square" context_pad: 3', "context_pad: 5"]
)
def test_windows_are_warped_as_the_reference_does(backend, folder, fields, transform, cache):
    with net(backend, folder, f"{FIELDS} {fields} {cache}", transform) as made:
        assert made.blobs["data"].shape == (8, 3, 12, 12)
        data, label = passes(made, 4)
    pad = {"context_pad: 2": 2, 'crop_mode: "square" context_pad: 3': 3, "context_pad: 5": 5}.get(fields, 0)
    mirrored = 0
    for i, (window, mirror) in enumerate(entry for step in range(4) for entry in drawn(step)):
        image, number, overlap, box = window
        mirror = mirror and "mirror" in transform
        mirrored += mirror
        expected, filled = window_crop(IMAGES[image], box, 12, pad, "square" in fields, mirror)
        assert np.abs(data[i] - expected).max() <= 1, (i, window)
        assert (data[i][:, ~filled] == 0).all()
        assert label[i] == (number if overlap >= 0.5 else 0)
    assert bool(mirrored) == ("mirror" in transform)


def test_the_share_of_the_foreground(backend, folder):
    for fraction, expected in ((0.4, 3), (0, 0), (1, 8), (0.25, 2), (0.99, 7)):
        with net(backend, folder, f"batch_size: 8 fg_fraction: {fraction}") as made:
            label = passes(made, 1)[1]
        assert (label > 0).tolist() == [False] * (8 - expected) + [True] * expected


def test_every_window_is_drawn_about_as_often(backend, folder):
    with net(backend, folder, "batch_size: 1000 bg_threshold: 0.3", "crop_size: 1") as made:
        label = passes(made, 1)[1][750:]
    assert sorted(set(label)) == [3, 4, 7, 8]
    # Two of the five have label 7.
    assert 70 < (label == 7).sum() < 130
    assert 30 < (label == 3).sum() < 70


MEAN = np.random.default_rng(8).uniform(90, 130, (3, 20, 17)).astype(np.float32)


@pytest.mark.parametrize("mirror", ["", "mirror: true"])
def test_mean_and_scale(backend, folder, mirror):
    fields = f"{FIELDS} context_pad: 3"
    with net(backend, folder, fields, f"crop_size: 12 {mirror}") as made:
        plain, label = passes(made, 2)
    empty = np.zeros(plain.shape, bool)
    for i, (window, flip) in enumerate(entry for step in range(2) for entry in drawn(step)):
        empty[i] = ~window_crop(IMAGES[window[0]], window[3], 12, 3, False, flip and bool(mirror))[1]
    assert empty.any()
    write_mean(folder / "mean.binaryproto", MEAN)
    for transform, mean in (
        (f'mean_file: "{folder}/mean.binaryproto"', MEAN[:, 2:14, 2:14]),
        ("mean_value: 7", np.full((3, 1, 1), 7)),
        ("mean_value: 1 mean_value: 2 mean_value: 3", np.array([1, 2, 3])[:, None, None]),
    ):
        with net(backend, folder, f"{fields} scale: 0.25", f"crop_size: 12 {mirror} {transform}") as made:
            data, again = passes(made, 2)
        np.testing.assert_allclose(data, np.where(empty, 0, (plain - mean) * 0.25), rtol=1e-5, atol=1e-5)
        assert (again == label).all()


def test_scale_of_transform_param_has_no_effect_and_that_is_said(backend, folder, caplog):
    with net(backend, folder) as made:
        expected = passes(made, 1)
    with net(backend, folder, transform="crop_size: 12 scale: 3") as made:
        assert equal(passes(made, 1), expected)
    assert "layer 'd': WindowData takes scale from window_data_param" in caplog.text
    with net(backend, folder, f'{FIELDS} crop_mode: "squares"') as made:
        assert equal(passes(made, 1), expected)
    assert "layer 'd': crop_mode 'squares' is neither warp nor square: warp" in caplog.text


def test_replaced_fields_have_no_effect(backend, folder):
    fields = f'{FIELDS} crop_size: 3 mean_file: "none" mirror: true'
    note = ignored_note(*parse_net(f'layer {{ type: "WindowData" window_data_param {{ {fields} }} }}', "n"))
    assert all(f"WindowDataParameter.{name}" in note for name in ("mean_file", "crop_size", "mirror"))
    assert "scale" not in note
    with net(backend, folder) as made, net(backend, folder, fields) as other:
        assert equal(passes(made, 1), passes(other, 1))


def test_they_act_in_layers_of_the_old_form(backend, folder):
    text = f"""layers {{ name: "d" type: WINDOW_DATA top: "data" top: "label" window_data_param {{
        source: "{folder}/windows.txt" root_folder: "{folder}/" {FIELDS} crop_size: 12 mirror: true }} }}"""
    with data_net(backend, text) as made, net(backend, folder, transform="crop_size: 12 mirror: true") as other:
        assert equal(passes(made, 2), passes(other, 2))


TRAINING = {"fields": f"{FIELDS} context_pad: 2", "transform": "crop_size: 9 mirror: true", "phase": caffe_pb2.TRAIN}


def test_threads_and_where_a_run_begins_change_nothing(backend, folder):
    with net(backend, folder, threads=1, **TRAINING) as made:
        expected = passes(made, 6)
    for threads in (2, 4):
        with net(backend, folder, threads=threads, **TRAINING) as made:
            assert equal(passes(made, 6), expected)
            for step in (4, 1, 5):
                assert equal(passes(made, 6 - step, start=step), [values[8 * step :] for values in expected])
    with net(backend, folder, seed=3, **TRAINING) as made:
        assert not equal(passes(made, 6), expected)


def test_images_that_cannot_be_read(backend, folder):
    with net(backend, folder) as made:
        expected = passes(made, 6)[0].reshape(6, 8, -1)
    (folder / "2.png").unlink()
    said = r"n.prototxt:1: layer 'd' \(WindowData\): Could not open or find file .*/2.png: No such file.*--max-bad-rec"
    with net(backend, folder) as made, pytest.raises(DataError, match=said):
        passes(made, 6)
    with pytest.raises(DataError, match=r"layer 'd' .*Could not open or find file .*2.png"):
        net(backend, folder, f"{FIELDS} cache_images: true")
    results = []
    for threads in (1, 3):
        with net(backend, folder, threads=threads, max_bad_records=1) as made:
            results.append(passes(made, 6))
            assert made.layers[0].bad_records == 1
    assert equal(*results)
    data, label = results[0][0].reshape(6, 8, -1), results[0][1].reshape(6, 8)
    assert not np.isin(label, [7, 8]).any()
    # What was drawn from the other image is as it was.
    for step in range(6):
        for i, (window, _) in enumerate(drawn(step)):
            assert (data[step, i] == expected[step, i]).all() == (window[0] == 0)


def test_when_no_image_is_left(backend, folder):
    (folder / "0.png").unlink()
    (folder / "2.png").write_bytes(b"GIF89a")
    with net(backend, folder, max_bad_records=5) as made, pytest.raises(DataError, match="more than the 5 allowed"):
        made.forward()


@pytest.mark.parametrize(
    ("box", "match"),
    [
        (
            (5, 5, 40, 9),
            r"image '.*0.png' of '.*windows.txt': the window \(5, 5, 40, 9\) is not inside its image of 40 x 30",
        ),
        ((-1, 5, 9, 9), "is not inside its image"),
        ((5, -1, 9, 9), "is not inside its image"),
        ((5, 5, 9, 30), "is not inside its image"),
        ((9, 5, 8, 9), r"the window \(9, 5, 8, 9\) is empty: expected x1 <= x2"),
        ((5, 9, 9, 8), "is empty: expected"),
        ((-2147483647, -5, 2147483647, 9), "is not inside its image"),
    ],
)
def test_windows_that_are_not_in_their_image(backend, folder, box, match):
    (folder / "windows.txt").write_text(text_of([(0, 3, 1.0, box)]))
    with net(backend, folder, "batch_size: 2 fg_fraction: 1") as made, pytest.raises(DataError, match=match):
        made.forward()


@pytest.mark.parametrize(
    ("box", "match"),
    [
        ((50, 50, 60, 60), r"window \(50, 50, 60, 60\) is not inside"),
        ((-60, 0, -50, 9), "is not inside"),
        ((-2147483647, 0, 2147483647, 9), "nothing is left in a crop of 12"),
        ((9, 5, 8, 9), "is empty"),
    ],
)
def test_the_same_with_surroundings(box, match):
    with pytest.raises(DataError, match=match):
        place_window(box, 30, 40, 12, 2, False, False)


def test_surroundings_may_be_outside(backend, folder):
    (folder / "windows.txt").write_text(text_of([(0, 3, 1.0, (-5, 3, 20, 37))]))
    with net(backend, folder, "batch_size: 2 fg_fraction: 1 context_pad: 1") as made:
        data = passes(made, 1)[0]
    expected, filled = window_crop(IMAGES[0], (-5, 3, 20, 37), 12, 1)
    assert not filled.all()
    assert np.abs(data - expected).max() <= 1


@pytest.mark.parametrize(
    ("fields", "transform", "match"),
    [
        (
            FIELDS,
            "",
            r"n.prototxt:1: layer 'd' \(WindowData\): crop_size must be positive \(Check failed: crop_size > 0\)",
        ),
        ("batch_size: 0", "crop_size: 12", "layer 'd' .*batch_size must be positive"),
        ("batch_size: 9 fg_fraction: 1.5", "crop_size: 12", "fg_fraction must be between 0 and 1, got 1.5"),
        ("batch_size: 9 fg_fraction: nan", "crop_size: 12", "fg_fraction must be between 0 and 1, got nan"),
        (
            "batch_size: 9 context_pad: 6",
            "crop_size: 12",
            "context_pad 6 on both sides leaves nothing of a crop_size of 12",
        ),
        ("batch_size: 9 fg_threshold: 2", "crop_size: 12", "has no windows of the foreground .*, and batches need 2"),
        ("batch_size: 9 bg_threshold: 0", "crop_size: 12", "has no windows of the background .*, and batches need 7"),
        (
            FIELDS,
            "crop_size: 12 mean_value: 1 mean_value: 2",
            "Specify either 1 mean_value or as many as channels: 3; got 2",
        ),
        (
            FIELDS,
            'crop_size: 18 mean_file: "M"',
            "the mean image is 3 x 20 x 17: it must have 3 channels and be as large",
        ),
        (FIELDS, 'crop_size: 12 mean_file: "wide"', "the mean image is 3 x 12 x 15: it must"),
        (FIELDS, 'crop_size: 12 mean_file: "gray"', "the mean image is 1 x 20 x 20: it must have 3 channels"),
        (
            FIELDS,
            'crop_size: 12 mean_file: "M" mean_value: 1',
            "Cannot specify mean_file and mean_value at the same time",
        ),
        ("batch_size: 4000000000", "crop_size: 12", "blob size exceeds INT_MAX"),
        ("batch_size: 2000", "crop_size: 500", "batches made ahead needs .* out of memory"),
    ],
)
def test_refusals(backend, folder, fields, transform, match, monkeypatch):
    monkeypatch.chdir(folder)
    limit_memory(monkeypatch, backend, 1 << 30)
    for name, mean in (("M", MEAN), ("wide", MEAN[:, :12, :15]), ("gray", np.ones((1, 20, 20), np.float32))):
        write_mean(name, np.ascontiguousarray(mean))
    before = threading.active_count()
    with pytest.raises(CaffepyError, match=match):
        net(backend, folder, fields, transform)
    assert threading.active_count() == before


def test_a_cache_counts_as_memory(backend, folder, monkeypatch):
    size = sum((folder / f"{i}.png").stat().st_size for i in range(3))
    limit_memory(monkeypatch, backend, size - 1)
    with pytest.raises(CaffepyError, match=f"layer 'd' .*image files in memory needs {size:,} bytes"):
        net(backend, folder, f"{FIELDS} cache_images: true")


HEAD = "# 0\n0.png\n3\n30\n40\n"


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (None, r"layer 'd' \(WindowData\): Failed to open window file '.*windows.txt': No such file"),
        ("", "windows.txt': Window file is empty"),
        (" \n\n", "Window file is empty"),
        ("# 1\n", r"windows.txt:1: expected '# 0', got '# 1' \(Check failed: hashtag == \"#\"\): images are numbered"),
        ("#0 x 3 4", "windows.txt:1: expected '# 0', got '#0 x'"),
        ("#", "the file ends where it should have '# image_index'"),
        ("# 0", "the file ends where it should have the path of an image"),
        ("# 0\na b.png\n3\n4\n5\n0\n", "windows.txt:2: expected channels of image 0, a number, got 'b.png'"),
        ("# 0\n0.png\n1\n30\n40\n0\n", "channels of image 0 is 1; images are read in colour: write 3"),
        ("# 0\n0.png\n3\n30\n40\n-1\n", "windows.txt:6: expected num_windows of image 0, a number, got '-1'"),
        ("# 0\n0.png\n3\n30\n40\n1e9\n", "expected num_windows of image 0, a number, got '1e9'"),
        ("# 0\n0.png\n3\n30\n40\n99999999999\n", "expected num_windows of image 0, a number, got '99999999999'"),
        ("# 0\n0.png\n3\n30\n40\n٣\n", "expected num_windows of image 0"),
        (HEAD + "999999999\n1 1 0 0 3 3\n", "the file ends where it should have 999999999 windows of image 0"),
        (HEAD + "2\n1 1 0 0 3 3\n# 1\n", "the file ends where it should have 2 windows of image 0"),
        (HEAD + "1\n1 1 0 0 3 3\n7 1 0 0 3 3\n", "windows.txt:8: expected '# 1', got '7 1'"),
        (HEAD + "1\n1 x 0 0 3 3\n", "windows.txt:7: a window of image 0 holds something else than numbers: .*x"),
        (
            HEAD + "2\n1 1 0 0 3 3\n1 1 0 0 3 3.5\n",
            "windows.txt:7: window 1 of image 0 is '1 1 0 0 3 3.5': expected 'class",
        ),
        (HEAD + "1\n1 nan 0 0 3 3\n", "window 0 of image 0 is '1 nan 0 0 3 3': expected"),
        (HEAD + "1\n1 inf 0 0 3 3\n", "window 0 of image 0 is '1 inf 0 0 3 3': expected"),
        (HEAD + "1\n1 1 nan 0 3 3\n", "window 0 of image 0 is '1 1 nan 0 3 3': expected"),
        (HEAD + "1\n1 1 0 0 3 1e300\n", "window 0 of image 0 is '1 1 0 0 3 1e300': expected"),
        (HEAD + "1\n1 1 0 0 3 2147483648\n", "window 0 of image 0 is"),
        (HEAD + "1\n0 0.5 0 0 3 3\n", r"window 0 of image 0 is '0 0.5 0 0 3 3': .*Check failed: label > 0"),
        ("x" * (1 << 21), "windows.txt:1: a line of more than 1,048,576 characters: not a window file"),
        (b"\x89PNG\r\n\x1a\n\x00\xff\xfe", r"windows.txt:2: expected '# 0', got '.udc89PNG"),
    ],
)
def test_hostile_window_files(backend, folder, content, match):
    (folder / "windows.txt").unlink()
    if content is not None:
        (folder / "windows.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=match):
        net(backend, folder)


def test_a_path_with_a_zero_byte(backend, folder):
    text = r"""layer { type: "WindowData" top: "a" top: "b" transform_param { crop_size: 3 }
        window_data_param { source: "a\000b" batch_size: 1 } }"""
    with pytest.raises(DataError, match="Failed to open window file 'a\0b': embedded null"):
        data_net(backend, text)


def test_thresholds_are_those_of_single_precision(tmp_path):
    # 0.3 as a float is above 0.3 as a double.
    (tmp_path / "w.txt").write_text(HEAD + "3\n2 0.3 0 0 1 1\n3 0.29999998 0 0 1 1\n-4 0 0 0 2 2\n")
    file = read_window_file(str(tmp_path / "w.txt"), np.float32(0.3), np.float32(0.3))
    assert file.foreground.label.tolist() == [2]
    assert file.background.label.tolist() == [0, 0]
    assert file.background.box.tolist() == [[0, 0, 1, 1], [0, 0, 2, 2]]


def test_words_may_stand_on_any_line(backend, folder):
    with net(backend, folder) as made:
        expected = passes(made, 2)
    (folder / "windows.txt").write_text("\r\n".join(text_of().split()).replace("3\r\n30\r\n40", "3 30\t40"))
    with net(backend, folder) as made:
        assert equal(passes(made, 2), expected)


def test_an_image_after_the_other_on_one_line(tmp_path):
    """Their number once took time with its square: forty thousand of them two minutes."""
    images = (f"# {i} {i}.jpg 3 1 1 {i % 2} {'2 1 0 0 1 1' * (i % 2)}" for i in range(30_000))
    (tmp_path / "w.txt").write_text(" ".join(images))
    began = time.perf_counter()
    file = read_window_file(str(tmp_path / "w.txt"))
    assert time.perf_counter() - began < 20
    assert file.images == [f"{i}.jpg" for i in range(30_000)]
    assert file.foreground.image.tolist() == list(range(1, 30_000, 2))


def test_closing(backend, folder):
    before = threading.active_count()
    made = net(backend, folder, threads=2, more="data_param { prefetch: 2 }")
    assert made.layers[0].reader.depth == 2
    made.forward()
    assert made.layers[0].wait_seconds > 0
    assert threading.active_count() == before + 2
    made.close()
    made.close()
    assert threading.active_count() == before
    with pytest.raises(LayerError, match=r"layer 'd' .WindowData.: the layer is closed"):
        made.forward()
