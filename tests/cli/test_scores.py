"""``--threshold best`` and the scores of ``evaluate``, as the command line has them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minispiral.data.photos import read_mask, read_photo
from minispiral.detection.evaluate import evaluate
from minispiral.detection.metrics import average_precision
from minispiral.detection.threshold import choose_threshold
from minispiral.errors import UserError
from minispiral.runs.checkpoint import load, load_network, save
from tests.detection.test_augmented import mean_of_eight
from tests.small import TRAINING, command, make_dataset, make_trained, refusal


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Datasets ``data`` and ``val``, and a ``run`` trained with both: not to be changed."""
    folder = tmp_path_factory.mktemp("validated")
    rng = np.random.default_rng()
    make_dataset(folder / "data", rng, 2)
    make_dataset(folder / "val", rng, 2, without_crack=1)
    words = ["train", folder / "data", "--val", folder / "val", "--out", folder / "run", *TRAINING]
    assert command(*words).exit_code == 0
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without validation photographs, and its ``data``."""
    return make_trained(tmp_path_factory.mktemp("alone"), photos=2)


def test_the_best_threshold_is_that_of_ods_on_the_validation_photographs(validated: Path) -> None:
    run, val = validated / "run", validated / "val"
    before = evaluate(run, val)
    assert choose_threshold(run, "best") == (before.ods_threshold, "validation")
    assert choose_threshold(run / "best.safetensors", "best")[0] == before.ods_threshold
    assert choose_threshold(run, 0.25) == (0.25, "given")
    words = ["evaluate", run, val, "--threshold", "best"]
    found = json.loads(command(*words, "--json").stdout)
    assert found["threshold"] == before.ods_threshold
    assert found["threshold_from"] == "validation"
    assert found["pooled_f1"] == found["ods"] == before.ods >= before.pooled_f1
    assert "the best of the validation photographs" in command(*words).stdout
    assert before.as_dict()["threshold_from"] == "given"


def test_detect_says_which_threshold_it_takes(validated: Path, tmp_path: Path) -> None:
    run, photo = validated / "run", validated / "val" / "images" / "a.png"
    best, _ = choose_threshold(run, "best")
    words = ["detect", run, photo, "--out", tmp_path / "best", "--json"]
    result = command(*words, "--threshold", "best")
    found = json.loads(result.stdout)
    assert (found["threshold"], found["threshold_from"]) == (best, "validation")
    assert f"threshold: {best:.9g}" in result.stderr
    given = json.loads(command(*words, "--threshold", repr(best)).stdout)
    assert given["threshold_from"] == "given"
    assert given["photos"][0]["crack_pixels"] == found["photos"][0]["crack_pixels"]
    with Image.open(found["photos"][0]["mask"]) as mask:
        assert np.count_nonzero(mask) == found["photos"][0]["crack_pixels"]


def test_test_time_augmentation_is_recorded_and_its_threshold_doubted(
    validated: Path, tmp_path: Path
) -> None:
    run, photo = validated / "run", validated / "val" / "images" / "a.png"
    words = ["--tta", "--threshold", "best", "--json"]
    scored = command("evaluate", run, validated / "val", *words, "--csv", tmp_path / "a.csv")
    detected = command("detect", run, photo, "--out", tmp_path, *words)
    summary, found = json.loads(scored.stdout), json.loads(detected.stdout)
    for result, recorded in ((scored, summary), (detected, found)):
        assert (recorded["tta"], recorded["threshold_from"]) == (True, "validation")
        assert "was chosen without test-time augmentation" in result.stderr
    with (tmp_path / "a.csv").open(encoding="utf-8-sig", newline="") as file:
        assert {row["tta"] for row in csv.DictReader(file)} == {"True"}
    model = json.loads((tmp_path / "cracks.json").read_text())["model"]
    assert model["network"].endswith("parameters, test-time augmentation")

    network = load_network(run)
    pixels, mask = read_photo(photo), read_mask(validated / "val" / "masks" / "a.png")
    expected = mean_of_eight(network, pixels)
    written = read_photo(found["photos"][0]["probability"])[..., 0]
    np.testing.assert_allclose(written, 255 * expected, rtol=0, atol=0.51)
    ap = average_precision(expected, mask)
    assert summary["photos"][0]["average_precision"] == pytest.approx(ap, abs=1e-3)
    plain = command("evaluate", run, validated / "val", "--tta", "--threshold", 0.5)
    assert "test-time augmentation" not in plain.stderr
    assert "probability with test-time augmentation >= 0.5; zero" in plain.stdout


def test_a_run_without_a_best_threshold_refuses_before_any_work(
    alone: Path, tmp_path: Path
) -> None:
    for words in (
        ("evaluate", alone / "run", alone / "data"),
        ("detect", alone / "run", alone / "data" / "images", "--out", tmp_path / "out"),
    ):
        said = refusal(command(*words, "--threshold", "best"))
        assert "holds no best threshold" in said
        assert "threshold of ODS" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("stored", ["half", -0.5, True, [0.5]])
def test_a_damaged_best_threshold_is_refused(stored: object, alone: Path, tmp_path: Path) -> None:
    checkpoint = load(alone / "run" / "last.safetensors")
    checkpoint.progress["threshold"] = stored
    path = tmp_path / "run.safetensors"
    save(path, checkpoint)
    with pytest.raises(UserError, match="as its best threshold"):
        choose_threshold(path, "best")
    checkpoint.progress["threshold"] = 0.25
    save(path, checkpoint)
    assert choose_threshold(path, "best") == (0.25, "validation")


@pytest.mark.parametrize("how", [[], ["--tolerance", 2], ["--thin", "--tolerance", 2]])
def test_scores_table_and_curves(how: list[object], alone: Path, tmp_path: Path) -> None:
    words = ["evaluate", alone / "run", alone / "data", *how]
    files = ["--csv", tmp_path / "scores.csv", "--plot", tmp_path / "curves.png"]
    found = json.loads(command(*words, *files, "--json").stdout)
    tolerance = 2 if how else 0
    expected = evaluate(alone / "run", alone / "data", tolerance=tolerance, thin="--thin" in how)
    assert found == expected.as_dict()
    assert all(0 <= found[name] <= 1 for name in ("iou", "ods", "ois", "pooled_average_precision"))
    with (tmp_path / "scores.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [float(row["iou"]) for row in csv.DictReader(file)] == [
            photo["iou"] for photo in found["photos"]
        ]
    assert Image.open(tmp_path / "curves.png").width > 1000
    table = command(*words).stdout
    for text in (f"OIS, {found['ois']:.3f}", f"ODS, {found['ods']:.3f}", f"{found['iou']:.3f}"):
        assert text in " ".join(table.split())


def test_what_cannot_be_done_is_said_before_any_work(alone: Path, tmp_path: Path) -> None:
    words = ["evaluate", alone / "run", alone / "data"]
    said = refusal(command(*words, "--plot", tmp_path / "curves.svg"))
    assert said.endswith("change --plot.")
    assert refusal(command(*words, "--csv", tmp_path)).endswith("change --csv.")
    assert "hardly ever meet" in command(*words, "--thin").stderr


def test_exit_codes_are_listed() -> None:
    said = " ".join(command("--help").stdout.split())
    for text in ("Exit codes:", "130"):
        assert text in said
