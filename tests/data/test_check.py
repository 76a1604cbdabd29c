"""Whatever is wrong or doubtful about a dataset is found, and nothing else."""

import io
import json
import os
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from minispiral.data.alignment import alignment
from minispiral.data.check import check
from minispiral.data.doubts import Dataset, in_short
from minispiral.data.problems import Problem
from minispiral.data.sharpness import sharpness
from minispiral.data.similarity import near_duplicates, signature
from minispiral.data.synth import write_dataset
from minispiral.errors import UserError
from tests.campaign.damage import png_chunk
from tests.small import write_pair

H, W = 150, 210


def surface(rng, height=H, width=W):
    """Stains of many sizes and grain, as on concrete, around 170."""
    picture = np.full((height, width), 170.0)
    for side in (4, 9, 20, 45):
        coarse = rng.normal(0, 60 / side**0.5, (side, side))
        picture += np.asarray(Image.fromarray(coarse.astype(np.float32)).resize((width, height), 2))
    return picture + rng.normal(0, 4, picture.shape)


def grain(rng, height=H, width=W):
    """A surface without stains, on which chance alone makes no line."""
    return 170 + rng.normal(0, 12, (height, width))


def pair(rng, height=H, width=W, surface=surface):
    """A photograph with an oblique dark line, which no turn or mirror image leaves in place."""
    line = Image.new("L", (width, height))
    y = rng.uniform(0.1, 0.3, 3) * height
    ends = [(0.05 * width, y[0]), (0.4 * width, y[1]), (0.9 * width, 0.3 * height + y[2])]
    ImageDraw.Draw(line).line(ends, 255, 3)
    mask = np.asarray(line) > 0
    photo = surface(rng, height, width)
    photo[mask] -= 70
    return np.clip(photo, 0, 255).astype(np.uint8)[..., np.newaxis].repeat(3, 2), mask


def dataset(folder, rng, photos=6):
    for k in range(photos):
        write_pair(folder, f"p{k}", *pair(rng))
    return folder


def kinds(found):
    return sorted((Path(p.file).name, p.kind) for p in found.problems)


def test_nothing_is_said_of_a_sound_dataset(tmp_path, rng):
    data, val = dataset(tmp_path / "data", rng), dataset(tmp_path / "val", rng, 4)
    steps = []
    found = check(data, val, progress=lambda done, total: steps.append((done, total)))
    assert found.problems == []
    assert steps == [(k, 10) for k in range(1, 11)]
    masks = [np.asarray(Image.open(path)) > 0 for path in sorted((data / "masks").iterdir())]
    assert found.as_dict()["crack_share"] == pytest.approx(np.mean(masks), rel=1e-12)
    photo = found.as_dict()["data"]["photos"][2]
    assert photo["crack_pixels"] == masks[2].sum()
    assert (photo["width"], photo["height"]) == (W, H)
    assert (photo["photo_mode"], photo["mask_values"]) == ("RGB", [0, 255])
    assert found.as_dict()["data"]["sizes"] == {f"{W} x {H}": 6}
    assert found.data.dataset.summary() == (
        f"6 photographs, {6 * H * W / 1e6:.3g} megapixels, {100 * np.mean(masks):.2g} % crack"
    )


def test_little_is_said_of_synthetic_concrete(tmp_path, rng):
    """A faint crack beside a strong joint may look like a mask that lies beside its crack."""
    write_dataset(tmp_path, 8, (512, 384), int(rng.integers(1000)))
    kinds = [p.kind for p in check(tmp_path).problems if p.kind != "no crack"]
    assert kinds in ([], ["beside"])


def test_files_that_are_no_pairs_are_errors_and_the_others_are_checked(tmp_path, rng):
    data = dataset(tmp_path, rng)
    shutil.copy(data / "images/p0.png", data / "images/lonely.png")
    shutil.copy(data / "masks/p0.png", data / "masks/alone.png")
    Image.open(data / "images/p1.png").save(data / "images/p1.bmp")
    Image.new("L", (W, H + 1)).save(data / "masks/p2.png")
    damaged = data / "images/p3.png"
    damaged.write_bytes(damaged.read_bytes()[:3000])
    (data / "masks/p4.png").write_bytes(b"nothing")
    found = check(data)
    assert sorted((Path(p.file).name, p.kind) for p in found.errors) == [
        ("alone.png", "no photograph"),
        ("lonely.png", "no mask"),
        ("p1.png", "same stem"),
        ("p2.png", "unusable"),
        ("p3.png", "unusable"),
        ("p4.png", "unusable"),
    ]
    assert found.warnings == []
    assert len(found.data.dataset.pairs) == 3


@pytest.mark.parametrize("made", [(), ("images",), ("images", "masks")])
def test_where_there_is_nothing_to_check(tmp_path, made):
    for part in made:
        (tmp_path / part).mkdir()
    with pytest.raises(UserError, match=r"no folder|no pictures"):
        check(tmp_path)


def test_a_set_of_unusable_files_has_errors_and_no_share(tmp_path):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "a.png").write_bytes(b"nothing")
    found = check(tmp_path, tmp_path)
    assert [p.kind for p in found.errors] == ["unusable"]
    assert found.as_dict()["crack_share"] == 0


def test_masks_without_and_with_too_much_crack(tmp_path, rng):
    data = dataset(tmp_path, rng, 3)
    for name, rows in (("empty", 0), ("filled", H // 4), ("inverted", H - 20)):
        photo, mask = pair(rng)
        mask[:] = False
        mask[:rows] = True
        photo[mask] //= 3
        write_pair(data, name, photo, mask)
    found = kinds(check(data))
    assert ("empty.png", "no crack") in found
    assert ("filled.png", "much crack") in found
    assert ("inverted.png", "inverted") in found
    assert not {name for name, _ in found} & {"p0.png", "p1.png", "p2.png"}


def test_no_crack_in_any_mask(tmp_path, rng):
    for k in range(2):
        write_pair(tmp_path, f"p{k}", pair(rng)[0], np.zeros((H, W), bool))
    found = check(tmp_path)
    assert [p.file for p in found.warnings if p.kind == "no crack at all"] == [tmp_path]
    assert not found.errors


TURNED = {
    "turned by 180 degrees": lambda mask: np.rot90(mask, 2),
    "mirrored left to right": np.fliplr,
    "mirrored top to bottom": np.flipud,
    "turned by 90 degrees to the left": lambda mask: np.rot90(mask, 1),
    "turned by 90 degrees to the right": lambda mask: np.rot90(mask, -1),
    "mirrored at its diagonal": np.transpose,
    "mirrored at its other diagonal": lambda mask: np.rot90(mask.T, 2),
}


@pytest.mark.parametrize("how", TURNED)
def test_a_turned_mask_is_told_with_the_turn_that_undoes_it(rng, how):
    photo, mask = pair(rng, 180, 180)
    inverse = {"left": "right", "right": "left"}
    undone = " ".join(inverse.get(word, word) if "90" in how else word for word in how.split())
    assert alignment(photo[..., 1], mask).fits == ""
    found = alignment(photo[..., 1], TURNED[how](mask))
    assert found.beside
    assert found.fits == undone


def test_a_moved_mask_is_told_with_the_move_that_undoes_it(rng):
    photo, mask = pair(rng)
    found = alignment(photo[..., 1], np.roll(mask, (5, -4), (0, 1)))
    assert found.beside
    assert "up" in found.fits or "to the right" in found.fits  # along the line it may slide
    assert "down" not in found.fits or "right" in found.fits
    assert not alignment(photo[..., 1], np.roll(mask, (0, 1), (0, 1))).beside


def test_a_mask_far_from_the_cracks_lies_beside(tmp_path, rng):
    data = dataset(tmp_path, rng)
    photo, mask = pair(rng, 2 * H, 2 * W, grain)  # a mask far off may lie on stains
    write_pair(data, "other", photo, np.roll(mask, H, axis=0))
    assert ("other.png", "beside") in kinds(check(data))


def test_short_masks_are_told_only_where_chance_does_not_explain_them(tmp_path, rng):
    """Of 160 x 120 pixels, one mask in eight is on its crack and seems to lie beside it."""
    write_dataset(tmp_path, 24, (160, 120), int(rng.integers(1000)))
    assert "beside" not in {p.kind for p in check(tmp_path).problems}
    for path in (tmp_path / "masks").iterdir():
        moved = np.roll(np.asarray(Image.open(path)), (6, -6), (0, 1))
        Image.fromarray(moved).save(path)
    assert len([p for p in check(tmp_path).problems if p.kind == "beside"]) > 8


def test_contrast_is_none_where_it_cannot_be_told(rng):
    photo, mask = pair(rng)
    assert alignment(photo[..., 1], np.zeros_like(mask)) is None
    assert alignment(np.full((H, W), 9, np.uint8), mask) is None
    for shape in ((1, 1), (1, 40), (40, 1), (5, 5)):
        picture = rng.integers(0, 255, shape, dtype=np.uint8)
        alignment(picture, np.ones(shape, bool))
        signature(picture)
        sharpness(picture)


def jpeg(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=40)
    return Image.open(file)


EDITED = {
    "the same": lambda image: image,
    "JPEG": jpeg,
    "half the size": lambda image: image.resize((W // 2, H // 2)),
    "twice the size": lambda image: image.resize((2 * W, 2 * H)),
    "squeezed": lambda image: image.resize((W, H // 2)),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "upside down": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "turned": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "transposed and JPEG": lambda image: jpeg(image.transpose(Image.Transpose.TRANSVERSE)),
    "brighter": lambda image: image.point(lambda v: v * 0.8 + 30),
    "gamma": lambda image: image.point(lambda v: 255 * (v / 255) ** 0.7),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(1.5)),
    "cropped by 2 %": lambda image: image.crop((2, 1, W - 2, H - 2)),
    "stamped": lambda image: Image.composite(image, Image.new("L", image.size), stamp()),
}


def stamp():
    area = Image.new("L", (W, H), 255)
    ImageDraw.Draw(area).rectangle((W - 45, H - 12, W - 5, H - 5), 0)
    return area


@pytest.mark.parametrize("edit", EDITED)
def test_an_edited_copy_is_a_near_duplicate_and_nothing_else_is(rng, edit):
    pictures = [np.clip(surface(rng), 0, 255).astype(np.uint8) for _ in range(12)]
    signatures = np.array([signature(picture) for picture in pictures])
    assert near_duplicates(signatures) == []
    k = int(rng.integers(len(pictures)))
    copy = signature(np.asarray(EDITED[edit](Image.fromarray(pictures[k]))))
    assert [(i, j) for i, j, _ in near_duplicates(signatures, copy[np.newaxis])] == [(k, 0)]
    both = np.concatenate([signatures, copy[np.newaxis]])
    assert [(i, j) for i, j, _ in near_duplicates(both)] == [(k, len(pictures))]


def test_duplicates_within_a_set_and_between_two(tmp_path, rng):
    data, val = dataset(tmp_path / "data", rng, 4), dataset(tmp_path / "val", rng, 3)
    photo, mask = pair(rng)
    write_pair(data, "first", photo, mask)
    write_pair(data, "second", photo[:, ::-1], mask[:, ::-1])
    write_pair(val, "stolen", photo[::-1], mask[::-1], ".jpg")
    assert kinds(check(data, val)) == [("second.png", "duplicate"), ("stolen.jpg", "shared")]


@pytest.mark.parametrize("how", ["path", "dots", "link", "link to images", "copy"])
def test_the_same_folder_twice(tmp_path, rng, how):
    data, other = dataset(tmp_path / "data", rng, 3), tmp_path / "other"
    if how == "path":
        other = data
    elif how == "dots":
        other = tmp_path / "data" / ".." / "data"
    elif how == "link":
        os.symlink(data, other)
    elif how == "link to images":
        other.mkdir()
        for part in ("images", "masks"):
            os.symlink(data / part, other / part)
    else:
        shutil.copytree(data, other)
    found = check(data, other)
    if how == "copy":
        assert [p.kind for p in found.warnings] == ["shared"] * 3
    else:
        assert [(p.file, p.kind) for p in found.warnings] == [(other, "same folder")]


def test_blurry_and_small_photographs(tmp_path, rng):
    data = dataset(tmp_path, rng)
    for name, blur in (
        ("soft", ImageFilter.GaussianBlur(2)),
        ("moved", ImageFilter.Kernel((5, 5), [0] * 10 + [1] * 5 + [0] * 10)),
    ):
        photo, mask = pair(rng)
        write_pair(data, name, np.asarray(Image.fromarray(photo).filter(blur)), mask)
    photo, mask = pair(rng, H // 3, W // 3)
    write_pair(data, "tiny", photo, mask)
    found = kinds(check(data))
    assert ("soft.png", "blurry") in found
    assert ("moved.png", "blurry") in found
    assert ("tiny.png", "small") in found
    assert not {name for name, _ in found} - {"soft.png", "moved.png", "tiny.png"}


def test_sharpness_by_its_formula(rng):
    grey = rng.integers(0, 255, (40, 60), dtype=np.uint8)
    ratios = []
    for g in (grey.astype(float), grey.T.astype(float)):
        near = [(g[y, x + 1] - g[y, x]) ** 2 for y in range(len(g)) for x in range(len(g[0]) - 1)]
        far = [(g[y, x + 4] - g[y, x]) ** 2 for y in range(len(g)) for x in range(len(g[0]) - 4)]
        ratios.append(np.mean(near) / np.mean(far))
    assert sharpness(grey) == pytest.approx(min(ratios), rel=1e-5)
    assert sharpness(np.zeros((9, 9), np.uint8)) is None


@pytest.mark.parametrize("as_stored", [False, True])
def test_exif_is_doubted_only_where_the_mask_is_off_its_crack(tmp_path, rng, as_stored):
    exif = Image.Exif()
    exif[0x112] = 3
    for name, mask_lies_as_stored in (("shown", False), ("stored", True)):
        photo, mask = pair(rng)
        write_pair(tmp_path, name, photo, np.rot90(mask, 2) if mask_lies_as_stored else mask)
        turned = Image.fromarray(np.rot90(photo, 2))
        turned.save(tmp_path / "images" / f"{name}.png", exif=exif)
    found = kinds(check(tmp_path, as_stored=as_stored))
    if as_stored:
        assert found == [("shown.png", "beside")]
    else:
        assert found == [("stored.png", "EXIF"), ("stored.png", "beside")]


@pytest.mark.parametrize("suffix", ["tif", "gif", "webp", "png"])
def test_a_mask_with_more_pages_than_one_is_told(tmp_path, rng, suffix):
    data = dataset(tmp_path, rng, 2)
    first = Image.open(data / "masks/p0.png").convert("RGB")
    (data / "masks/p0.png").unlink()
    other = Image.new("RGB", first.size, (0, 90, 0))
    path = data / "masks" / f"p0.{suffix}"
    first.save(path, save_all=True, append_images=[other, first], lossless=True)
    assert kinds(check(data)) == [(path.name, "pages")]


def test_previews_in_a_file_are_no_pages(tmp_path, rng):
    data = dataset(tmp_path, rng, 2)
    for k, (suffix, kind) in enumerate((("tif", "TIFF"), ("jpg", "MPO"))):
        path = data / "images" / f"p{k}.png"
        photo = Image.open(path)
        small = photo.resize((W // 4, H // 4))
        small.encoderinfo = {"tiffinfo": {254: 1}}
        photo.save(path.with_suffix(f".{suffix}"), kind, save_all=True, append_images=[small])
        path.unlink()
    assert not kinds(check(data))


def test_layouts_of_datasets(tmp_path, rng):
    data = dataset(tmp_path, rng, 2)
    for part in ("images", "masks"):
        (data / part / "pier").mkdir()
        for path in (data / part).glob("*.png"):
            suffix = "_m" * (part == "masks")
            path.rename(data / part / "pier" / f"{path.stem}{suffix}.png")
    found = check(data, mask_suffix="_m", recursive=True)
    assert [pair.name for pair in found.data.dataset.pairs] == ["pier/p0", "pier/p1"]
    (data / "masks/pier/p0_m.png").unlink()
    found = check(data, mask_suffix="_m", recursive=True)
    assert [p.kind for p in found.errors] == ["no mask"]
    assert [pair.name for pair in found.data.dataset.pairs] == ["pier/p1"]


@pytest.mark.parametrize("what", ["long text", "wrong checksum", "no end", "frames", "large"])
def test_whatever_is_read_is_checked(tmp_path, rng, monkeypatch, what):
    """A file whose pixels are read though Pillow alone would refuse it."""
    data = dataset(tmp_path / "data", rng, 2)
    photo, mask = data / "images" / "p0.png", data / "masks" / "p0.png"
    match what:
        case "large":  # as pictures of 180 megapixels are to Pillow
            monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", H * W // 3)
        case "no end":
            for path in (photo, mask):
                Image.open(path).save(path, "JPEG")
                path.write_bytes(path.read_bytes()[:-2])
        case _:
            kind, content = {
                "long text": (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(3_000_000))),
                "wrong checksum": (b"tEXt", b"Comment\0a wall"),
                "frames": (b"fcTL", bytes(26)),
            }[what]
            chunk = png_chunk(kind, content)
            chunk = chunk[:-1] + bytes([chunk[-1] ^ (what == "wrong checksum")])
            for path in (photo, mask):
                sound = path.read_bytes()
                path.write_bytes(sound[:33] + chunk + sound[33:])  # after the header
    found = check(data)
    assert found.errors == []
    rows = found.as_dict()["data"]["photos"]
    assert [row["photo_mode"] for row in rows] == ["RGB", "RGB"]
    assert [row["mask_values"][:1] for row in rows] == [[0], [0]]
    assert rows[0]["mask_values"] == [0, 255] or what == "no end"


def test_infinity_in_a_mask_is_a_word_in_json(tmp_path, rng):
    data = dataset(tmp_path / "data", rng, 1)
    mask = np.asarray(Image.open(data / "masks" / "p0.png"))
    values = np.where(mask > 0, np.float32(np.inf), np.float32(0))
    Image.fromarray(values).save(data / "masks" / "p0.tif")
    (data / "masks" / "p0.png").unlink()
    found = json.loads(json.dumps(check(data).as_dict(), allow_nan=False))
    assert found["data"]["photos"][0]["mask_values"] == [0, "inf"]


def test_many_problems_of_a_kind_are_one_line():
    problems = [Problem(Path(f"{k}.png"), "soft", "is soft") for k in range(30)]
    lines = in_short([*problems, Problem(Path("x.png"), "EXIF", "is turned")])
    assert lines[:2] == ["0.png: is soft", "1.png: is soft"]
    assert len(lines) == 4
    assert "27 others: 3.png, 4.png" in lines[2]
    assert lines[2].endswith("and 7 more)")
    assert lines[3] == "x.png: is turned"
    assert in_short([]) == []


def test_summary_of_nothing():
    assert Dataset(Path(), [], []).summary() == "0 photographs, 0 megapixels, 0 % crack"
