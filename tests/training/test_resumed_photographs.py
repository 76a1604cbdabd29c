"""A resumed run notices photographs and masks that are no longer those it began with."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minispiral.runs.checkpoint import load, save
from tests.small import command, files_of, make_dataset, make_photo, refusal

OPTIONS = ["--depths", "1-2", "--width", "0.06", "--patch", "31", "--batch", "3", "--lr", "0.01"]


@pytest.fixture
def run(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A run of three steps on the photographs in ``data`` and ``val`` beside it."""
    data, val = (make_dataset(tmp_path / name, rng) for name in ("data", "val"))
    words = ["train", data, "--out", tmp_path / "run", "--val", val, *OPTIONS, "--steps", 3]
    assert command(*words).exit_code == 0
    return tmp_path / "run"


def again(run: Path, *words: object) -> list[object]:
    return ["train", *words, "--out", run, "--resume", "--steps", 4]


def other_photograph(folder: Path, rng: np.random.Generator) -> None:
    Image.fromarray(make_photo(rng, 45, 70)[0]).save(folder / "images" / "b.png")


def brighter_photograph(folder: Path, rng: np.random.Generator) -> None:
    photo = np.asarray(Image.open(folder / "images" / "b.png"))
    Image.fromarray(np.maximum(photo, 9) - 7).save(folder / "images" / "b.png")


def mask_moved_by_a_pixel(folder: Path, rng: np.random.Generator) -> None:
    mask = np.asarray(Image.open(folder / "masks" / "b.png"))
    Image.fromarray(np.roll(mask, 1, axis=1)).save(folder / "masks" / "b.png")


def mask_with_one_pixel_elsewhere(folder: Path, rng: np.random.Generator) -> None:
    mask = np.array(Image.open(folder / "masks" / "b.png"))
    crack, rest = (np.argwhere(mask == value) for value in (255, 0))
    mask[tuple(rng.choice(crack))], mask[tuple(rng.choice(rest))] = 0, 255
    Image.fromarray(mask).save(folder / "masks" / "b.png")


def two_photographs_exchanged(folder: Path, rng: np.random.Generator) -> None:
    for part in ("images", "masks"):
        names = [folder / part / name for name in ("a.png", "t.png", "b.png")]
        for old, new in ((0, 1), (2, 0), (1, 2)):
            names[old].rename(names[new])


def renamed_so_that_the_order_changes(folder: Path, rng: np.random.Generator) -> None:
    for part in ("images", "masks"):
        (folder / part / "a.png").rename(folder / part / "z.png")


def masks_exchanged(folder: Path, rng: np.random.Generator) -> None:
    names = [folder / "masks" / name for name in ("a.png", "t.png", "b.png")]
    for old, new in ((0, 1), (2, 0), (1, 2)):
        names[old].rename(names[new])


def mirrored(folder: Path, rng: np.random.Generator) -> None:
    for part in ("images", "masks"):
        picture = np.asarray(Image.open(folder / part / "b.png"))
        Image.fromarray(np.ascontiguousarray(picture[:, ::-1])).save(folder / part / "b.png")


def turned_on_its_side(folder: Path, rng: np.random.Generator) -> None:
    for part in ("images", "masks"):
        picture = np.asarray(Image.open(folder / part / "b.png"))
        turned = np.ascontiguousarray(np.rot90(picture))
        Image.fromarray(turned).save(folder / part / "b.png")


@pytest.mark.parametrize("of", ["data", "val"])
@pytest.mark.parametrize(
    "change",
    [
        other_photograph,
        brighter_photograph,
        mask_moved_by_a_pixel,
        mask_with_one_pixel_elsewhere,
        two_photographs_exchanged,
        renamed_so_that_the_order_changes,
        masks_exchanged,
        mirrored,
        turned_on_its_side,
    ],
)
def test_what_has_changed_is_refused_and_named(
    change: Callable[[Path, np.random.Generator], None],
    of: str,
    run: Path,
    rng: np.random.Generator,
) -> None:
    change(run.with_name(of), rng)
    before = files_of(run)
    sentence = refusal(command(*again(run)))
    assert "other photographs" in sentence
    assert any(f"{of}/images/{name}.png" in sentence for name in "ab")
    assert ("DATA" if of == "data" else "--val") in sentence
    in_order = change not in (two_photographs_exchanged, renamed_so_that_the_order_changes)
    assert ("another order" in sentence) != in_order
    assert {name: files_of(run)[name] for name in before} == before


def metadata_added(folder: Path) -> Path:
    path = folder / "images" / "b.png"
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    Image.open(path).copy().save(path, exif=exif, dpi=(300, 300))
    return folder


def renamed_in_order(folder: Path) -> Path:
    for part in ("images", "masks"):
        (folder / part / "b.png").rename(folder / part / "bridge.png")
    return folder


def saved_in_another_format(folder: Path) -> Path:
    path = folder / "images" / "b.png"
    Image.open(path).save(path.with_suffix(".tif"))
    path.unlink()
    return folder


def mask_of_ones(folder: Path) -> Path:
    path = folder / "masks" / "b.png"
    Image.fromarray(np.asarray(Image.open(path)) // 255).save(path)
    return folder


def moved(folder: Path) -> Path:
    return folder.rename(folder.with_name("moved"))


def copied(folder: Path) -> Path:
    return Path(shutil.copytree(folder, folder.with_name("copied")))


@pytest.mark.parametrize(
    "change",
    [metadata_added, renamed_in_order, saved_in_another_format, mask_of_ones, moved, copied],
)
def test_the_same_pixels_are_resumed(change: Callable[[Path], Path], run: Path) -> None:
    folder = change(run.with_name("data"))
    result = command(*again(run, folder))
    assert result.exit_code == 0, result.stderr
    assert load(run / "last.safetensors").step == 4


def test_a_checkpoint_without_digests_is_resumed_and_has_them_then(
    run: Path, rng: np.random.Generator
) -> None:
    for name in ("last", "best"):
        checkpoint = load(run / f"{name}.safetensors")
        del checkpoint.progress["digests"]  # as version 0.1 wrote it
        save(run / f"{name}.safetensors", checkpoint)
    assert command(*again(run)).exit_code == 0
    other_photograph(run.with_name("data"), rng)
    assert "other photographs" in refusal(command(*again(run)[:-1], 5))


def test_validation_photographs_cannot_be_added(tmp_path: Path, rng: np.random.Generator) -> None:
    data = make_dataset(tmp_path / "data", rng)
    run = tmp_path / "run"
    assert command("train", data, "--out", run, *OPTIONS, "--steps", 3).exit_code == 0
    assert "val was not given and is now 3 photographs" in refusal(
        command(*again(run), "--val", data)
    )
