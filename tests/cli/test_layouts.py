"""How photographs and masks lie: suffixes of masks, subfolders, pictures as stored."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minispiral.runs.checkpoint import load
from minispiral.training.config import TrainConfig
from tests.small import TABLES, TRAINING, command, files_of, make_photo, refusal, write_pair


def lay_out(plain: Path, folder: Path, suffix: str) -> Path:
    """The dataset ``plain`` once more, each pair in a subfolder, masks with ``suffix``."""
    for part, more in (("images", ""), ("masks", suffix)):
        for k, path in enumerate(sorted((plain / part).iterdir())):
            place = folder / part / f"site {k}" / f"{path.stem}{more}{path.suffix}"
            place.parent.mkdir(parents=True)
            place.write_bytes(path.read_bytes())
    return folder


def test_a_layout_changes_nothing_but_names_and_is_kept_for_the_resumed_run(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    plain = tmp_path / "plain"
    for name in "abc":
        write_pair(plain, name, *make_photo(rng, 45, 70))
    other = lay_out(plain, tmp_path / "other", "_mask")
    layout = ["--mask-suffix", "_mask", "--recursive"]
    for data, run, more in ((plain, "one", []), (other, "two", layout)):
        words = ["train", data, "--val", data, "--out", tmp_path / run, *TRAINING, *more]
        assert command(*words).exit_code == 0
    config = json.loads((tmp_path / "two" / "config.json").read_text())
    assert (config["mask_suffix"], config["recursive"]) == ("_mask", True)
    for run in ("one", "two"):
        result = command("train", "--out", tmp_path / run, "--resume", "--steps", 9)
        assert result.exit_code == 0, result.stderr
    ends = [load(tmp_path / run / "last.safetensors").tensors for run in ("one", "two")]
    for name, tensor in ends[0].items():
        np.testing.assert_array_equal(tensor, ends[1][name], err_msg=name)
    assert {path.name for path in (tmp_path / "two" / "samples").glob("*/*.jpg")} == {
        "a.jpg",
        "b.jpg",
        "c.jpg",
    }

    scores = []
    for data, more in ((plain, []), (other, layout)):
        result = command("evaluate", tmp_path / "one", data, "--json", *more)
        assert result.exit_code == 0, result.stderr
        scores.append(json.loads(result.stdout))
    assert [photo.pop("name") for photo in scores[1]["photos"]] == [
        "site 0/a",
        "site 1/b",
        "site 2/c",
    ]
    assert [photo.pop("name") for photo in scores[0]["photos"]] == ["a", "b", "c"]
    assert scores[0] == scores[1]


def test_the_options_that_are_missing_are_named(
    trained: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    write_pair(tmp_path / "plain", "a", *make_photo(rng, 45, 70))
    suffixed = tmp_path / "plain" / "masks"
    (suffixed / "a.png").rename(suffixed / "a-gt.png")
    words = ["evaluate", trained / "run", tmp_path / "plain", "--device", "cpu"]
    assert "called NAME-gt; rename them as the photographs or change --mask-suffix." in refusal(
        command(*words)
    )
    assert command(*words, "--mask-suffix", "-gt").exit_code == 0
    folder = lay_out(tmp_path / "plain", tmp_path / "deep", "")
    words[2] = folder
    assert refusal(command(*words, "--mask-suffix", "-gt")).endswith("images/; add --recursive.")
    assert command(*words, "--mask-suffix", "-gt", "--recursive").exit_code == 0
    words = ["detect", trained / "run", folder / "images", "--out", tmp_path / "out"]
    assert refusal(command(*words, "--device", "cpu")).endswith("subfolders; add --recursive.")


def test_a_config_without_these_options_has_their_defaults() -> None:
    values = TrainConfig(data="photos").as_dict()
    older = {name: values[name] for name in values if name not in ("mask_suffix", "as_stored")}
    del older["recursive"]
    assert TrainConfig.from_dict(older).as_dict() == values


def test_detections_lie_as_the_photographs_do(
    trained: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    for k in (100, 101):
        place = tmp_path / "DCIM" / f"{k}MEDIA" / "DJI_0001.JPG"
        place.parent.mkdir(parents=True)
        Image.fromarray(make_photo(rng, 30 + k % 100, 40)[0]).save(place)
    (tmp_path / "DCIM" / "100MEDIA" / "flight.mpg").touch()
    kinds = ("mask.png", "overlay.jpg", "probability.png")
    results = {f"{k}MEDIA/DJI_0001.{kind}" for k in (100, 101) for kind in kinds}
    for n, words in enumerate((["--recursive"], ["101MEDIA"], ["*MEDIA/*.JPG"], ["*"])):
        names = {"--recursive": ["."], "101MEDIA": ["100MEDIA", "101MEDIA"]}.get(words[0], words)
        out = tmp_path / f"out {n}"
        photos = [tmp_path / "DCIM" / name for name in names]
        result = command(
            "detect", trained / "run", *photos, "--out", out, "--json", *words[: n == 0]
        )
        assert result.exit_code == 0, result.stderr
        assert set(files_of(out)) == results | TABLES
        for photo in json.loads(result.stdout)["photos"]:
            with Image.open(photo["photo"]) as source, Image.open(photo["mask"]) as mask:
                assert source.size == mask.size


@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
def test_pictures_as_they_are_stored(
    orientation: int, trained: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    photo, mask = make_photo(rng, 45, 70)
    write_pair(tmp_path / "data", "a", photo, mask)
    place = tmp_path / "data" / "images" / "a.png"
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = {}
    for turned in (False, True):
        if turned:
            Image.fromarray(photo).save(place, exif=exif)
        words = ["evaluate", trained / "run", tmp_path / "data", "--json"]
        result = command(*words, *(["--as-stored"] if turned else []))
        found[turned] = json.loads(result.stdout)
        words = ["detect", trained / "run", place, "--out", tmp_path / f"out {turned}"]
        assert command(*words, *(["--as-stored"] if turned else [])).exit_code == 0
        words = ["inspect", trained / "run", place, "--out", tmp_path / f"maps {turned}.png"]
        assert command(*words, *(["--as-stored"] if turned else [])).exit_code == 0
    assert found[True] == found[False]
    assert files_of(tmp_path / "out True").keys() == files_of(tmp_path / "out False").keys()
    maps = [Image.open(tmp_path / f"out {turned}" / "a.probability.png") for turned in found]
    np.testing.assert_array_equal(np.asarray(maps[0]), np.asarray(maps[1]))
    pictures = files_of(tmp_path)
    assert pictures["maps True.png"] == pictures["maps False.png"]
    words = ["train", tmp_path / "data", "--out", tmp_path / "run", *TRAINING, "--as-stored"]
    assert command(*words).exit_code == 0
    assert load(tmp_path / "run" / "last.safetensors").config["as_stored"] is True


def test_a_name_too_long_for_a_sample_does_not_end_a_run(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    for name in ("a", "x" * 251):
        write_pair(tmp_path / "data", name, *make_photo(rng, 45, 70))
    result = command("train", tmp_path / "data", "--out", tmp_path / "run", *TRAINING)
    assert result.exit_code == 0, result.stderr
    names = {path.name for path in (tmp_path / "run" / "samples").iterdir()}
    assert names == {"a.jpg", "photograph 2.jpg"}
