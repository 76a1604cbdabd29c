"""Bad input: one clear sentence, a non-zero exit, nothing lost. Odd input is read right."""

import json
import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.small import (
    NETWORK,
    TRAINING,
    command,
    files_of,
    make_dataset,
    make_photo,
    refusal,
    write_pair,
)


def missing_folder(data: Path) -> list[str]:
    data.rename(data.with_name("elsewhere"))
    return ["images", "no folder"]


def missing_masks_folder(data: Path) -> list[str]:
    (data / "masks").rename(data / "labels")
    return [str(data / "masks"), "no folder"]


def no_pairs(data: Path) -> list[str]:
    for path in (*data.glob("images/*"), *data.glob("masks/*")):
        path.unlink()
    (data / "images" / "notes.txt").write_text("nothing yet")
    return [str(data), "no pictures"]


def photo_without_mask(data: Path) -> list[str]:
    (data / "masks" / "b.png").unlink()
    return ["no mask for", "b.png"]


def mask_without_photo(data: Path) -> list[str]:
    (data / "images" / "c.png").unlink()
    return ["no photograph for", "c.png"]


def sizes_that_differ(data: Path) -> list[str]:
    Image.new("L", (45, 70)).save(data / "masks" / "b.png")
    return ["b.png", "70 x 45", "45 x 70"]


def same_stem_twice(data: Path) -> list[str]:
    Image.new("RGB", (70, 45)).save(data / "images" / "b.jpg")
    return ["b.jpg", "b.png"]


def truncated_photo(data: Path) -> list[str]:
    truncate(data / "images" / "b.png")
    return [str(data / "images" / "b.png"), "truncated"]


def truncated_mask(data: Path) -> list[str]:
    truncate(data / "masks" / "b.png")
    return [str(data / "masks" / "b.png"), "truncated"]


def corrupt_photo(data: Path) -> list[str]:
    (data / "images" / "b.png").write_bytes(os.urandom(500))
    return [str(data / "images" / "b.png"), "not a picture"]


def empty_photo(data: Path) -> list[str]:
    (data / "images" / "b.png").write_bytes(b"")
    return [str(data / "images" / "b.png"), "not a picture"]


def decompression_bomb(data: Path) -> list[str]:
    (data / "images" / "b.png").write_bytes(bomb(60_000, 60_000))
    return [str(data / "images" / "b.png"), "60000 x 60000"]


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims ``width`` x ``height`` pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1000)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("job", ["train", "validate", "evaluate"])
@pytest.mark.parametrize(
    "spoil",
    [
        missing_folder,
        missing_masks_folder,
        no_pairs,
        photo_without_mask,
        mask_without_photo,
        sizes_that_differ,
        same_stem_twice,
        truncated_photo,
        truncated_mask,
        corrupt_photo,
        empty_photo,
        decompression_bomb,
    ],
)
def test_a_dataset_with_a_flaw_is_refused_by_name(
    spoil: Callable[[Path], list[str]],
    job: str,
    trained: Path,
    tmp_path: Path,
    rng: np.random.Generator,
) -> None:
    data = make_dataset(tmp_path / "spoilt", rng)
    expected = spoil(data)
    before = files_of(tmp_path)
    out = tmp_path / "new"
    words: dict[str, list[object]] = {
        "train": ["train", data, "--out", out, *TRAINING],
        "validate": ["train", trained / "data", "--val", data, "--out", out, *TRAINING],
        "evaluate": ["evaluate", trained / "run", data],
    }
    sentence = refusal(command(*words[job]))
    for part in expected:
        assert part in sentence
    after = {name: content for name, content in files_of(tmp_path).items() if name in before}
    assert after == before
    assert not list(out.glob("*.safetensors"))


def test_a_photograph_smaller_than_the_patch_is_named(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    data = make_dataset(tmp_path / "data", rng)
    write_pair(data, "small", *make_photo(rng, 30, 99))
    sentence = refusal(command("train", data, "--out", tmp_path / "run", *TRAINING))
    assert "small.png" in sentence
    assert "99 x 30" in sentence
    assert "31" in sentence


@pytest.mark.parametrize(
    ("depths", "side", "nearest"),
    [("1-7", 256, [255, 383]), ("1-7", 127, [255]), ("1-2", 10, [11]), ("1-3", 100, [95, 103])],
)
def test_a_side_that_the_depths_cannot_take_names_the_nearest(
    depths: str, side: int, nearest: list[int], tmp_path: Path, rng: np.random.Generator
) -> None:
    data = make_dataset(tmp_path / "data", rng)
    words = ["--depths", depths, "--width", "0.05", "--patch", side]
    for result in (
        command("train", data, "--out", tmp_path / "run", "--steps", 1, *words),
        command("describe", *words),
    ):
        sentence = refusal(result)
        assert {side, *nearest} <= {int(number) for number in re.findall(r"\d+", sentence)}


def test_masks_without_any_crack_are_nothing_to_learn_from(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    data = make_dataset(tmp_path / "data", rng, photos=0, without_crack=2)
    sentence = refusal(command("train", data, "--out", tmp_path / "run", *TRAINING))
    assert "crack" in sentence
    assert str(data / "masks") in sentence


@pytest.mark.parametrize(
    "options",
    [
        ["--steps", "0"],
        ["--epochs", "-1"],
        ["--batch", "0"],
        ["--patches-per-image", "0"],
        ["--lr", "0"],
        ["--lr", "nan"],
        ["--lr", "inf"],
        ["--width", "0"],
        ["--width", "nan"],
        ["--seed", "-1"],
        ["--depths", "1-9"],
        ["--depths", "deep"],
        ["--depths", ""],
    ],
)
def test_an_option_that_cannot_be_is_refused_before_any_work(
    options: list[str], trained: Path, tmp_path: Path
) -> None:
    data, out = trained / "data", tmp_path / "run"
    sentence = refusal(command("train", data, "--out", out, *TRAINING, *options))
    assert options[0].strip("-") in sentence
    assert not out.exists()


def test_cuda_without_a_device_is_refused(trained: Path, tmp_path: Path) -> None:
    words = ["train", trained / "data", "--out", tmp_path / "run", *TRAINING]
    sentence = refusal(command(*words, "--device", "cuda"))
    assert "cuda" in sentence
    assert "cpu" in sentence


def test_pictures_of_every_kind_are_read_right(
    trained: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    grey = make_photo(rng, 45, 70)[0][..., 0]
    photos = tmp_path / "photos"
    photos.mkdir()
    picture = Image.fromarray(grey)
    picture.convert("RGB").save(photos / "rgb.png")
    picture.save(photos / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(photos / "sixteen.png")
    indexed = Image.fromarray(255 - grey, "P")
    indexed.putpalette([value for k in range(256) for value in [255 - k] * 3])
    indexed.save(photos / "palette.png")
    cmyk = np.zeros((*grey.shape, 4), np.uint8)
    cmyk[..., 3] = 255 - grey
    Image.fromarray(cmyk, "CMYK").save(photos / "cmyk.tif")
    picture.convert("RGBA").save(photos / "alpha.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned clockwise by a quarter
    picture.transpose(Image.Transpose.ROTATE_90).save(photos / "turned.png", exif=exif)

    result = command("detect", trained / "run", photos, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    expected = np.asarray(Image.open(tmp_path / "out" / "rgb.probability.png"))
    assert expected.shape == grey.shape
    assert expected.min() < expected.max()
    names = {path.stem for path in photos.iterdir()}
    assert len(names) == 7
    for name in names:
        found = np.asarray(Image.open(tmp_path / "out" / f"{name}.probability.png"))
        np.testing.assert_array_equal(found, expected, err_msg=name)


def test_masks_of_ones_and_turned_pictures_are_trained_on(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    data = make_dataset(tmp_path / "data", rng, photos=1)
    photo, mask = make_photo(rng, 50, 60)
    exif = Image.Exif()
    exif[0x0112] = 8
    turned = Image.fromarray(photo).transpose(Image.Transpose.ROTATE_270)
    turned.save(data / "images" / "turned.jpg", exif=exif)
    Image.fromarray(mask.astype(np.uint8)).save(data / "masks" / "turned.png")
    out = tmp_path / "run"
    assert command("train", data, "--out", out, *TRAINING).exit_code == 0
    result = command("evaluate", out, data, "--json")
    counts = {row["name"]: row["crack_pixels"] for row in json.loads(result.stdout)["photos"]}
    assert counts["turned"] == np.count_nonzero(mask)


@pytest.mark.parametrize(
    ("words", "exit_code"),
    [
        (["trian"], 2),
        (["train"], 2),
        (["train", "DATA"], 2),
        (["train", "DATA", "--out", "RUN", "--loss", "hinge"], 2),
        (["train", "DATA", "--out", "RUN", "--steps", "many"], 2),
        (["evaluate", "RUN", "DATA", "--tolerance", "-1"], 2),
        (["detect", "RUN", "--out", "OUT"], 2),
        (["detect", "RUN", "PHOTO", "--out", "OUT", "--threshold", "1.5"], 2),
        (["detect", "RUN", "PHOTO", "--out", "OUT", "--threshold", "nan"], 1),
        (["describe", "spyral"], 2),
        (["synth", "DIR", "--size", "640"], 2),
        (["synth", "DIR", "--size", "640x480x3"], 2),
        (["synth", "DIR", "--size", "0x480"], 1),
        (["synth", "DIR", "--photos", "0"], 1),
        (["synth", "DIR", "--seed", "-1"], 1),
        (["detect", "RUN", "PHOTO", "--out", "OUT"], 1),
        (["evaluate", "RUN", "DATA"], 1),
        (["describe", *NETWORK, "--connection", "sum", "--patch", "8"], 1),
    ],
)
def test_a_command_that_cannot_be_run_says_so(
    words: list[str], exit_code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = command(*words)
    assert result.exit_code == exit_code
    assert result.stdout == ""
    start = "Error: " if exit_code == 2 else "minispiral: "
    assert [line for line in result.stderr.splitlines() if line.startswith(start)]
    assert not list(tmp_path.iterdir())
