"""The jobs as plain functions: evaluate, detect, describe and the demonstration."""

import dataclasses
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from minispiral.data.photos import read_mask, read_photo
from minispiral.detection.detect import Detection, detect
from minispiral.detection.evaluate import evaluate
from minispiral.detection.metrics import average_precision
from minispiral.detection.photographs import find_photos
from minispiral.detection.tiling import predict
from minispiral.errors import UserError
from minispiral.networks.describe import describe
from minispiral.runs.checkpoint import load, load_network
from minispiral.runs.lock import lock_run
from minispiral.training.demo import demo
from minispiral.training.reporter import Reporter
from tests.small import TINY_DEMO, command, files_of, make_dataset, make_photo, make_trained


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset, ``data``, and a run trained on it, ``run``: not to be changed."""
    return make_trained(tmp_path_factory.mktemp("trained"), photos=3, without_crack=2)


def expected_map(run: Path, photo: Path) -> NDArray[np.float32]:
    return predict(load_network(run), read_photo(photo))


@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_evaluate_scores_each_photograph_and_averages_those_with_cracks(
    threshold: float, trained: Path
) -> None:
    summary = evaluate(trained / "run", trained / "data", threshold=threshold)
    assert [photo.name for photo in summary.photos] == ["a", "b", "c", "d", "e"]
    scores = []
    for name in "abc":
        found = expected_map(trained / "run", trained / "data" / "images" / f"{name}.png")
        mask = read_mask(trained / "data" / "masks" / f"{name}.png")
        hits = np.count_nonzero(mask[found >= threshold])
        precision = hits / max(np.count_nonzero(found >= threshold), 1)
        recall = hits / np.count_nonzero(mask)
        f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
        scores.append([average_precision(found, mask), precision, recall, f1])
    means = [summary.average_precision, summary.precision, summary.recall, summary.f1]
    assert means == pytest.approx(np.mean(scores, axis=0))


def test_evaluate_tells_photographs_without_crack_apart(trained: Path) -> None:
    summary = evaluate(trained / "run", trained / "data", threshold=0.3)
    assert (summary.photos_with_crack, summary.photos_without_crack) == (3, 2)
    alarms = []
    for photo in summary.photos[3:]:
        assert photo.recall is photo.f1 is photo.average_precision is None
        found = expected_map(trained / "run", trained / "data" / "images" / f"{photo.name}.png")
        alarms.append(np.mean(found >= 0.3))
    assert summary.false_alarm_rate_without_crack == pytest.approx(np.mean(alarms))


def test_evaluate_takes_a_set_without_any_crack(
    trained: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    data = make_dataset(tmp_path / "data", rng, photos=0, without_crack=2)
    summary = evaluate(trained / "run", data)
    assert summary.f1 is None
    assert summary.false_alarm_rate_without_crack is not None
    result = command("evaluate", trained / "run", data)
    assert result.exit_code == 0
    assert "average of 2 without crack" in result.stdout


def test_tolerance_takes_detections_beside_a_crack_as_correct(trained: Path) -> None:
    strict = evaluate(trained / "run", trained / "data", threshold=0.3)
    tolerant = evaluate(trained / "run", trained / "data", threshold=0.3, tolerance=3)
    assert tolerant.precision > strict.precision
    assert tolerant.average_precision == strict.average_precision


@pytest.mark.parametrize("threshold", ["0", "0.3", "1"])
def test_evaluate_takes_a_threshold(threshold: str, trained: Path) -> None:
    words = ["evaluate", trained / "run", trained / "data", "--threshold", threshold]
    result = command(*words, "--json")
    expected = evaluate(trained / "run", trained / "data", threshold=float(threshold))
    assert json.loads(result.stdout) == expected.as_dict()
    assert expected.threshold == float(threshold)
    assert f"probability >= {threshold};" in command(*words).stdout


@pytest.mark.parametrize("threshold", ["-0.1", "1.01", "50", "nan", "best-ish"])
def test_evaluate_refuses_a_threshold_that_is_no_probability(threshold: str, trained: Path) -> None:
    words = ["evaluate", trained / "run", trained / "data", "--threshold", threshold]
    result = command(*words)
    assert result.exit_code != 0
    assert "threshold" in result.stderr
    if threshold != "best-ish":
        with pytest.raises(UserError, match="threshold"):
            evaluate(trained / "run", trained / "data", threshold=float(threshold))


def test_evaluate_leaves_nothing_behind_and_tells_how_far_it_is(trained: Path) -> None:
    before = files_of(trained)
    told: list[tuple[float, int]] = []
    evaluate(trained / "run", trained / "data", progress=lambda *done: told.append(done))
    assert files_of(trained) == before
    assert told == sorted(told)
    assert told[-1] == (5, 5)


def test_detect_writes_map_mask_and_overlay_of_the_photograph(
    trained: Path, tmp_path: Path
) -> None:
    photo = trained / "data" / "images" / "b.png"
    found = expected_map(trained / "run", photo)
    threshold = float(np.quantile(found, 0.9))
    [result] = detect(trained / "run", [str(photo)], tmp_path / "new" / "out", threshold)
    assert result.error is None
    written = np.asarray(Image.open(tmp_path / "new" / "out" / "b.probability.png"))
    assert written.dtype == np.uint8
    np.testing.assert_array_equal(written, np.rint(found * 255))
    mask = np.asarray(Image.open(tmp_path / "new" / "out" / "b.mask.png"))
    np.testing.assert_array_equal(mask, np.where(found >= threshold, 255, 0))
    assert result.crack_pixels == np.count_nonzero(mask)
    assert result.crack_share == pytest.approx(np.mean(mask == 255))
    overlay = np.asarray(Image.open(tmp_path / "new" / "out" / "b.overlay.jpg")).astype(float)
    source = read_photo(photo).astype(float)
    change = np.abs(overlay - source).max(axis=2)
    assert np.median(change[mask == 255]) > 3 * np.median(change[mask == 0])


def test_detect_goes_on_after_photographs_that_cannot_be_read(
    trained: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a", "b", "c"):
        Image.fromarray(make_photo(rng, 33, 47)[0]).save(photos / f"{name}.jpg")
    (photos / "b.jpg").write_bytes((photos / "b.jpg").read_bytes()[:300])
    told: list[Detection] = []
    results = detect(trained / "run", [str(photos)], tmp_path / "out", report=told.append)
    assert results == told
    assert [result.error is None for result in results] == [True, False, True]
    assert results[1].error is not None
    assert str(photos / "b.jpg") in results[1].error
    assert sorted(path.name[0] for path in (tmp_path / "out").iterdir()) == list("aaaccc")


def test_detect_replaces_what_it_wrote_before(
    trained: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    photo = tmp_path / "wall.png"
    for height in (40, 61):
        Image.fromarray(make_photo(rng, height, 50)[0]).save(photo)
        detect(trained / "run", [str(photo)], tmp_path / "out")
        names = {path.name for path in (tmp_path / "out").iterdir()}
        assert names == {"wall.probability.png", "wall.mask.png", "wall.overlay.jpg"}
        assert Image.open(tmp_path / "out" / "wall.mask.png").height == height


@pytest.mark.parametrize("names", [("a.jpg", "a.png"), ("a.jpg", "A.jpg")])
def test_photographs_whose_results_would_overwrite_each_other_are_refused_first(
    names: tuple[str, str], trained: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(make_photo(rng, 20, 20)[0]).save(tmp_path / name)
    if (tmp_path / names[0]).samefile(tmp_path / names[1]):
        pytest.skip("the disk does not tell upper case from lower case")
    photos = [str(tmp_path / name) for name in names]
    with pytest.raises(UserError, match="overwrite") as refused:
        detect(trained / "run", photos, tmp_path / "out")
    assert all(photo in str(refused.value) for photo in photos)
    assert not (tmp_path / "out").exists()


def test_results_never_take_the_place_of_a_photograph(
    trained: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    photos = [tmp_path / "a.png", tmp_path / "a.mask.png"]
    for photo in photos:
        Image.fromarray(make_photo(rng, 20, 20)[0]).save(photo)
    before = files_of(tmp_path)
    with pytest.raises(UserError, match=r"overwrite the photograph .*a\.mask\.png"):
        detect(trained / "run", map(str, photos), tmp_path)
    assert files_of(tmp_path) == before


def test_a_folder_of_results_can_be_detected_again(
    trained: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    Image.fromarray(make_photo(rng, 20, 20)[0]).save(tmp_path / "a.jpg")
    for _ in range(2):
        results = detect(trained / "run", [str(tmp_path)], tmp_path)
        assert [result.photo.name for result in results] == ["a.jpg"]


def test_photographs_are_found_by_name_folder_and_pattern(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    for name in ("b.JPG", "a.png", "c.tif"):
        Image.fromarray(make_photo(rng, 9, 9)[0]).save(tmp_path / name)
    for name in ("notes.txt", ".hidden.png"):
        (tmp_path / name).write_text("no picture")
    (tmp_path / "folder.png").mkdir()

    def names(*arguments: object) -> list[str]:
        return [photo.name for photo in find_photos(map(str, arguments))]

    assert names(tmp_path) == ["a.png", "b.JPG", "c.tif"]
    assert names(tmp_path / "*.[Jt]*") == ["b.JPG", "c.tif"]
    assert names(tmp_path / "c.tif", tmp_path, tmp_path / "*.png") == ["c.tif", "a.png", "b.JPG"]
    assert names(tmp_path / ".." / tmp_path.name / "a.png", tmp_path / "a.png") == ["a.png"]
    for nothing in ("d.png", "*.bmp", "folder.png"):
        with pytest.raises(UserError, match="folder.png" if nothing == "folder.png" else "There"):
            find_photos([str(tmp_path / nothing)])


def test_a_photograph_with_brackets_in_its_name_is_found(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    photo = tmp_path / "wall[1].png"
    Image.fromarray(make_photo(rng, 9, 9)[0]).save(photo)
    assert find_photos([str(photo)]) == [photo]


def test_describe_counts_what_the_network_holds() -> None:
    description = describe("spiral", depths=(2, 1, 3), connection="concat", width=0.1, side=39)
    channels = [6, 13, 26]  # a tenth of 64, 128 and 256
    seen = [3, 1, 2]  # channels that each module sees
    parameters = macs = 0
    for ci, depth in zip(seen, (2, 1, 3), strict=True):
        down = [ci, *channels[:depth]]
        up = [*reversed(channels[:depth]), 1]
        sides = [39, 19, 9, 4][: depth + 1]
        for a, b in [*pairwise(down), *pairwise(up)]:
            parameters += 9 * a * b + 2 * b  # weights; scale and shift of the batch norm
        for i in range(depth):
            taps = 9 * sides[i + 1] ** 2
            macs += taps * down[i] * down[i + 1] + taps * up[depth - 1 - i] * up[depth - i]
    parameters += 3 + 1
    macs += 3 * 39**2
    assert description.parameters == parameters
    assert description.macs == macs
    assert description.sizes == [39, 19, 9, 4, 9, 19, 39]
    assert [module.name for module in description.modules] == [
        "stages.0",
        "stages.1",
        "stages.2",
        "mix",
    ]


def test_describe_agrees_with_a_trained_network(trained: Path) -> None:
    config = load(trained / "run" / "last.safetensors").config
    description = describe(
        config["network"], config["depths"], config["connection"], config["width"], config["patch"]
    )
    network = load_network(trained / "run")
    assert description.parameters == sum(p.data.size for p in network.parameters())


class Listener(Reporter):
    """Notes the messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


def test_the_demonstration_compares_two_losses_and_can_be_run_again(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    listener = Listener()
    first = demo(out, listener, TINY_DEMO)
    assert listener.messages
    assert set(first.scores) == {"cross-entropy", "pseudo-f1"}
    for summary in first.scores.values():
        assert len(summary.photos) == 3
    assert all(path.is_file() for path in first.pictures.values())
    assert np.asarray(Image.open(out / "comparison.png")).std() > 0
    saved = json.loads((out / "demo.json").read_text())["scores"]
    assert saved == {loss: summary.as_dict() for loss, summary in first.scores.items()}

    (out / "mine.txt").write_text("kept")
    second = demo(out, settings=dataclasses.replace(TINY_DEMO, steps=3))
    assert load(out / "pseudo-f1" / "last.safetensors").step == 3
    assert second.scores["pseudo-f1"] != first.scores["pseudo-f1"]
    assert (out / "mine.txt").read_text() == "kept"


def test_both_networks_of_the_demonstration_differ_by_their_loss_alone(tmp_path: Path) -> None:
    demo(tmp_path / "demo", settings=dataclasses.replace(TINY_DEMO, steps=1, lr=1e-12))
    runs = [
        load(tmp_path / "demo" / loss / "last.safetensors")
        for loss in ("cross-entropy", "pseudo-f1")
    ]
    configs = [{**run.config, "loss": None} for run in runs]
    assert configs[0] == configs[1]
    assert runs[0].random_state == runs[1].random_state
    for name, data in runs[0].part("network").items():
        np.testing.assert_allclose(data, runs[1].part("network")[name], rtol=0, atol=1e-9)
    assert any(
        (data != runs[1].tensors[name]).any() for name, data in runs[0].tensors.items()
    )  # the gradients were not the same


@pytest.mark.parametrize("mark", [None, "not JSON", "[]", '{"made_by": "someone else"}'])
def test_a_folder_that_is_no_demonstration_is_left_alone(mark: str | None, tmp_path: Path) -> None:
    out = tmp_path / "pseudo-f1"
    (out / "train").mkdir(parents=True)
    (out / "train" / "thesis.txt").write_text("years of work")
    if mark is not None:
        (out / "demo.json").write_text(mark)
    before = files_of(tmp_path)
    with pytest.raises(UserError, match="other than a demonstration"):
        demo(out, settings=TINY_DEMO)
    assert files_of(tmp_path) == before


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_demonstration_that_begins_meanwhile_is_told(
    goes_on: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process writes its mark, and photographs too while this one looks at the folder."""
    unfinished, iterdir, read_text = tmp_path / ".demo.json.part", Path.iterdir, Path.read_text

    def go_on() -> None:
        if goes_on and unfinished.exists():
            unfinished.rename(tmp_path / "demo.json")
            (tmp_path / "train").mkdir()

    def entries(folder: Path) -> Iterator[Path]:
        found = [*iterdir(folder)]
        go_on()
        return iter(found)

    def text(file: Path, encoding: str | None = None) -> str:
        try:
            return read_text(file, encoding)
        finally:
            go_on()

    with lock_run(tmp_path):
        unfinished.write_text('{"made_by": "minispiral demo"}')
        monkeypatch.setattr(Path, "iterdir", entries)
        monkeypatch.setattr(Path, "read_text", text)
        with pytest.raises(UserError, match="Another process"):
            demo(tmp_path, settings=TINY_DEMO)


def test_a_file_is_no_place_for_a_demonstration(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("a file")
    with pytest.raises(UserError, match="other than a demonstration"):
        demo(tmp_path / "demo", settings=TINY_DEMO)
    assert (tmp_path / "demo").read_text() == "a file"
