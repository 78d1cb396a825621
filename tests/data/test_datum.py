"""Records to images: what OpenCV would give, and an error that names the record for what cannot be decoded."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image as pillow

from caffepy.data.datum import decode, decode_image, encode
from caffepy.data.orientation import is_turned
from caffepy.data.pixels import pixels
from caffepy.errors import DataError
from caffepy.proto import caffe_pb2
from tests.data.images import file_bytes, noise_image, raw_datum

KEY = b"00000007_cat.jpg"


def decode_datum(**fields):
    return decode(caffe_pb2.Datum(**fields).SerializeToString(), KEY)


def rgb_picture(height=12, width=10, seed=3):
    rgb = noise_image((height, width, 3), seed)
    return rgb, pillow.fromarray(rgb)


def test_raw_bytes_keep_their_order_and_label():
    pixels_in = noise_image((2, 3, 4))
    image = decode(raw_datum(pixels_in, 5).SerializeToString(), KEY)
    assert image.label == 5
    assert image.array.dtype == np.uint8
    assert np.array_equal(image.array, pixels_in)


def test_float_data_is_float32():
    values = [-1.5, 0, 300.25, 4, 5, 6]
    image = decode_datum(channels=1, height=2, width=3, float_data=values, label=-2)
    assert image.array.dtype == np.float32
    assert image.array.ravel().tolist() == values
    assert image.label == -2


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_lossless_files_come_blue_first(kind):
    rgb, picture = rgb_picture()
    image = decode_datum(data=file_bytes(picture, kind), encoded=True, label=9)
    assert (image.label, image.encoded) == (9, True)
    assert np.array_equal(image.array, rgb[:, :, ::-1].transpose(2, 0, 1))


def test_jpeg_comes_blue_first(smooth_jpeg):
    array = decode_image(smooth_jpeg, "")
    expected = np.asarray(pillow.open(io.BytesIO(smooth_jpeg)))
    assert np.array_equal(array, expected[:, :, ::-1].transpose(2, 0, 1))


def test_decoding_a_large_image_that_lies_in_several_blocks():
    # Pillow keeps it in pieces of 16 MB, which cannot be shared in one piece.
    wide = np.zeros((1500, 4000, 3), np.uint8)
    wide[1499, 3999] = (1, 2, 3)
    array = decode_image(file_bytes(pillow.fromarray(wide), "BMP"), "")
    assert array.shape == (3, 1500, 4000)
    assert array[:, 1499, 3999].tolist() == [3, 2, 1]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK"])
def test_pixels_without_a_copy_equal_those_with_one(mode):
    picture = pillow.fromarray(noise_image((21, 37, 3), 1)).convert(mode)
    assert np.array_equal(pixels(picture), np.asarray(picture).reshape(21, 37, -1))


def test_pixels_of_a_pillow_without_shared_memory(monkeypatch):
    rgb, picture = rgb_picture()
    monkeypatch.delattr(pillow.Image, "__arrow_c_array__")
    assert np.array_equal(pixels(picture), rgb)


def test_pixels_outlive_the_picture():
    import gc

    array = pixels(pillow.fromarray(np.full((64, 64, 3), 7, np.uint8)))
    gc.collect()
    more = [pillow.new("RGB", (64, 64), (i, i, i)) for i in range(20)]
    assert (array == 7).all()
    assert len(more) == 20


def test_channels_are_kept_as_stored():
    gray = file_bytes(pillow.fromarray(noise_image((1, 6, 5))[0]), "PNG")
    assert decode_image(gray, "").shape == (1, 6, 5)
    rgba = noise_image((6, 5, 4), 2)
    array = decode_image(file_bytes(pillow.fromarray(rgba), "PNG"), "")
    assert np.array_equal(array, rgba[:, :, [2, 1, 0, 3]].transpose(2, 0, 1))
    with_alpha = decode_image(file_bytes(pillow.fromarray(rgba).convert("LA"), "PNG"), "")
    assert with_alpha.shape == (4, 6, 5)
    assert np.array_equal(with_alpha[0], with_alpha[2])
    assert np.array_equal(with_alpha[3], rgba[:, :, 3])


def test_palette_and_bitmap_files_are_unfolded():
    rgb, picture = rgb_picture()
    palette = picture.quantize(16)
    assert np.array_equal(
        decode_image(file_bytes(palette, "PNG"), ""), np.asarray(palette.convert("RGB"))[:, :, ::-1].transpose(2, 0, 1)
    )
    bitmap = pillow.fromarray(rgb[:, :, 0] > 128)
    assert set(np.unique(decode_image(file_bytes(bitmap, "PNG"), ""))) == {0, 255}


def test_force_color():
    gray = noise_image((1, 6, 5))
    array = decode_image(file_bytes(pillow.fromarray(gray[0]), "PNG"), "", color="color")
    assert np.array_equal(array, np.repeat(gray, 3, axis=0))
    rgba = noise_image((6, 5, 4), 2)
    array = decode_image(file_bytes(pillow.fromarray(rgba), "PNG"), "", color="color")
    assert np.array_equal(array, rgba[:, :, 2::-1].transpose(2, 0, 1))


def test_force_gray_of_png_is_libpngs():
    rgb, picture = rgb_picture()
    array = decode_image(file_bytes(picture, "PNG"), "", color="gray")
    red, green, blue = rgb.astype(int).transpose(2, 0, 1)
    assert np.array_equal(array[0], (9797 * red + 19234 * green + 3737 * blue) // 32768)


def test_force_gray_of_bmp_is_opencvs():
    # Large enough that some pixels lie exactly between two levels.
    rgb, picture = rgb_picture(256, 256)
    array = decode_image(file_bytes(picture, "BMP"), "", color="gray")
    red, green, blue = rgb.astype(int).transpose(2, 0, 1)
    assert np.array_equal(array[0], (4899 * red + 9617 * green + 1868 * blue + 8192) // 16384)


def test_force_gray_of_jpeg_is_its_own_brightness():
    # Noise has colours outside of RGB, so brightness computed from RGB would be far off.
    jpeg = file_bytes(rgb_picture(60, 50)[1], "JPEG", quality=50)
    opened = pillow.open(io.BytesIO(jpeg))
    opened.draft("YCbCr", opened.size)
    brightness = np.asarray(opened)[:, :, 0]
    assert opened.mode == "YCbCr"
    assert np.array_equal(decode_image(jpeg, "", color="gray")[0], brightness)


def test_force_gray_keeps_gray_files():
    gray = noise_image((1, 6, 5))
    assert np.array_equal(decode_image(file_bytes(pillow.fromarray(gray[0]), "PNG"), "", color="gray"), gray)


def test_force_leaves_raw_pixels_alone_as_caffe_does():
    image = noise_image((3, 4, 5))
    decoded = decode(raw_datum(image).SerializeToString(), KEY, color="gray")
    assert not decoded.encoded
    assert np.array_equal(decoded.array, image)


def test_cmyk_jpeg():
    inks = np.full((16, 16, 4), (255, 0, 0, 0), np.uint8)
    array = decode_image(file_bytes(pillow.frombytes("CMYK", (16, 16), inks.tobytes()), "JPEG", quality=95), "")
    blue, green, red = array[:, 8, 8].astype(int)
    assert (blue > 245, green > 245, red < 10) == (True, True, True)
    inks[:] = (0, 0, 255, 128)
    array = decode_image(file_bytes(pillow.frombytes("CMYK", (16, 16), inks.tobytes()), "JPEG", quality=95), "")
    blue, green, red = array[:, 8, 8].astype(int)
    assert blue < 10
    assert abs(green - 127) < 8
    assert abs(red - 127) < 8


def test_exif_orientation_is_not_applied():
    _, picture = rgb_picture(8, 6)
    exif = pillow.Exif()
    exif[0x0112] = 6
    assert decode_image(file_bytes(picture, "JPEG", exif=exif), "").shape == (3, 8, 6)


def test_sixteen_bits_are_refused_or_cut_when_forced():
    deep = (np.arange(20, dtype=np.uint16) * 3000).reshape(4, 5)
    data = file_bytes(pillow.fromarray(deep), "PNG")
    with pytest.raises(DataError, match="record 'x' is 16 bits deep: Image data type must be unsigned byte"):
        decode_image(data, "record 'x'")
    assert np.array_equal(decode_image(data, "", color="gray")[0], deep >> 8)


def _deep_png(values: np.ndarray) -> bytes:
    """A PNG of 16 bits, (H, W, 3) or (H, W, 4), which Pillow cannot write."""

    def block(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width, channels = values.shape
    head = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return b"\x89PNG\r\n\x1a\n" + block(b"IHDR", head) + block(b"IDAT", zlib.compress(rows)) + block(b"IEND", b"")


@pytest.mark.parametrize("channels", [3, 4])
def test_of_sixteen_bits_in_colour_the_upper_eight_are_kept(channels):
    """As cv2.imdecode does (OpenCV 5.0, the same file): 254 of 65279, which is nearer to 255 of 65535 / 257."""
    steps = np.array([0, 128, 255, 256, 383, 384, 32767, 32768, 65279, 65280, 65407, 65408, 65534, 65535], np.uint16)
    values = np.random.default_rng(4).choice(steps, (5, 6, channels))
    data = _deep_png(values)
    with pytest.raises(DataError, match="record 'x' is 16 bits deep: Image data type must be unsigned byte"):
        decode_image(data, "record 'x'")
    array = decode_image(data, "", color="color")
    assert array.dtype == np.uint8
    assert np.array_equal(array, (values[:, :, 2::-1] >> 8).transpose(2, 0, 1))


def test_images_that_ask_to_be_turned():
    _, picture = rgb_picture(8, 6)
    for kind in ("JPEG", "PNG"):
        for value, turned in ((None, False), (0, False), (1, False), (2, True), (6, True), (8, True), (9, False)):
            exif = pillow.Exif()
            if value is not None:
                exif[0x0112] = value
            exif[0x010F] = "a maker"
            data = file_bytes(picture, kind, exif=exif)
            assert is_turned(data) == turned, (kind, value)
            assert not is_turned(data[:40]), "damaged"
    assert not is_turned(file_bytes(picture, "BMP"))
    assert not is_turned(b"Exif\0\0")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"channels": 1, "height": 2, "width": 3, "data": b"12345"},
            r"Incorrect data field size 5, expected 6 .*1 x 2 x 3",
        ),
        ({"channels": 1, "height": 2, "width": 3, "data": b"1234567"}, "Incorrect data field size 7, expected 6"),
        ({"channels": 1, "height": 2, "width": 3, "float_data": [1.0]}, "no data and 1 float_data, expected 6"),
        ({"channels": 1, "height": 2, "width": 3}, "no data and 0 float_data, expected 6"),
        ({"channels": 1, "height": 0, "width": 3, "data": b"1"}, "has no size: channels x height x width = 1 x 0 x 3"),
        ({"channels": -1, "height": -1, "width": 1, "data": b"1"}, "has no size"),
        ({"channels": 2**30, "height": 2**30, "width": 2**30, "data": b"1"}, f"expected {2**90}"),
        ({"data": b"\xff\xd8\xff\xe0"}, "Its data is an encoded image: was 'encoded' left unset"),
        ({"data": b"", "encoded": True}, "expected JPEG, PNG or BMP, got no data"),
        ({"data": b"GIF89a", "encoded": True}, "expected JPEG, PNG or BMP, got 6 bytes that begin with b'GIF89a'"),
        ({"data": b"version https://git-lfs.", "encoded": True}, "got a Git LFS pointer"),
    ],
)
def test_bad_records_are_named(fields, said):
    with pytest.raises(DataError, match=f"record '00000007_cat.jpg'.*{said}"):
        decode_datum(**fields)


def test_not_a_datum():
    with pytest.raises(DataError, match=r"record '00000007_cat.jpg' is not a Datum"):
        decode(b"\xff\xff\xff\xff", KEY)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
def test_cut_images_are_errors_wherever_they_are_cut(kind):
    data = file_bytes(rgb_picture(40, 40)[1], kind)
    for length in range(3, len(data) - 12, 97):
        with pytest.raises(DataError, match=r"record 'x' cannot be decoded"):
            decode_image(data[:length], "record 'x'")


def test_damage_in_the_middle_of_a_png():
    data = bytearray(file_bytes(rgb_picture(40, 40)[1], "PNG"))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(DataError, match="cannot be decoded"):
        decode_image(bytes(data), "x")


def test_pixels_are_counted_before_they_are_unpacked():
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    # 60000 x 60000 pixels in a file of a few bytes.
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    with pytest.raises(DataError, match="record 'x': 60000 x 60000 pixels, allowed are at most 67108864"):
        decode_image(bomb, "record 'x'")
    with pytest.raises(DataError, match="12 x 10 pixels, allowed are at most 119"):
        decode_image(file_bytes(rgb_picture(10, 12)[1], "PNG"), "x", max_pixels=119)
    assert decode_image(file_bytes(rgb_picture(10, 12)[1], "PNG"), "x", max_pixels=120).shape == (3, 10, 12)


def test_unknown_kind_of_pixels(monkeypatch):
    from caffepy.data import datum

    class Odd:
        mode = "HSV"
        size = (2, 2)

        def __init__(self, file):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def load(self):
            pass

    monkeypatch.setattr(datum, "_READERS", ((b"ODD", Odd),))
    with pytest.raises(DataError, match="record 'x' cannot be decoded: pixels of kind 'HSV' are not supported"):
        decode_image(b"ODD", "record 'x'")


def test_encode_and_decode_are_inverse():
    image = noise_image((3, 5, 7))
    for kind in ("", "png"):
        made = decode(encode(image, 11, kind).SerializeToString(), KEY)
        assert made.label == 11
        assert np.array_equal(made.array, image)
    gray = noise_image((1, 5, 7))
    assert np.array_equal(decode(encode(gray, 0, "png").SerializeToString(), KEY).array, gray)
    smooth = np.broadcast_to(np.arange(64, dtype=np.uint8) * 3, (3, 64, 64))
    jpeg = decode(encode(smooth, 0, "jpg").SerializeToString(), KEY).array
    assert np.abs(jpeg.astype(int) - smooth).max() < 6


def test_encode_keeps_the_bytes_of_files(smooth_jpeg):
    datum = encode(smooth_jpeg, 3)
    assert (datum.data, datum.encoded, datum.label) == (smooth_jpeg, True, 3)
    assert not datum.HasField("channels")


def test_what_cannot_be_encoded():
    image = noise_image((3, 5, 7))
    with pytest.raises(DataError, match="label 2147483648 does not fit the 32 bits"):
        encode(image, 2**31)
    with pytest.raises(DataError, match="encode_type 'gif' is unknown; expected jpg or png"):
        encode(image, 0, "gif")
    with pytest.raises(DataError, match="an image of 2 channels cannot be written as jpg; expected 1 or 3"):
        encode(noise_image((2, 5, 7)), 0, "jpg")
