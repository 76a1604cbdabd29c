"""Pictures of every kind are read right, and damaged ones are refused by name."""

import struct
import sys
import time
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from minispiral.data.photos import read_mask, read_photo, write_picture
from minispiral.errors import UserError
from tests.data.picture_files import adobe_cmyk_jpeg, png

# What a viewer shows for a stored array, by EXIF orientation (Exif 2.32, section 4.6.4).
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.fixture
def colours(rng):
    h, w = rng.integers(5, 40, 2)
    return rng.integers(0, 256, (h, w, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "ppm", "tga"])
def test_rgb_is_read_unchanged(tmp_path, colours, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(colours).save(path)
    photo = read_photo(path)
    assert photo.dtype == np.uint8
    assert photo.flags.c_contiguous
    assert photo.flags.writeable
    np.testing.assert_array_equal(photo, colours)


def test_path_may_be_text(tmp_path, colours):
    write_picture(str(tmp_path / "a.png"), colours)
    np.testing.assert_array_equal(read_photo(str(tmp_path / "a.png")), colours)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm", "jp2"])
def test_grey_becomes_three_equal_channels(tmp_path, colours, suffix):
    grey = colours[..., 0]
    Image.fromarray(grey).save(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(read_photo(tmp_path / f"a.{suffix}"), np.stack([grey] * 3, -1))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path, rng, suffix):
    values = rng.integers(0, 65536, (13, 17), dtype=np.uint16)
    values[0, :4] = 0, 128, 129, 65535
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    photo = read_photo(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(photo[..., 1], np.rint(values / 257.0))
    np.testing.assert_array_equal(photo[0, :4, 0], [0, 0, 1, 255])


def test_16_bit_pgm(tmp_path, rng):
    values = rng.integers(0, 65536, (13, 17), dtype=np.uint16)
    (tmp_path / "a.pgm").write_bytes(b"P5 17 13 65535\n" + values.astype(">u2").tobytes())
    np.testing.assert_array_equal(read_photo(tmp_path / "a.pgm")[..., 2], np.rint(values / 257.0))


def test_big_endian_16_bit_tiff(tmp_path, rng):
    values = rng.integers(0, 65536, (13, 17), dtype=np.uint16)
    Image.frombytes("I;16B", (17, 13), values.astype(">u2").tobytes()).save(tmp_path / "a.tif")
    assert (tmp_path / "a.tif").read_bytes()[:2] == b"MM"
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif")[..., 2], np.rint(values / 257.0))


@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_16_bit_colour_and_alpha_png(tmp_path, rng, colour_type, channels):
    values = rng.integers(0, 65536, (9, 11, channels), dtype=np.uint16)
    rows = [row.astype(">u2").tobytes() for row in values]
    (tmp_path / "a.png").write_bytes(png(11, 9, 16, colour_type, rows))
    colour = values[..., :1].repeat(3, -1) if channels == 2 else values[..., :3]
    alpha = values[..., -1:] / 65535 if channels in (2, 4) else 1.0
    expected = (alpha * (colour / 65535) + 1 - alpha) * 255
    np.testing.assert_allclose(read_photo(tmp_path / "a.png"), expected, atol=3)


def test_16_bit_colour_tiff(tmp_path, rng):
    values = rng.integers(0, 65536, (3, 5, 3), dtype="<u2")
    tags = [(256, 5), (257, 3), (258, None), (259, 1), (262, 2), (273, None), (277, 3), (279, 90)]
    end = 8 + 2 + 12 * len(tags) + 4
    file = struct.pack("<2sHIH", b"II", 42, 8, len(tags))
    for tag, value in tags:
        if tag == 258:  # bits per sample: three numbers, stored behind the directory
            file += struct.pack("<HHII", tag, 3, 3, end)
        else:
            file += struct.pack("<HHII", tag, 4, 1, end + 6 if tag == 273 else value)
    file += struct.pack("<IHHH", 0, 16, 16, 16) + values.tobytes()
    (tmp_path / "a.tif").write_bytes(file)
    np.testing.assert_allclose(read_photo(tmp_path / "a.tif"), values / 257, atol=1)


def test_palette(tmp_path, rng):
    palette = rng.integers(64, 256, (7, 3), dtype=np.uint8)
    palette[0] = 0  # the background of the mask
    index = rng.integers(0, 7, (9, 10), dtype=np.uint8)
    extra = palette.tobytes()
    chunk = b"PLTE" + extra
    extra = struct.pack(">I", len(extra)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "a.png").write_bytes(png(10, 9, 8, 3, [r.tobytes() for r in index], extra))
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png"), palette[index])
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), index != 0)


def test_palette_with_transparent_colour_is_laid_over_white(tmp_path):
    image = Image.new("P", (4, 3))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 2), 1)
    image.save(tmp_path / "a.png", transparency=0)
    expected = np.full((3, 4, 3), 255)
    expected[2, 1] = 40, 50, 60
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png"), expected)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_alpha_is_laid_over_white(tmp_path, rng, mode, suffix):
    values = rng.integers(0, 256, (8, 9, len(mode)), dtype=np.uint8)
    values[0, 0, -1], values[0, 1, -1] = 0, 255
    Image.fromarray(values, mode).save(tmp_path / f"a.{suffix}")
    alpha = values[..., -1:] / 255
    expected = np.broadcast_to(alpha * values[..., :-1] + (1 - alpha) * 255, (8, 9, 3))
    photo = read_photo(tmp_path / f"a.{suffix}")
    np.testing.assert_allclose(photo, expected, atol=1)
    np.testing.assert_array_equal(photo[0, 0], 255)
    np.testing.assert_array_equal(photo[0, 1], expected[0, 1])


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("suffix", ["png", "tif", "tga"])
def test_a_fourth_byte_of_zero_everywhere_is_no_alpha(tmp_path, rng, mode, suffix):
    values = rng.integers(0, 256, (8, 9, len(mode)), dtype=np.uint8)
    values[..., -1] = 0
    Image.fromarray(values, mode).save(tmp_path / f"a.{suffix}")
    expected = np.broadcast_to(values[..., :-1], (8, 9, 3))
    np.testing.assert_array_equal(read_photo(tmp_path / f"a.{suffix}"), expected)


@pytest.mark.parametrize("suffix", ["png", "tif", "pbm"])
def test_one_bit(tmp_path, rng, suffix):
    bits = rng.random((7, 13)) < 0.5
    Image.fromarray(bits).save(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(read_photo(tmp_path / f"a.{suffix}")[..., 0], bits * 255)
    np.testing.assert_array_equal(read_mask(tmp_path / f"a.{suffix}"), bits)


def test_adobe_cmyk_jpeg(tmp_path, rng):
    c, m, y, k = (int(v) for v in rng.integers(0, 256, 4))
    (tmp_path / "a.jpg").write_bytes(adobe_cmyk_jpeg((c, m, y, k)))
    expected = [(255 - ink) * (255 - k) / 255 for ink in (c, m, y)]
    photo = read_photo(tmp_path / "a.jpg")
    np.testing.assert_allclose(photo, np.broadcast_to(expected, (8, 8, 3)), atol=2)


def test_cmyk_jpeg_and_tiff_by_pillow(tmp_path):
    cyan = Image.new("CMYK", (16, 8), (255, 0, 0, 0))
    for name in ("a.jpg", "a.tif"):
        cyan.save(tmp_path / name)
        photo = read_photo(tmp_path / name).astype(int)
        assert abs(photo - [0, 255, 255]).max() <= 3


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp"])
def test_exif_orientation(tmp_path, rng, orientation, suffix):
    stored = np.kron(
        rng.integers(0, 256, (3, 5, 1), dtype=np.uint8), np.ones((16, 16, 3), np.uint8)
    )
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(stored).save(tmp_path / f"a.{suffix}", exif=exif, **options)
    expected = UPRIGHT[orientation](stored).astype(int)
    photo = read_photo(tmp_path / f"a.{suffix}")
    assert photo.shape == expected.shape
    assert abs(photo - expected).max() <= 2
    mask = read_mask(tmp_path / f"a.{suffix}")
    if suffix in ("png", "tif"):
        np.testing.assert_array_equal(mask, expected[..., 0] != 0)
    else:
        assert mask.shape == expected.shape[:2]


def test_exif_orientation_of_16_bit_grey(tmp_path, rng):
    stored = rng.integers(0, 65536, (6, 9), dtype=np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    expected = np.rint(np.rot90(stored, -1) / 257.0)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png")[..., 0], expected)


def test_damaged_exif_does_not_refuse_the_picture(tmp_path, rng, colours):
    exif = Image.Exif()
    exif[0x0112] = 6
    for _ in range(20):
        damaged = bytearray(exif.tobytes())
        start = int(rng.integers(6, len(damaged)))
        damaged[start:] = rng.bytes(len(damaged) - start)
        Image.fromarray(colours).save(tmp_path / "a.png", exif=bytes(damaged))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert sorted(read_photo(tmp_path / "a.png").shape) == sorted(colours.shape)


@pytest.mark.parametrize("value", [1, 3, 127, 255])
@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "gif", "pgm"])
def test_any_non_zero_mask_value_is_crack(tmp_path, rng, value, suffix):
    crack = rng.random((11, 14)) < 0.3
    Image.fromarray(crack * np.uint8(value)).save(tmp_path / f"m.{suffix}")
    mask = read_mask(tmp_path / f"m.{suffix}")
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, crack)


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_wide_masks(tmp_path, rng, mode):
    crack = rng.random((11, 14)) < 0.3
    dtype = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
    Image.fromarray(crack.astype(dtype)).save(tmp_path / "m.tif")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.tif"), crack)


def test_mask_in_colour_with_alpha(tmp_path, rng):
    values = np.zeros((9, 12, 4), np.uint8)
    crack = rng.random((9, 12)) < 0.3
    values[crack, rng.integers(0, 3, crack.sum())] = 1
    values[..., 3] = rng.integers(0, 256, (9, 12))
    Image.fromarray(values).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), crack)
    Image.fromarray(values[..., [0, 3]], "LA").save(tmp_path / "n.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "n.png"), values[..., 0] != 0)


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_lossy_masks_ignore_ringing(tmp_path, suffix):
    crack = np.zeros((64, 80), bool)
    crack[20:24, 5:70] = crack[10:50, 40:43] = True
    Image.fromarray(crack * np.uint8(255)).save(tmp_path / f"m.{suffix}", quality=75)
    stored = np.asarray(Image.open(tmp_path / f"m.{suffix}").convert("L"))
    assert np.count_nonzero(stored) > np.count_nonzero(crack)
    np.testing.assert_array_equal(read_mask(tmp_path / f"m.{suffix}"), crack)


def test_lossy_mask_of_small_values_is_refused(tmp_path):
    values = np.zeros((32, 32), np.uint8)
    Image.fromarray(values).save(tmp_path / "m.jpg")
    assert not read_mask(tmp_path / "m.jpg").any()
    values[:16] = 20
    Image.fromarray(values).save(tmp_path / "m.jpg")
    with pytest.raises(UserError, match=r"m\.jpg .*JPEG"):
        read_mask(tmp_path / "m.jpg")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("read", [read_photo, read_mask])
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp", "gif", "webp"])
def test_truncated_file(tmp_path, rng, read, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(path)
    whole = path.read_bytes()
    for share in rng.uniform(0, 0.95, 8):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(UserError, match=rf"a\.{suffix}"):
            read(path)


def test_a_wrong_bit_in_a_png_mask_is_noticed(tmp_path, rng):
    path = tmp_path / "m.png"
    write_picture(path, (rng.random((200, 300)) < 0.01) * np.uint8(255))
    whole = path.read_bytes()
    for place in rng.integers(len(whole) - 12, size=100):  # the end chunk says nothing
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"m\.png"):
            read_mask(path)


def test_a_header_that_asks_for_terabytes_is_damaged(tmp_path, colours):
    path = tmp_path / "a.jp2"
    Image.fromarray(colours).save(path)
    whole = bytearray(path.read_bytes())
    box = whole.index(b"jp2h") - 4
    whole[box : box + 16] = struct.pack(">I4sQ", 1, b"jp2h", 10**14)  # a length of 8 bytes
    path.write_bytes(whole)
    with pytest.raises(UserError, match="asks for more memory than there is"):
        read_photo(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "gif", "jp2", "avif"])
def test_corrupt_files_raise_nothing_but_user_errors(tmp_path, rng, colours, suffix):
    path = tmp_path / f"a.{suffix}"
    try:
        Image.fromarray(colours).save(path)
    except (OSError, KeyError, ValueError):
        pytest.skip(f"this Pillow does not write {suffix}")
    whole = path.read_bytes()
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(40):
            damaged = bytearray(whole)
            for place in rng.integers(rng.choice((40, len(damaged))), size=3):
                damaged[place] = rng.integers(256)
            path.write_bytes(damaged)
            try:
                read_photo(path)
            except UserError as error:
                refused += f"a.{suffix}" in str(error)
    assert refused


@pytest.mark.parametrize("content", [b"", b"a crack", bytes(1000)])
def test_not_a_picture(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.jpg is not a picture"):
        read_photo(tmp_path / "a.jpg")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(UserError, match=r"none\.png"):
        read_photo(tmp_path / "none.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match=r"folder\.png"):
        read_mask(tmp_path / "folder.png")


def test_decompression_bomb_is_refused_before_decoding(tmp_path):
    row = bytes(40_000 // 8)
    (tmp_path / "bomb.png").write_bytes(png(40_000, 40_000, 1, 0, [row] * 40_000))
    start = time.perf_counter()
    with pytest.raises(UserError, match=r"bomb\.png .*40000 x 40000"):
        read_mask(tmp_path / "bomb.png")
    assert time.perf_counter() - start < 2  # decoding takes far longer


def test_large_picture_is_read_without_warning(tmp_path):
    side = 13_400  # Pillow itself refuses from 179 megapixels on
    row = bytes(side // 8)
    (tmp_path / "large.png").write_bytes(
        png(side, side, 1, 0, [row] * (side - 1) + [b"\xff" * 1675])
    )
    limit = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mask = read_mask(tmp_path / "large.png")
    assert mask.shape == (side, side)
    assert mask[-1].all()
    assert not mask[-2].any()
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_values_without_a_defined_white(tmp_path, dtype):
    Image.fromarray(np.full((3, 4), 70_000, dtype)).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match=r"a\.tif .*8-bit"):
        read_photo(tmp_path / "a.tif")


def test_write_picture(tmp_path, colours):
    for name, array in [("a.png", colours), ("b.PNG", colours[..., 1]), ("c.png", colours[::2])]:
        write_picture(tmp_path / name, array)
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / name)), array)
    smooth = np.kron(colours[:2, :2], np.ones((16, 16, 1), np.uint8))
    for name in ("a.jpg", "b.jpeg"):
        write_picture(tmp_path / name, smooth)
        read = np.asarray(Image.open(tmp_path / name)).astype(int)
        assert abs(read - smooth).max() <= 6
    assert len(list(tmp_path.iterdir())) == 5


def test_write_picture_refuses_other_suffixes(tmp_path, colours):
    with pytest.raises(UserError, match=r"a\.tif"):
        write_picture(tmp_path / "a.tif", colours)
    assert not any(tmp_path.iterdir())


def test_failed_write_leaves_nothing_behind(tmp_path, colours):
    with pytest.raises(UserError, match=r"a\.png"):
        write_picture(tmp_path / "missing" / "a.png", colours)
    (tmp_path / "b.png").mkdir()
    with pytest.raises(UserError, match=r"b\.png"):
        write_picture(tmp_path / "b.png", colours)
    assert [path.name for path in tmp_path.iterdir()] == ["b.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_full_disk_keeps_the_old_picture(tmp_path, rng):
    import resource

    old = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    write_picture(tmp_path / "a.png", old)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(UserError, match=r"a\.png"):
            write_picture(tmp_path / "a.png", rng.integers(0, 256, (300, 300, 3), dtype=np.uint8))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png"), old)
