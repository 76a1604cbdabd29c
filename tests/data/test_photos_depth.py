"""TIFF, PNG and other pictures of more than 8 bits: right, or refused with the reason."""

import itertools
import struct

import numpy as np
import pytest
from PIL import Image

from minispiral.data.masks import read_mask
from minispiral.data.photos import read_photo
from minispiral.errors import UserError
from tests.data.picture_files import colour_tiff, grey_tiff, png, tiff

LAYOUTS = list(itertools.product("<>", [1, 8]))  # byte order and compression


def values_up_to(rng, highest, shape, dtype):
    """Random values that reach the highest."""
    values = rng.integers(0, highest + 1, shape).astype(dtype)
    values.flat[rng.integers(values.size)] = highest
    return values


def scaled(values, white):
    return np.rint(values * (255 / white))


@pytest.mark.parametrize(("order", "compression"), LAYOUTS)
@pytest.mark.parametrize("dtype", ["u2", "i2", "i4"])
@pytest.mark.parametrize(("highest", "white"), [(255, 255), (77, 255), (3488, 4095), (4095, 4095)])
def test_grey_of_few_bits_in_many(tmp_path, rng, order, compression, dtype, highest, white):
    values = values_up_to(rng, highest, (13, 17), dtype)
    (tmp_path / "a.tif").write_bytes(grey_tiff(values, order, compression))
    photo = read_photo(tmp_path / "a.tif")
    np.testing.assert_allclose(photo[..., 1], scaled(values, white), atol=1)


@pytest.mark.parametrize(("order", "compression"), LAYOUTS)
@pytest.mark.parametrize("dtype", ["u2", "i2"])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_the_largest_value_of_the_tags_is_white(tmp_path, rng, order, compression, dtype, bits):
    white = 2**bits - 1
    values = values_up_to(rng, rng.integers(white // 5, white + 1), (13, 17), dtype)
    (tmp_path / "a.tif").write_bytes(grey_tiff(values, order, compression, t281=white))
    np.testing.assert_allclose(
        read_photo(tmp_path / "a.tif")[..., 0], scaled(values, white), atol=1
    )


@pytest.mark.parametrize("highest", [300, 1023, 4096, 9000, 16383])
@pytest.mark.parametrize("kind", ["tif", "signed.tif", "colour.tif", "png", "colour.png"])
def test_white_that_is_not_certain_is_refused(tmp_path, rng, highest, kind):
    path = tmp_path / f"a.{kind}"
    shape = (9, 11, 3) if "colour" in kind else (9, 11)
    values = values_up_to(rng, highest, shape, "i2" if "signed" in kind else "u2")
    if kind.endswith("tif"):
        data = colour_tiff(values) if "colour" in kind else grey_tiff(values)
    else:
        rows = [row.astype(">u2").tobytes() for row in values]
        data = png(11, 9, 16, 2 if "colour" in kind else 0, rows)
    path.write_bytes(data)
    with pytest.raises(UserError, match=rf"a\..* to {highest} in 16 bits.* white"):
        read_photo(path)
    np.testing.assert_array_equal(read_mask(path).shape, shape[:2])


@pytest.mark.parametrize(("order", "compression"), LAYOUTS)
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(("highest", "white"), [(200, 255), (3000, 4095), (60000, 65535)])
def test_16_bit_colour_tiff(tmp_path, rng, order, compression, apart, highest, white):
    values = values_up_to(rng, highest, (5, 8, 3), "u2")
    (tmp_path / "a.tif").write_bytes(colour_tiff(values, order, compression, apart))
    if apart and compression != 1 and white < 65535:  # Pillow gives the first byte alone
        with pytest.raises(UserError, match=r"a\.tif holds values up to .* white"):
            read_photo(tmp_path / "a.tif")
    else:
        np.testing.assert_allclose(read_photo(tmp_path / "a.tif"), scaled(values, white), atol=1)


@pytest.mark.parametrize(("highest", "white"), [(200, 255), (3000, 4095), (60000, 65535)])
def test_16_bit_colour_png(tmp_path, rng, highest, white):
    values = values_up_to(rng, highest, (5, 8, 3), "u2")
    rows = [row.astype(">u2").tobytes() for row in values]
    (tmp_path / "a.png").write_bytes(png(8, 5, 16, 2, rows))
    np.testing.assert_allclose(read_photo(tmp_path / "a.png"), scaled(values, white), atol=1)
    opaque = np.concatenate([values, np.full((5, 8, 1), 65535, "u2")], axis=2)
    rows = [row.astype(">u2").tobytes() for row in opaque]
    (tmp_path / "b.png").write_bytes(png(8, 5, 16, 6, rows))
    np.testing.assert_allclose(read_photo(tmp_path / "b.png"), scaled(values, white), atol=1)


def test_black_stays_black(tmp_path):
    for name, data in {
        "a.tif": grey_tiff(np.zeros((4, 5), np.uint16)),
        "b.tif": colour_tiff(np.zeros((4, 5, 3), np.uint16)),
        "c.png": png(5, 4, 16, 2, [bytes(30)] * 4),
    }.items():
        (tmp_path / name).write_bytes(data)
        assert not read_photo(tmp_path / name).any()


def test_12_bits_packed(tmp_path, rng):
    values = rng.integers(0, 4096, (6, 10))
    bits = (values[..., None] >> np.arange(11, -1, -1)) & 1
    tags = {256: 10, 257: 6, 258: 12, 259: 1, 262: 1, 277: 1, 278: 6}
    rows = np.packbits(bits.reshape(6, -1), axis=1).tobytes()
    (tmp_path / "a.tif").write_bytes(tiff(tags, [rows]))
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif")[..., 0], scaled(values, 4095))


def test_15_bits_and_a_sign(tmp_path, rng):
    values = values_up_to(rng, 32767, (7, 9), "i2")
    (tmp_path / "a.tif").write_bytes(grey_tiff(values))
    np.testing.assert_allclose(
        read_photo(tmp_path / "a.tif")[..., 2], scaled(values, 32767), atol=1
    )
    bytes_ = values_up_to(rng, 127, (7, 9), "i1")
    (tmp_path / "b.tif").write_bytes(grey_tiff(bytes_))
    np.testing.assert_allclose(read_photo(tmp_path / "b.tif")[..., 2], scaled(bytes_, 127), atol=1)


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4"])
def test_negative_values_are_refused(tmp_path, rng, dtype):
    values = rng.integers(0, 100, (7, 9)).astype(dtype)
    values[3, 4] = -1
    (tmp_path / "a.tif").write_bytes(grey_tiff(values))
    with pytest.raises(UserError, match=r"a\.tif holds int.* from -1"):
        read_photo(tmp_path / "a.tif")


@pytest.mark.parametrize("compression", [1, 8])
def test_white_is_zero(tmp_path, rng, compression):
    values = rng.integers(0, 65536, (13, 17), dtype=np.uint16)
    data = grey_tiff(values, compression=compression, t262=0)
    (tmp_path / "a.tif").write_bytes(data)
    expected = scaled(65535.0 - values, 65535)
    np.testing.assert_allclose(read_photo(tmp_path / "a.tif")[..., 0], expected, atol=1)
    grey = (values >> 8).astype(np.uint8)
    (tmp_path / "b.tif").write_bytes(grey_tiff(grey, compression=compression, t262=0))
    np.testing.assert_array_equal(read_photo(tmp_path / "b.tif")[..., 0], 255 - grey)
    crack = rng.random((13, 17)) < 0.1
    for dtype, white in ((np.uint8, 255), (np.uint16, 65535)):
        stored = np.where(crack, 0, white).astype(dtype)
        (tmp_path / "m.tif").write_bytes(grey_tiff(stored, compression=compression, t262=0))
        np.testing.assert_array_equal(read_mask(tmp_path / "m.tif"), crack)


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((5, 6), np.float16),
        np.zeros((5, 6), np.float64),
        np.zeros((5, 6, 3), np.float32),
        np.zeros((5, 6, 3), np.uint32),
        np.zeros((5, 6, 7), np.uint8),
    ],
    ids=["float16", "float64", "RGB float32", "RGB uint32", "7 bands"],
)
def test_other_layouts_are_named(tmp_path, values):
    data = grey_tiff(values) if values.ndim == 2 else colour_tiff(values, extra=(0,) * 4)
    if values.ndim == 3 and values.shape[2] == 3:
        data = colour_tiff(values)
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(UserError, match=r"a\.tif is a TIFF of .*save it as"):
        read_photo(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("extra", [(), (0,), (1,), (2,)])
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(("order", "compression"), LAYOUTS)
def test_near_infrared_is_not_transparency(tmp_path, rng, dtype, extra, apart, order, compression):
    values = rng.integers(1, 255, (20, 30, 4)).astype(dtype)
    values = values * 257 if dtype == "u2" else values
    (tmp_path / "a.tif").write_bytes(colour_tiff(values, order, compression, apart, extra=extra))
    if extra in {(1,), (2,)} or (apart and (compression == 1 or not extra)):
        with pytest.raises(UserError, match=r"a\.tif (has a band|is a TIFF) of"):
            read_photo(tmp_path / "a.tif")
    else:
        expected = values[..., :3] // (257 if dtype == "u2" else 1)
        np.testing.assert_array_equal(read_photo(tmp_path / "a.tif"), expected)


@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("apart", [False, True])
def test_cmyk_with_planes_apart(tmp_path, rng, compression, apart):
    inks = rng.integers(0, 256, (6, 7, 4), dtype=np.uint8)
    data = colour_tiff(inks, compression=compression, apart=apart, photometric=5)
    (tmp_path / "a.tif").write_bytes(data)
    expected = (255 - inks[..., :3].astype(float)) * (255 - inks[..., 3:]) / 255
    np.testing.assert_allclose(read_photo(tmp_path / "a.tif"), expected, atol=2)


@pytest.mark.parametrize("photometric", [6, 8])
@pytest.mark.parametrize("compression", [1, 8])
def test_planes_that_would_be_garbled_are_refused(tmp_path, rng, photometric, compression):
    values = rng.integers(0, 256, (6, 7, 3), dtype=np.uint8)
    data = colour_tiff(values, compression=compression, apart=True, photometric=photometric)
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(UserError, match=r"a\.tif is a TIFF of .*planes apart"):
        read_photo(tmp_path / "a.tif")


@pytest.mark.parametrize("white", [1023, 4095, 16383])
def test_depth_that_the_format_states_is_no_guess(tmp_path, rng, white):
    values = values_up_to(rng, white // 9, (13, 17), "u2")  # dark, but not doubtful
    header = f"P5 17 13 {white}\n".encode()
    (tmp_path / "a.pgm").write_bytes(header + values.astype(">u2").tobytes())
    np.testing.assert_allclose(
        read_photo(tmp_path / "a.pgm")[..., 0], scaled(values, white), atol=1
    )


def test_multiplied_alpha_of_grey(tmp_path, rng):
    values = np.zeros((6, 7, 2), np.uint8)
    values[..., 1] = 255 * (rng.random((6, 7)) < 0.5)
    values[..., 0] = values[..., 1] // 255 * rng.integers(0, 256, (6, 7))
    (tmp_path / "a.tif").write_bytes(colour_tiff(values, photometric=1, extra=(1,)))
    expected = np.where(values[..., 1], values[..., 0], 255)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif")[..., 0], expected)


def test_bmp_of_16_bits_per_pixel_is_no_deep_picture(tmp_path, rng):
    """Five bits of blue, six of green and five of red."""
    words = rng.integers(0, 2**16, (4, 6), dtype=np.uint16) & 0x18E3  # dark ones
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    info = struct.pack("<IiiHHIIiiII", 40, 6, -4, 1, 16, 3, words.nbytes, 0, 0, 0, 0)
    head = struct.pack("<2sIHHI", b"BM", 66 + words.nbytes, 0, 0, 66)
    (tmp_path / "a.bmp").write_bytes(head + info + masks + words.astype("<u2").tobytes())
    red, green, blue = words >> 11, (words >> 5) & 63, words & 31
    expected = np.stack([red * (255 / 31), green * (255 / 63), blue * (255 / 31)], axis=-1)
    np.testing.assert_allclose(read_photo(tmp_path / "a.bmp"), expected, atol=1)
    assert Image.open(tmp_path / "a.bmp").mode == "RGB"
