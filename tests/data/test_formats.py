"""One rule says which files are pictures; HEIC is read, or named."""

import builtins
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minispiral.data.formats import files_in, is_picture, same_name
from minispiral.data.photos import read_mask, read_photo
from minispiral.errors import UserError

pillow_heif = pytest.importorskip("pillow_heif")

PICTURES = (
    "a.jpg a.JPEG a.png a.tif a.TIFF a.bmp a.gif a.webp a.jp2 a.ppm a.tga a.HEIC a.heif a.hif"
)
OTHERS = (
    "a.pdf a.mpg a.mpeg a.h5 a.hdf a.grib a.bufr a.wmf a.emf a.txt a.csv a.json a.mp4 a.dng a.srt "
    "Thumbs.db desktop.ini a a. .jpg ._a.jpg .hidden.png a.jpg.part a.jpg~"
)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_what_is_a_picture(tmp_path: Path) -> None:
    touch(tmp_path, *PICTURES.split(), *OTHERS.split())
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "linked.jpg").symlink_to(tmp_path / "a.jpg")
    found = {path.name for path in tmp_path.iterdir() if is_picture(path)}
    assert found == {*PICTURES.split(), "gone.jpg", "linked.jpg"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_is_no_picture(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    assert not is_picture(tmp_path / "a.png")


def test_folders_are_searched_in_order_and_once(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.jpg", "b/1.jpg", "z.jpg", "a/c/x.jpg", ".git/1.jpg", "@eaDir/1.jpg")
    touch(tmp_path, "Thumbs.db", "a/desktop.ini", "a/.DS_Store", "__MACOSX/b/._1.jpg")
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    names = [str(path.relative_to(tmp_path)) for path in files_in(tmp_path, recursive=True)]
    assert names == ["z.jpg", "a/c/x.jpg", "b/1.jpg", "b/2.jpg"]
    assert [path.name for path in files_in(tmp_path)] == ["z.jpg"]


@pytest.mark.parametrize("name", ["Brücke", "한국어", "ガラス", "Å é", "плита й", "plain"])
def test_the_spellings_of_a_name_are_one(name: str) -> None:
    spellings = {unicodedata.normalize(form, name) for form in ("NFC", "NFD")}
    assert {same_name(spelled) for spelled in spellings} == {unicodedata.normalize("NFC", name)}


def test_a_name_read_in_the_c_locale_is_taken_as_utf_8() -> None:
    undecoded = "Brücke".encode().decode("ascii", "surrogateescape")
    assert same_name(undecoded) == "Brücke"
    assert same_name("raw\udcff") == "raw\udcff"


def write_heic(path: Path, rng: np.random.Generator, brand: bytes = b"heic") -> Image.Image:
    """A smooth picture as HEIC, whose file begins with ``brand``."""
    rows = np.linspace(0, 200, 64)[:, np.newaxis, np.newaxis]
    colour = rng.integers(20, 56, 3)
    picture = Image.fromarray((rows + colour + np.zeros((64, 96, 3))).astype(np.uint8))
    with path.open("wb") as file:
        pillow_heif.from_pillow(picture).save(file, quality=95)
    data = bytearray(path.read_bytes())
    assert data[8:12] == b"heic"
    data[8:12] = brand
    path.write_bytes(data)
    return picture


@pytest.mark.parametrize("name", ["a.heic", "IMG_1.HEIC", "named wrongly.jpg", "no suffix"])
@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_heic_is_read(name: str, brand: bytes, tmp_path: Path, rng: np.random.Generator) -> None:
    picture = write_heic(tmp_path / name, rng, brand)
    found = read_photo(tmp_path / name)
    assert found.shape == (64, 96, 3)
    assert np.abs(found.astype(int) - np.asarray(picture)).mean() < 4


def test_a_mask_in_heic_is_taken_as_lossy(tmp_path: Path) -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[20:40] = 255
    picture = Image.fromarray(mask).convert("RGB")
    with (tmp_path / "a.heic").open("wb") as file:
        pillow_heif.from_pillow(picture).save(file, quality=95)
    found = read_mask(tmp_path / "a.heic")
    np.testing.assert_array_equal(found, mask > 0)


@pytest.mark.parametrize("name", ["a.heic", "named wrongly.jpg"])
def test_heic_without_pillow_heif_is_named(
    name: str, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_heic(tmp_path / name, rng)
    real = builtins.__import__

    def missing(module: str, *rest: object, **named: object) -> object:
        if module == "pillow_heif":
            raise ImportError(module)
        return real(module, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", missing)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    monkeypatch.setattr(Image, "ID", [known for known in Image.ID if known != "HEIF"])
    with pytest.raises(UserError, match=r"HEIC format.*pillow-heif.*minispiral\[heic\]") as error:
        read_photo(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)


def test_what_only_claims_to_be_heic_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(b"no picture at all")
    (tmp_path / "b.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(12))
    for name in ("a.heic", "b.heic"):
        with pytest.raises(UserError, match=name):
            read_photo(tmp_path / name)
