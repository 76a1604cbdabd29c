"""Masks of every kind are read as they are seen, and what is doubtful is said."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from minispiral.data.masks import examine_mask, read_mask
from minispiral.data.photos import read_photo
from minispiral.errors import UserError
from tests.data.picture_files import grey_tiff, tiff


@pytest.fixture
def line(rng):
    """A crack on black, "L", of an odd size."""
    w, h = (int(n) for n in rng.integers(150, 250, 2))
    mask = Image.new("L", (w, h))
    points = [(int(x), int(y)) for x, y in rng.integers(0, 150, (5, 2))]
    ImageDraw.Draw(mask).line(points, fill=255, width=int(rng.integers(2, 5)))
    return mask


@pytest.fixture
def truth(line):
    return np.asarray(line) > 0


def kinds(path):
    mask, problems = examine_mask(path)
    np.testing.assert_array_equal(mask, read_mask(path))
    for problem in problems:
        assert problem.file == path
        assert not problem.error
        assert problem.text
    return {problem.kind for problem in problems}


def indexed(truth, colours, first=0, second=1):
    """A palette picture with index ``second`` on crack."""
    image = Image.fromarray(np.where(truth, second, first).astype(np.uint8), "P")
    image.putpalette(np.array(colours, np.uint8).tobytes())
    return image


# --- palettes


@pytest.mark.parametrize("suffix", ["png", "gif", "tif", "bmp"])
@pytest.mark.parametrize("white_first", [False, True])
def test_black_and_white_palette(tmp_path, truth, suffix, white_first):
    black, white = (0, 0, 0), (255, 255, 255)
    colours = [white, black] if white_first else [black, white]
    path = tmp_path / f"m.{suffix}"
    indexed(truth, colours, int(white_first), int(not white_first)).save(path)
    np.testing.assert_array_equal(read_mask(path), truth)
    assert not kinds(path)


@pytest.mark.parametrize("method", [Image.Quantize.MEDIANCUT, Image.Quantize.FASTOCTREE])
def test_quantised_mask(tmp_path, line, truth, method):
    line.convert("RGB").quantize(2, method).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), truth)
    assert not kinds(tmp_path / "m.png")


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_black_and_white_bmp(tmp_path, truth, bits):
    """Pillow takes them all for 1 bit per pixel."""
    h, w = truth.shape
    per_byte = 8 // bits
    padded = np.zeros((h, -(-w * bits // 32) * 4 * per_byte), np.uint8)
    padded[:, :w] = truth[::-1]
    places = padded.reshape(h, -1, per_byte) << np.arange(8 - bits, -1, -bits)
    data = places.sum(axis=2).astype(np.uint8).tobytes()
    info = struct.pack("<IiiHHIIiiII", 40, w, h, 1, bits, 0, len(data), 0, 0, 2, 0)
    head = struct.pack("<2sIHHI", b"BM", 62 + len(data), 0, 0, 62)
    bitmap = info + b"\0\0\0\0\xff\xff\xff\0" + data
    (tmp_path / "m.bmp").write_bytes(head + bitmap)
    (tmp_path / "m.dib").write_bytes(bitmap)
    if bits == 4:
        with pytest.raises(UserError, match=r"m\.bmp is a BMP .* 4 bits"):
            read_mask(tmp_path / "m.bmp")
        return
    for name in ("m.bmp", "m.dib"):
        np.testing.assert_array_equal(read_mask(tmp_path / name), truth)
        np.testing.assert_array_equal(read_photo(tmp_path / name)[..., 0], truth * 255)


def test_near_black_and_near_white_palette(tmp_path, rng, truth):
    black, white = rng.integers(1, 12, 3), rng.integers(240, 256, 3)
    indexed(truth, [white, black], 1, 0).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), truth)


@pytest.mark.parametrize("index", [1, 7, 200])
def test_coloured_crack_on_black(tmp_path, rng, truth, index):
    colours = np.zeros((256, 3), np.uint8)
    colours[index] = rng.permutation([0, 70, 200])
    indexed(truth, colours, 0, index).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), truth)
    colours[[0, index]] = colours[[index, 0]]
    indexed(truth, colours, index, 0).save(tmp_path / "n.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "n.png"), truth)
    assert not kinds(tmp_path / "n.png")


def voc_colours():
    """The colour map of PASCAL VOC: bits of the index, spread over R, G and B."""
    colours = np.zeros((256, 3), np.uint8)
    for index in range(256):
        for bit in range(8):
            colours[index, bit % 3] |= (index >> bit & 1) << (7 - bit // 3)
    assert tuple(colours[1]) == (128, 0, 0)
    assert tuple(colours[255]) == (224, 224, 192)
    return colours


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_voc_palette_and_its_void(tmp_path, rng, truth, suffix):
    index = np.where(truth, rng.integers(1, 4, truth.shape), 0).astype(np.uint8)
    path = tmp_path / f"m.{suffix}"
    image = Image.fromarray(index, "P")
    image.putpalette(voc_colours().tobytes())
    image.save(path)
    np.testing.assert_array_equal(read_mask(path), truth)
    assert not kinds(path)
    around = np.asarray(Image.fromarray(truth).convert("L").resize(truth.shape[::-1])) > 0
    border = np.roll(around, 4, axis=0) & ~truth
    index[border] = 255
    image = Image.fromarray(index, "P")
    image.putpalette(voc_colours().tobytes())
    image.save(path)
    np.testing.assert_array_equal(read_mask(path), truth)
    assert kinds(path) == {"void"}


def test_void_alone_is_no_crack(tmp_path, truth):
    indexed(truth, voc_colours(), 0, 255).save(tmp_path / "m.png")
    assert not read_mask(tmp_path / "m.png").any()
    assert kinds(tmp_path / "m.png") == {"void"}


def test_index_255_in_white_is_crack(tmp_path, truth):
    colours = voc_colours()
    colours[255] = 255
    indexed(truth, colours, 0, 255).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), truth)
    assert not kinds(tmp_path / "m.png")


def test_palette_without_dark_colours(tmp_path, truth):
    """Blue and green: which is background, only the index can tell."""
    indexed(truth, [(30, 60, 200), (40, 200, 60)]).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), truth)
    assert kinds(tmp_path / "m.png") == {"palette"}
    indexed(truth, [(0, 0, 0), (0, 0, 0)]).save(tmp_path / "m.png")  # all black
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), truth)
    assert kinds(tmp_path / "m.png") == {"palette"}


@pytest.mark.parametrize("white_first", [False, True])
@pytest.mark.parametrize("mode", ["P", "RGB"])
def test_colour_on_white(tmp_path, truth, white_first, mode):
    red, white = (220, 20, 40), (255, 255, 255)
    colours = [white, red] if white_first else [red, white]
    image = indexed(truth, colours, int(not white_first), int(white_first))
    image.convert(mode).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), truth)
    assert kinds(tmp_path / "m.png") == {"white"}


def test_empty_masks(tmp_path, truth):
    for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "I;16"):
        path = tmp_path / f"{mode[0]}{len(mode)}.png"
        Image.new(mode, (31, 17)).save(path)
        assert not read_mask(path).any()
        assert kinds(path) <= {"palette"}
    Image.new("L", (31, 17)).save(tmp_path / "m.gif")
    assert not kinds(tmp_path / "m.gif")


# --- inverted and soft masks


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "LA", "RGBA", "I;16"])
def test_inverted(tmp_path, line, truth, mode):
    image = ImageOps.invert(line)
    if mode == "P":
        image = image.convert("RGB").quantize(2)
    elif mode == "I;16":
        image = Image.fromarray(np.asarray(image) * np.uint16(257))
    else:
        image = image.convert(mode)
    image.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), ~truth)
    assert kinds(tmp_path / "m.png") == {"inverted"}
    assert "inverted?" in examine_mask(tmp_path / "m.png")[1][0].text


@pytest.mark.parametrize("quality", [50, 75, 90])
@pytest.mark.parametrize("mode", ["L", "RGB", "GIF"])
def test_jpeg_remains(tmp_path, line, truth, quality, mode):
    lossy = io.BytesIO()
    line.save(lossy, "JPEG", quality=quality)
    path = tmp_path / ("m.gif" if mode == "GIF" else "m.png")
    Image.open(lossy).convert("L" if mode == "GIF" else mode).save(path)
    assert np.count_nonzero(np.asarray(Image.open(path).convert("L"))) > 1.2 * truth.sum()
    mask = read_mask(path)
    assert (mask & truth).sum() / (mask | truth).sum() > 0.97
    assert kinds(path) == {"soft"}


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_in_tiff(tmp_path, line, truth, mode):
    line.convert(mode).save(tmp_path / "m.tif", compression="jpeg", quality=60)
    mask = read_mask(tmp_path / "m.tif")
    assert (mask & truth).sum() / (mask | truth).sum() > 0.97
    assert not kinds(tmp_path / "m.tif")
    line.point(lambda v: v // 12).convert(mode).save(tmp_path / "m.tif", compression="jpeg")
    with pytest.raises(UserError, match="jpeg in TIFF"):
        read_mask(tmp_path / "m.tif")


@pytest.mark.parametrize("resample", ["BILINEAR", "BICUBIC", "LANCZOS", "BOX"])
@pytest.mark.parametrize("factor", [0.43, 1.7])
@pytest.mark.parametrize("wide", [False, True])
def test_resized(tmp_path, line, resample, factor, wide):
    w, h = line.size
    size = int(w * factor), int(h * factor)
    soft = np.asarray(line.resize(size, getattr(Image.Resampling, resample)))
    Image.fromarray(soft * np.uint16(257) if wide else soft).save(tmp_path / "m.png")
    levels = np.unique(soft[soft > 0])
    found = kinds(tmp_path / "m.png")
    if len(levels) == 1:
        assert not found
    else:
        assert found in ({"soft"}, {"values"})
    limit = 128 if found == {"soft"} else 1
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), soft >= limit)


def test_float_probabilities(tmp_path, line):
    soft = np.asarray(line.resize((120, 100), Image.Resampling.LANCZOS)).astype(np.float32) / 255
    Image.fromarray(soft).save(tmp_path / "m.tif")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.tif"), soft >= 128 / 255)
    assert kinds(tmp_path / "m.tif") == {"soft"}


@pytest.mark.parametrize("values", [(127, 255), (1, 255), (85, 170, 255), (1, 2, 3, 255)])
def test_several_values(tmp_path, rng, truth, values):
    image = np.where(truth, rng.choice(values, truth.shape), 0).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), truth)
    assert kinds(tmp_path / "m.png") == {"values"}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
@pytest.mark.parametrize("most", [2, 5, 60])
def test_classes_and_instances_are_all_crack(tmp_path, rng, truth, dtype, most):
    ids = np.where(truth, rng.integers(1, most + 1, truth.shape), 0).astype(dtype)
    Image.fromarray(ids).save(tmp_path / "m.tif")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.tif"), truth)
    assert not kinds(tmp_path / "m.tif")


def test_many_instances(tmp_path, rng, truth):
    ids = np.where(truth, rng.integers(1, 3000, truth.shape), 0).astype(np.uint16)
    Image.fromarray(ids).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), truth)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_smeared_mask_of_which_white_is_not_known(tmp_path, line, bits):
    soft = np.asarray(line.resize((120, 100), Image.Resampling.LANCZOS)).astype(np.uint16)
    Image.fromarray(soft << (bits - 8)).save(tmp_path / "m.tif")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.tif"), soft > 0)
    assert kinds(tmp_path / "m.tif") == {"values"}


def test_a_photograph_is_no_mask(tmp_path, rng):
    photo = Image.fromarray(rng.integers(60, 200, (9, 11), dtype=np.uint8))
    photo.resize((90, 70), Image.Resampling.BICUBIC).save(tmp_path / "m.png")
    assert {"inverted", "values"} <= kinds(tmp_path / "m.png")


def test_what_is_no_number_is_refused(tmp_path, truth):
    values = np.where(truth, np.nan, 0).astype(np.float32)
    (tmp_path / "m.tif").write_bytes(grey_tiff(values))
    with pytest.raises(UserError, match=r"m\.tif holds NaN"):
        read_mask(tmp_path / "m.tif")
    values = np.where(truth, -1, 0).astype(np.int16)
    (tmp_path / "m.tif").write_bytes(grey_tiff(values))
    np.testing.assert_array_equal(read_mask(tmp_path / "m.tif"), truth)
    assert kinds(tmp_path / "m.tif") == {"values"}


# --- one bit


@pytest.mark.parametrize("compression", ["raw", "group4", "packbits", "tiff_lzw"])
@pytest.mark.parametrize("photometric", [0, 1])
def test_one_bit_tiff_of_either_polarity(tmp_path, truth, compression, photometric):
    image = Image.fromarray(truth)
    image.save(tmp_path / "m.tif", compression=compression, tiffinfo={262: photometric})
    stored = Image.open(tmp_path / "m.tif").tag_v2[262]
    shown = np.asarray(Image.open(tmp_path / "m.tif"))
    np.testing.assert_array_equal(read_mask(tmp_path / "m.tif"), shown)
    assert stored in (0, 1)


@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("order", "<>")
def test_one_bit_tiff_by_hand(tmp_path, truth, photometric, order):
    h, w = truth.shape
    bits = np.packbits(truth ^ (photometric == 0), axis=1)
    tags = {256: w, 257: h, 258: 1, 259: 1, 262: photometric, 277: 1, 278: h}
    (tmp_path / "m.tif").write_bytes(tiff(tags, [bits.tobytes()], order))
    np.testing.assert_array_equal(read_mask(tmp_path / "m.tif"), truth)


# --- transparency


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (255, 0, 0)])
@pytest.mark.parametrize("below", [(0, 0, 0), (255, 255, 255), (12, 200, 3)])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_drawn_on_a_transparent_layer(tmp_path, truth, colour, below, mode):
    image = np.empty((*truth.shape, 4), np.uint8)
    image[...], image[truth] = (*below, 0), (*colour, 255)
    path = tmp_path / ("m.png" if mode != "P" else "m.gif")
    if mode == "P":
        indexed(truth, [below, colour]).save(path, transparency=0)
    else:
        Image.fromarray(image).convert(mode).save(path)
    np.testing.assert_array_equal(read_mask(path), truth)
    assert not kinds(path)


def test_soft_brush_on_a_transparent_layer(tmp_path, line, truth):
    size = line.width * 2, line.height * 2
    alpha = line.resize(size, Image.Resampling.BICUBIC)
    image = Image.new("RGBA", size, "red")
    image.putalpha(alpha)
    image.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), np.asarray(alpha) >= 128)
    assert kinds(tmp_path / "m.png") == {"soft"}


def test_black_and_white_on_a_layer_with_holes(tmp_path, rng, truth):
    """Most of it is transparent, a part black with white lines."""
    image = np.zeros((*truth.shape, 4), np.uint8)
    image[..., :3] = 255
    part = np.zeros_like(truth)
    part[: truth.shape[0] // 2 - 1] = True
    image[part] = 0, 0, 0, 255
    image[part & truth] = 255
    part[0, 0], image[0, 0] = False, (255, 255, 255, 0)
    if not (part & truth).any():
        pytest.skip("the line is in the other part")
    Image.fromarray(image).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), part & truth)


def test_erased_crack_shows_as_inverted(tmp_path, truth):
    image = np.full((*truth.shape, 4), 255, np.uint8)
    image[truth, 3] = 0
    Image.fromarray(image).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), ~truth)
    assert kinds(tmp_path / "m.png") == {"inverted"}


@pytest.mark.parametrize("alpha", [0, 255, 100])
def test_alpha_that_says_nothing(tmp_path, truth, alpha):
    image = np.zeros((*truth.shape, 4), np.uint8)
    image[truth, :3], image[..., 3] = 255, alpha
    Image.fromarray(image).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), truth)
    assert not kinds(tmp_path / "m.png")


@pytest.mark.parametrize("mode", ["L", "RGB", "1"])
def test_transparent_colour_of_png(tmp_path, truth, mode):
    """Black lines on white, white declared transparent."""
    image = Image.fromarray(~truth).convert(mode)
    clear = {"L": 255, "1": 1, "RGB": (255, 255, 255)}[mode]
    image.save(tmp_path / "m.png", transparency=clear)
    if "transparency" not in Image.open(tmp_path / "m.png").info:
        pytest.skip("this Pillow does not write it")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), truth)
