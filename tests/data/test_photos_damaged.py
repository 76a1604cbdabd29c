"""Sound pictures with damage beside their pixels are read, those with damaged pixels refused."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from minispiral.data.jpeg import has_all_scans
from minispiral.data.masks import read_mask
from minispiral.data.photos import read_photo
from minispiral.errors import UserError

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind, data, right=True):
    check = zlib.crc32(kind + data) ^ (not right)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def chunks(file):
    """The kinds and data of the chunks of a PNG file."""
    at = len(SIGNATURE)
    while at < len(file):
        length, kind = struct.unpack_from(">I4s", file, at)
        yield kind, file[at + 8 : at + 8 + length]
        at += 12 + length


def saved(image, **options):
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()


@pytest.fixture
def colours(rng):
    h, w = rng.integers(30, 60, 2)
    return rng.integers(0, 256, (h, w, 3), dtype=np.uint8)


@pytest.fixture
def smooth(rng):
    """A picture that JPEG keeps well, of an odd size."""
    coarse = rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((131, 97), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt", "iTXt zip", "iCCP", "many"])
@pytest.mark.parametrize("place", ["before", "after"])
def test_png_with_megabytes_of_metadata(tmp_path, rng, colours, kind, place):
    text = rng.integers(97, 123, 3_000_000, dtype=np.uint8).tobytes()
    data = {
        "tEXt": [(b"tEXt", b"Comment\0" + text)],
        "zTXt": [(b"zTXt", b"Comment\0\0" + zlib.compress(text))],
        "iTXt": [(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + text)],
        "iTXt zip": [(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(2 * 10**8)))],
        "iCCP": [(b"iCCP", b"profile\0\0" + zlib.compress(text))],
        "many": [(b"zTXt", b"k\0\0" + zlib.compress(text[:1_000_000], 1))] * 80,
    }[kind]
    extra = b"".join(chunk(*entry) for entry in data)
    (head, header), *rest = chunks(saved(Image.fromarray(colours), format="PNG"))
    body = b"".join(chunk(*entry) for entry in rest[:-1])
    parts = [extra, body] if place == "before" else [body, extra]
    file = SIGNATURE + chunk(head, header) + b"".join(parts) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(file)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png"), colours)


@pytest.mark.parametrize(
    "kind", ["tEXt", "zTXt", "iTXt", "tIME", "pHYs", "gAMA", "iCCP", "eXIf", "sRGB", "prVt"]
)
def test_wrong_checksum_of_png_metadata(tmp_path, rng, colours, kind):
    first, *rest = chunks(saved(Image.fromarray(colours), format="PNG"))
    bad = chunk(kind.encode(), rng.bytes(50), right=False)
    for before in (True, False):
        parts = [chunk(*entry) for entry in rest]
        parts.insert(0 if before else len(parts) - 1, bad)
        (tmp_path / "a.png").write_bytes(SIGNATURE + chunk(*first) + b"".join(parts))
        np.testing.assert_array_equal(read_photo(tmp_path / "a.png"), colours)


@pytest.mark.parametrize("kind", ["IHDR", "PLTE", "IDAT", "tRNS", "idAT", "pLTE", "trNS", "ABCD"])
def test_wrong_checksum_of_what_is_shown(tmp_path, rng, kind):
    image = Image.fromarray(rng.integers(0, 9, (20, 30), dtype=np.uint8), "P")
    image.putpalette(rng.integers(0, 256, 27, dtype=np.uint8).tobytes())
    entries = list(chunks(saved(image, format="PNG", transparency=3)))
    if kind not in {k.decode() for k, _ in entries}:
        alike = next(
            (k for k, (name, _) in enumerate(entries) if name.upper() == kind.upper().encode()), 1
        )
        entries[alike] = (kind.encode(), entries[alike][1])
    parts = [chunk(k, data, right=k != kind.encode()) for k, data in entries]
    (tmp_path / "a.png").write_bytes(SIGNATURE + b"".join(parts))
    for read in (read_photo, read_mask):
        with pytest.raises(UserError, match=rf"a\.png .*{kind} chunk has a wrong checksum"):
            read(tmp_path / "a.png")


@pytest.mark.parametrize("orientation", [1, 6])
def test_wrong_checksum_of_exif_matters_if_it_turns(tmp_path, colours, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    entries = chunks(saved(Image.fromarray(colours), format="PNG", exif=exif))
    parts = [chunk(kind, data, right=kind != b"eXIf") for kind, data in entries]
    (tmp_path / "a.png").write_bytes(SIGNATURE + b"".join(parts))
    if orientation == 1:
        np.testing.assert_array_equal(read_photo(tmp_path / "a.png"), colours)
    else:
        with pytest.raises(UserError, match="eXIf chunk has a wrong checksum"):
            read_photo(tmp_path / "a.png")


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("length", [0, 3_000_000])
def test_orientation_in_xmp_of_png(tmp_path, colours, zipped, length):
    info = PngImagePlugin.PngInfo()
    xmp = 'a tiff:Orientation="6"' + " " * length
    info.add_itxt("XML:com.adobe.xmp", xmp, zip=zipped)
    Image.fromarray(colours).save(tmp_path / "a.png", pnginfo=info)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png"), np.rot90(colours, -1))
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png", as_stored=True), colours)


@pytest.mark.parametrize("kind", ["png", "jpg", "gif", "webp", "bmp", "tif"])
def test_garbage_behind_the_end(tmp_path, rng, colours, kind):
    whole = saved(Image.fromarray(colours), format={"jpg": "jpeg", "tif": "tiff"}.get(kind, kind))
    (tmp_path / f"a.{kind}").write_bytes(whole)
    expected = read_photo(tmp_path / f"a.{kind}")
    for extra in (b"\0", b"\xff\xd8\xff", rng.bytes(3), rng.bytes(5000)):
        (tmp_path / f"a.{kind}").write_bytes(whole + extra)
        np.testing.assert_array_equal(read_photo(tmp_path / f"a.{kind}"), expected)


def test_png_without_its_end(tmp_path, rng, colours):
    whole = saved(Image.fromarray(colours), format="PNG")
    for missing in (1, 4, 7, 12):
        (tmp_path / "a.png").write_bytes(whole[:-missing])
        np.testing.assert_array_equal(read_photo(tmp_path / "a.png"), colours)
    for missing in (13, 16, 17, 40, *rng.integers(41, len(whole) - 50, 10)):
        (tmp_path / "a.png").write_bytes(whole[:-missing])
        with pytest.raises(UserError, match=r"a\.png .*(ends inside|truncated)"):
            read_photo(tmp_path / "a.png")


def test_png_without_its_last_pixels(tmp_path, colours):
    *entries, _ = chunks(saved(Image.fromarray(colours), format="PNG"))
    data = b"".join(data for kind, data in entries if kind == b"IDAT")
    for end in (len(data) // 2, len(data) - 30):
        file = SIGNATURE + chunk(*entries[0]) + chunk(b"IDAT", data[:end]) + chunk(b"IEND", b"")
        (tmp_path / "a.png").write_bytes(file)
        with pytest.raises(UserError, match=r"a\.png .*truncated"):
            read_photo(tmp_path / "a.png")


JPEG_KINDS = {
    "baseline": {"quality": 90},
    "progressive": {"quality": 90, "progressive": True},
    "optimised": {"quality": 60, "optimize": True, "subsampling": 2},
    "restarts": {"quality": 80, "restart_marker_blocks": 3},
    "progressive restarts": {"quality": 80, "restart_marker_rows": 1, "progressive": True},
    "sampled": {"quality": 100, "subsampling": 0},
}


@pytest.mark.parametrize("kind", JPEG_KINDS)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_without_its_end_marker(tmp_path, smooth, kind, mode):
    whole = saved(smooth.convert(mode), format="JPEG", **JPEG_KINDS[kind])
    (tmp_path / "a.jpg").write_bytes(whole)
    expected = read_photo(tmp_path / "a.jpg")
    assert has_all_scans(whole)
    for missing in (1, 2):
        (tmp_path / "a.jpg").write_bytes(whole[:-missing])
        np.testing.assert_array_equal(read_photo(tmp_path / "a.jpg"), expected)


@pytest.mark.parametrize("kind", JPEG_KINDS)
def test_jpeg_without_its_last_pixels(tmp_path, rng, smooth, kind):
    whole = saved(smooth, format="JPEG", **JPEG_KINDS[kind])
    marks = [k for k in range(len(whole) - 1) if whole[k] == 255 and whole[k + 1] not in (0, 255)]
    scan = whole.index(b"\xff\xda")
    ends = {
        *(m + d for m in marks if m > scan for d in (0, 1, 2)),
        *rng.integers(50, len(whole), 20),
    }
    ends |= {len(whole) - missing for missing in (5, 6, 8, 12, 20, 100)}
    for end in sorted(ends):
        if end >= len(whole) - 4:  # the last byte may be padding alone
            continue
        (tmp_path / "a.jpg").write_bytes(whole[:end])
        with pytest.raises(UserError, match=r"a\.jpg"):
            read_photo(tmp_path / "a.jpg")


def test_mpo(tmp_path, smooth):
    whole = saved(smooth, format="MPO", save_all=True, append_images=[smooth.rotate(180)])
    alone = saved(smooth, format="JPEG")
    (tmp_path / "a.jpg").write_bytes(alone)
    expected = read_photo(tmp_path / "a.jpg")
    for end in (None, -2, -200):  # the first picture is whole
        (tmp_path / "a.mpo").write_bytes(whole[:end])
        np.testing.assert_array_equal(read_photo(tmp_path / "a.mpo"), expected)


def test_orientation_of_a_jpeg_without_its_end(tmp_path, smooth):
    exif = Image.Exif()
    exif[0x0112] = 8
    whole = saved(smooth, format="JPEG", exif=exif)
    (tmp_path / "a.jpg").write_bytes(whole)
    expected = read_photo(tmp_path / "a.jpg")
    assert expected.shape == (131, 97, 3)
    (tmp_path / "a.jpg").write_bytes(whole[:-2])
    np.testing.assert_array_equal(read_photo(tmp_path / "a.jpg"), expected)


def test_pillow_is_left_as_it_was(tmp_path, colours):
    (tmp_path / "a.jpg").write_bytes(saved(Image.fromarray(colours), format="JPEG")[:-2])
    before = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK
    read_photo(tmp_path / "a.jpg")
    after = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK
    assert before == after
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
