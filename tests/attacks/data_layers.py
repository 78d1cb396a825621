"""Hostile files behind data layers: lists, window files, HDF5 data, images, databases and means that do not fit.

A net of the one layer is built and run, for some things show in a batch only; its settings are hostile now and then.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.attacks.bases import base, databases_file, datum, picture
from tests.attacks.binary_files import blob
from tests.attacks.generate import Attack, Dice, damage, family
from tests.attacks.hdf5_files import things
from tests.attacks.small_files import LINES

__all__ = ["hdf5", "net_of"]

windows = family("WindowData", "net")
rows = family("HDF5Data", "net")
images = family("ImageData", "net")
records = family("Data", "net")

_SIZES = [0, 1, 3, 1000, 65536, 2**31 - 1, 2**32 - 1]
# Files that have no end, or are none.
_PATHS = ["/dev/zero", "/", ".", "", "nowhere", "net.prototxt", "../x", "x" * 5000, "a\\000b", "/proc/self/mem"]


def _layer(kind: str, tops: str, *blocks: str) -> bytes:
    text = f'name: "n"\nlayer {{ name: "data" type: "{kind}" {tops}\n  ' + "\n  ".join(blocks) + "\n}\n"
    return text.encode()


def net_of(kind: str, settings: str = "") -> bytes:
    """A net of one data layer with sound settings."""
    param, source = {
        "WindowData": ("window_data_param", "windows.txt"),
        "HDF5Data": ("hdf5_data_param", "list.txt"),
        "ImageData": ("image_data_param", "list.txt"),
    }[kind]
    tops = 'top: "data" top: "label"'
    transform = "" if kind == "HDF5Data" else "transform_param { crop_size: 3 }"
    return _layer(kind, tops, f'{param} {{ source: "{source}" batch_size: 2 {settings} }}', transform)


def _transform(dice: Dice, files: dict[str, bytes], crop: int = 0) -> str:
    """A transform_param, hostile one time in five, and the mean it names put into ``files``."""
    good = f"crop_size: {crop} mirror: true" if crop else ""
    if dice.chance(0.8):
        return f"transform_param {{ {good} }}"
    kind = dice.below(4)
    if kind == 0:
        return f"transform_param {{ crop_size: {dice.pick(_SIZES)} }}"
    if kind == 1:
        return f"transform_param {{ {good} " + "mean_value: 1e38 " * dice.pick([1, 2, 3, 1000]) + "}"
    if kind == 2:
        return f'transform_param {{ {good} mean_file: "{dice.pick(_PATHS)}" }}'
    shape = dice.pick([[1, 3, 24, 20], [3, 24, 20], [1, 3, 1, 1], [1, 1, 24, 20], [3], [1, 3, 2**16, 2**16]])
    files["mean.binaryproto"] = blob(shape, bytes(4 * min(int(np.prod(shape)), 2000)))
    return f'transform_param {{ {good} mean_file: "mean.binaryproto" }}'


_GOOD_WINDOWS = """# 0
a.jpg
3
24
20
3
1 0.9 2 3 12 14
0 0.2 0 0 5 5
0 0.0 3 3 19 23
# 1
b c.png
3
24
20
1
7 1.0 0 0 19 23
""".replace("b c.png", "b.png")
_TOKENS = [
    "#", "0", "1", "2", "-1", "nan", "inf", "1e999", "1e300", "2147483647", "2147483648", "999999999", "9" * 400,
    "1.5", "0x10", "x", "\x00", "\u0661", "a.jpg", "/etc/passwd", "/dev/zero", "x" * 300, "# 0", "\n", "0 " * 600,
]  # fmt: skip


def _pictures() -> dict[str, bytes]:
    return {"a.jpg": picture("JPEG"), "b.png": picture("PNG")}


def _window_net(dice: Dice, files: dict[str, bytes], source: str = "windows.txt") -> None:
    settings = "batch_size: 4 fg_fraction: 0.5"
    if dice.chance(0.2):
        settings = dice.pick(
            [
                f"batch_size: {dice.pick(_SIZES)}",
                f"batch_size: 2 context_pad: {dice.pick([1, 4, 5, 2**31])}",
                f"batch_size: 4 fg_fraction: {dice.pick(['nan', '-1', '2', '1', '0'])}",
                f"batch_size: 4 fg_threshold: {dice.pick(['nan', '-inf', '2'])} bg_threshold: 3",
                'batch_size: 4 crop_mode: "square" context_pad: 2',
                "batch_size: 4 cache_images: true",
                f'batch_size: 4 root_folder: "{dice.pick(_PATHS)}"',
                "batch_size: 4 scale: nan",
            ]
        )
    param = f'window_data_param {{ source: "{source}" {settings} }}'
    transform = _transform(dice, files, 9)
    files["net.prototxt"] = _layer("WindowData", 'top: "x" top: "y"', param, transform)


@windows
def words_of_windows(dice: Dice) -> Attack:
    words = _GOOD_WINDOWS.split(" ")
    words = [part for word in words for part in word.replace("\n", " \n ").split(" ") if part]
    notes = []
    for _ in range(dice.pick([1, 1, 2, 5])):
        i = dice.below(len(words))
        new = dice.pick([dice.pick(_TOKENS), dice.pick(words), ""])
        notes.append(f"{words[i]!r} -> {new[:20]!r}")
        words[i] = new
    files = {"windows.txt": " ".join(words).encode(), **_pictures()}
    _window_net(dice, files)
    return Attack("; ".join(notes), files)


@windows
def damaged_windows(dice: Dice) -> Attack:
    note, data = damage(dice, _GOOD_WINDOWS.encode())
    files = {"windows.txt": data, **_pictures()}
    _window_net(dice, files)
    return Attack(note, files, not data)


@windows
def boxes(dice: Dice) -> Attack:
    ends = [0, 1, 19, 20, 23, 24, -1, 2**31 - 1, -(2**31), 10**6]
    box = [dice.pick(ends) for _ in range(4)]
    lines = f"# 0\na.jpg\n3\n24\n20\n2\n1 1 {' '.join(map(str, box))}\n0 0 {' '.join(map(str, box))}\n"
    files = {"windows.txt": lines.encode(), **_pictures()}
    _window_net(dice, files)
    return Attack(f"a window {box}", files)


@windows
def numbers_of_a_window(dice: Dice) -> Attack:
    words = ["1", "0.9", "2", "3", "12", "14"]
    place = dice.below(6)
    words[place] = dice.pick(["nan", "inf", "-inf", "1e300", "1e999", "x", "0x1", "1,5", "1_0", "9" * 5000])
    if dice.chance(0.3):
        place = dice.pick([0, 2, 3, 4, 5])
        words[place] = dice.pick(["1.5", "2147483648", "-2147483649", "1e10", "0" if place == 0 else "0.5"])
    files = {"windows.txt": f"# 0\na.jpg\n3\n24\n20\n1\n{' '.join(words)}\n".encode(), **_pictures()}
    files["net.prototxt"] = net_of("WindowData", "fg_fraction: 1")
    # NumPy's numbers may have an underscore between digits, as Python's; an overlap may be any.
    good = words[place] == "1_0" or (place == 1 and words[place] == "1e300")
    return Attack(f"a window {[word[:12] for word in words]}", files, not good)


@windows
def damaged_images_of_windows(dice: Dice) -> Attack:
    files = {"windows.txt": _GOOD_WINDOWS.encode(), **_pictures()}
    name = dice.pick(["a.jpg", "b.png"])
    note, files[name] = damage(dice, files[name])
    _window_net(dice, files)
    return Attack(f"{name}, {note}", files)


@windows
def images_in_one_line(dice: Dice) -> Attack:
    """The words of one line are taken a few at a time: that must not take time with the square of their number."""
    count = dice.pick([100, 40_000])
    line = " ".join(f"# {i} a.jpg 3 1 1 0" for i in range(count))
    files = {"windows.txt": line.encode(), **_pictures()}
    _window_net(dice, files)
    return Attack(f"{count} images in one line", files, True)


@windows
def sources_of_windows(dice: Dice) -> Attack:
    path = dice.pick(_PATHS)
    files: dict[str, bytes] = {}
    _window_net(dice, files, path)
    return Attack(f"source {path[:20]!r}", files, True)


def hdf5(edit: Callable[[Any], None] | None = None, count: int = 5) -> bytes:
    import h5py

    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file["data"] = np.arange(count * 6, dtype=np.float32).reshape(count, 2, 3)
        file["label"] = np.arange(count, dtype=np.float32)
        if edit is not None:
            edit(file)
    return memory.getvalue()


def _hdf5_net(dice: Dice, files: dict[str, bytes], source: str = "list.txt") -> None:
    settings = "batch_size: 4" if dice.chance(0.8) else f"batch_size: {dice.pick(_SIZES)}"
    settings += dice.pick(["", " shuffle: true"])
    param = f'hdf5_data_param {{ source: "{source}" {settings} }}'
    files["net.prototxt"] = _layer("HDF5Data", 'top: "data" top: "label"', param)


@rows
def damaged_rows(dice: Dice) -> Attack:
    note, data = damage(dice, hdf5())
    files = {"list.txt": b"a.h5\n", "a.h5": data}
    _hdf5_net(dice, files)
    return Attack(note, files, not data)


@rows
def a_dataset_is_something_else(dice: Dice) -> Attack:
    name = dice.pick(["data", "label"])
    note, put = things(dice, name)

    def edit(file: Any) -> None:
        del file[name]
        put(file["/"], name)

    # Most of these have three rows too.
    files = {"list.txt": b"a.h5\n", "a.h5": hdf5(edit, 3)}
    _hdf5_net(dice, files)
    return Attack(note, files, "values of another file" not in note and "a piece of" not in note)


def _sized(dice: Dice) -> tuple[str, Callable[[Any], None]]:
    """Datasets without values that are said to be large: a file of some thousand bytes."""
    count = dice.pick([0, 1, 3, 2**20, 2**31, 2**40, 2**61, 2**63 - 1])
    row = dice.pick([(), (1,), (2**20,), (2**31, 2**31), (0,), (1,) * 31])
    kind = dice.pick(["f4", "f8", "i1", "u8", "f2"])

    def edit(file: Any) -> None:
        for name in ("data", "label"):
            del file[name]
            shape = (count, *(row if name == "data" else ()))
            chunks = tuple(min(max(size, 1), 64) for size in shape)
            if len(shape) < 8 and np.prod([float(size) for size in chunks]) < 2**20:
                file.create_dataset(name, shape, kind, chunks=chunks, maxshape=shape)
            else:
                file.create_dataset(name, shape, kind) if count < 4 else file.create_group(name)

    return f"{count} rows of shape {row[:5]}, {kind}", edit


@rows
def sizes_of_datasets(dice: Dice) -> Attack:
    note, edit = _sized(dice)
    try:
        data = hdf5(edit)
    except (ValueError, OSError, OverflowError) as error:
        # What HDF5 does not even write.
        note, data = f"{note} ({error})", hdf5()[:400]
    # Two of them have more rows than an integer holds.
    files = {"list.txt": b"a.h5\n" * dice.pick([1, 2]), "a.h5": data}
    _hdf5_net(dice, files)
    return Attack(note, files)


@rows
def files_that_differ(dice: Dice) -> Attack:
    name, values = dice.pick(
        [
            ("data", np.zeros((5, 3, 2), np.float32)),
            ("data", np.zeros((4, 2, 3), np.float32)),
            ("label", np.zeros((5, 1), np.float32)),
            ("label", np.zeros((50,), np.float32)),
            ("other", None),
        ]
    )

    def edit(file: Any) -> None:
        if values is None:
            del file["label"]
        else:
            del file[name]
            file[name] = values

    files = {"list.txt": b"a.h5\nb.h5\n", "a.h5": hdf5(), "b.h5": hdf5(edit)}
    _hdf5_net(dice, files)
    return Attack(f"{name} of the second file is another", files, True)


@rows
def lists_of_files(dice: Dice) -> Attack:
    lines = [
        b"a.h5", b"a.h5 a.h5", b"nowhere.h5", b"", b" ", b"\xff", b"a\0.h5", b"list.txt", b"/dev/zero", b"/", b"a.h5 1",
        b"x" * 70_000, b"a.h5 " * 3000,
    ]  # fmt: skip
    chosen = [dice.pick(lines) for _ in range(dice.pick([0, 1, 2, 5]))]
    files = {"list.txt": dice.pick([b"\n", b"\r\n"]).join(chosen), "a.h5": hdf5()}
    _hdf5_net(dice, files)
    good = {lines[0], lines[1], lines[3], lines[4], lines[12]}
    return Attack(f"lines {[line[:12] for line in chosen]}", files, not good.issuperset(chosen))


@rows
def sources_of_rows(dice: Dice) -> Attack:
    path = dice.pick([*_PATHS, "a.h5"])
    files = {"a.h5": hdf5()}
    _hdf5_net(dice, files, path)
    return Attack(f"source {path[:20]!r}", files, True)


_GOOD_LIST = b"a.jpg 3\nb.png 1\nsub/c d.bmp 2\n"


def _image_net(dice: Dice, files: dict[str, bytes], source: str = "list.txt") -> None:
    settings = dice.pick(["batch_size: 3 new_height: 10 new_width: 12", "batch_size: 1", "batch_size: 2"])
    if dice.chance(0.2):
        settings = dice.pick(
            [
                f"batch_size: {dice.pick(_SIZES)}",
                f"new_height: {dice.pick(_SIZES)} new_width: {dice.pick(_SIZES)}",
                f"rand_skip: {dice.pick(_SIZES)}",
                "shuffle: true batch_size: 5",
                "is_color: false batch_size: 2",
                f'root_folder: "{dice.pick(_PATHS)}"',
            ]
        )
    param = f'image_data_param {{ source: "{source}" {settings} }}'
    transform = _transform(dice, files)
    files["net.prototxt"] = _layer("ImageData", 'top: "x" top: "y"', param, transform)


def _listed() -> dict[str, bytes]:
    return {"list.txt": _GOOD_LIST, **_pictures(), "sub/c d.bmp": picture("BMP")}


@images
def damaged_images(dice: Dice) -> Attack:
    files = _listed()
    notes = []
    for name in ("a.jpg", "b.png", "sub/c d.bmp"):
        if dice.chance(0.6):
            note, files[name] = damage(dice, files[name])
            notes.append(f"{name}, {note}")
    _image_net(dice, files)
    return Attack("; ".join(notes), files)


@images
def lists_of_images(dice: Dice) -> Attack:
    chosen = [dice.pick([*LINES, b"a.jpg 3", b"b.png 1"]) for _ in range(dice.pick([1, 2, 5]))]
    files = {**_listed(), "list.txt": b"\n".join(chosen)}
    _image_net(dice, files)
    return Attack(f"lines {[line[:12] for line in chosen]}", files)


@images
def damaged_list(dice: Dice) -> Attack:
    note, data = damage(dice, _GOOD_LIST)
    files = {**_listed(), "list.txt": data}
    _image_net(dice, files)
    return Attack(note, files, not data)


@images
def sources_of_images(dice: Dice) -> Attack:
    path = dice.pick([*_PATHS, "a.jpg"])
    files = _listed()
    if dice.chance(0.5):
        _image_net(dice, files, path)
        return Attack(f"source {path[:20]!r}", files, True)
    files["list.txt"] = path.replace("\\000", "\0").encode() + b" 1\n"
    _image_net(dice, files)
    return Attack(f"an image {path[:20]!r}", files, path != "a.jpg")


def _record_net(dice: Dice, files: dict[str, bytes]) -> None:
    settings = "batch_size: 4"
    if dice.chance(0.2):
        settings = dice.pick(
            [f"batch_size: {dice.pick(_SIZES)}", f"batch_size: 2 rand_skip: {dice.pick(_SIZES)}", "batch_size: 2"]
        )
    param = f'data_param {{ source: "db" backend: LMDB {settings} }}'
    transform = _transform(dice, files, dice.pick([0, 0, 3]))
    transform = transform[:-1] + dice.pick(["", "", "force_color: true", "force_gray: true"]) + " }"
    files["net.prototxt"] = _layer("Data", 'top: "x" top: "y"', param, transform)


@records
def records_that_differ(dice: Dice) -> Attack:
    kinds: list[Callable[[], bytes]] = [
        datum,
        lambda: datum("JPEG"),
        lambda: datum("PNG"),
        lambda: damage(dice, datum())[1],
        lambda: damage(dice, datum("JPEG"))[1],
        lambda: dice.bytes(50),
        lambda: b"",
    ]
    chosen = [dice.below(len(kinds)) for _ in range(6)]
    files = {"db/data.mdb": databases_file([kinds[i]() for i in chosen])}
    _record_net(dice, files)
    return Attack(f"records of kinds {chosen}", files)


@records
def damaged_database(dice: Dice) -> Attack:
    note, data = damage(dice, base(dice.pick(["lmdb", "deep lmdb"])))
    files = {"db/data.mdb": data}
    _record_net(dice, files)
    return Attack(note, files, not data)


@records
def sound_records(dice: Dice) -> Attack:
    """With what the settings ask of them."""
    kind = dice.pick(["", "JPEG", "PNG", "BMP"])
    files = {"db/data.mdb": databases_file([datum(kind)] * 5)}
    _record_net(dice, files)
    return Attack(f"records of {kind or 'pixels'}", files)
