"""The commands: what they print, JSON, exit codes, Ctrl-C and resuming."""

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minispiral.data.pairs import find_pairs
from minispiral.data.store import PhotoStore
from minispiral.detection import evaluate
from minispiral.runs.checkpoint import load
from minispiral.training import demo
from tests.small import (
    NETWORK,
    TABLES,
    TINY_DEMO,
    TRAINING,
    command,
    files_of,
    make_dataset,
    make_trained,
    refusal,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset, ``data``, and a run trained on it, ``run``: not to be changed."""
    return make_trained(tmp_path_factory.mktemp("trained"), photos=2, without_crack=1)


def test_describe_prints_the_numbers_of_table_5() -> None:
    result = command("describe", "spiral", "--json")
    description = json.loads(result.stdout)
    assert description["parameters"] == 41_625_942
    down = [255, 127, 63, 31, 15, 7, 3, 1]
    assert description["sizes"] == down + down[-2::-1]
    assert round(description["macs"] / 1e9, 1) == 9.5
    modules = description["modules"]
    assert sum(module["parameters"] for module in modules) == description["parameters"]
    table = command("describe").stdout
    for text in ("41,625,942", "39.70 x 2^20", "9.54 GMAC", "deepest module: 255 127 63 31"):
        assert text in table


def test_describe_knows_presets_and_connections() -> None:
    def parameters(*words: str) -> int:
        result = command("describe", "--width", "0.1", *words, "--json")
        return int(json.loads(result.stdout)["parameters"])

    assert parameters("--depths", "decreasing") == parameters("--depths", "7-1")
    assert parameters("--depths", "2,2") < parameters("--depths", "2,2,2")
    # Modules 3 to 7 see one map more than one each: 9 taps to 6 channels for every further map.
    more = 9 * 6 * sum(range(1, 6)) + 6  # and the last layer mixes 7 maps
    assert parameters() - parameters("--connection", "sum") == more
    assert parameters("--connection", "none") == parameters("--connection", "sum")


def test_synth_makes_the_same_dataset_for_the_same_seed(tmp_path: Path) -> None:
    def make(folder: str, seed: int) -> dict[str, bytes]:
        words = ["--photos", "2", "--size", "96x80", "--seed", seed]
        result = command("synth", tmp_path / folder, *words)
        assert result.exit_code == 0, result.stderr
        assert str(tmp_path / folder) in result.stdout
        return files_of(tmp_path / folder)

    first = make("first", 5)
    assert {name.partition("/")[0] for name in first} == {"images", "masks", "joints", "cracks"}
    assert make("again", 5) == first
    assert make("other", 6) != first
    assert Image.open(next((tmp_path / "first" / "images").iterdir())).size == (96, 80)
    assert len(find_pairs(tmp_path / "first")) == 2
    assert "already" in refusal(command("synth", tmp_path / "first"))
    assert files_of(tmp_path / "first") == first


def test_train_evaluate_detect_from_synthetic_photographs_to_maps(tmp_path: Path) -> None:
    concrete, run, out = tmp_path / "concrete", tmp_path / "run", tmp_path / "found"
    assert command("synth", concrete, "--photos", 3, "--size", "96x80").exit_code == 0
    result = command("train", concrete, "--val", concrete, "--out", run, *TRAINING)
    assert result.exit_code == 0
    assert str(run) in result.stdout
    assert "training 6/6" in result.stderr
    assert "validation F1" in result.stderr
    for name in ("config.json", "metrics.csv", "last.safetensors", "best.safetensors"):
        assert (run / name).is_file()
    assert json.loads((run / "config.json").read_text())["lr"] == 0.01

    result = command("evaluate", run, concrete)
    assert result.exit_code == 0
    for text in ("0000", "0001", "0002", "average of 3", "pooled", "zero tolerance"):
        assert text in result.stdout

    result = command("detect", run, concrete / "images", "--out", out)
    assert result.exit_code == 0
    assert str(out) in result.stdout
    assert len([line for line in result.stderr.splitlines() if "crack pixels" in line]) == 3
    assert len(list(out.iterdir())) == 9 + len(TABLES)


@pytest.mark.parametrize("tolerance", [0, 2])
def test_evaluate_json_is_one_object_with_the_scores(tolerance: int, trained: Path) -> None:
    result = command(
        "evaluate", trained / "run", trained / "data", "--json", "--tolerance", tolerance
    )
    assert result.exit_code == 0
    scores = json.loads(result.stdout)
    summary = evaluate.evaluate(trained / "run", trained / "data", tolerance=tolerance)
    assert scores == summary.as_dict()
    names = ("average_precision", "precision", "recall", "f1")
    assert all(0 <= scores[name] <= 1 for name in names)
    assert [photo["name"] for photo in scores["photos"]] == ["a", "b", "c"]
    for name in names:
        assert all(0 <= photo[name] <= 1 for photo in scores["photos"][:2])
        assert scores["photos"][2][name] is None
    assert scores["tolerance"] == tolerance
    table = command("evaluate", trained / "run", trained / "data", "--tolerance", tolerance).stdout
    assert ("tolerance of 2 pixels" if tolerance else "zero tolerance") in table


def test_detect_json_is_one_object_with_the_files(trained: Path, tmp_path: Path) -> None:
    photos = [str(trained / "data" / "images" / "*.png"), str(tmp_path / "broken.jpg")]
    (tmp_path / "broken.jpg").write_text("no picture")
    result = command(
        "detect", trained / "run", *photos, "--out", tmp_path / "out", "--json", "--threshold", 0.4
    )
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["threshold"] == 0.4
    assert len(found["photos"]) == 4
    for photo in found["photos"][:3]:
        assert photo["error"] is None
        mask = np.asarray(Image.open(photo["mask"]))
        assert photo["crack_pixels"] == np.count_nonzero(mask)
        assert Path(photo["probability"]).is_file()
        assert Path(photo["overlay"]).is_file()
    assert "broken.jpg" in found["photos"][3]["error"]
    assert found["photos"][3]["mask"] is None
    lines = result.stderr.splitlines()
    assert lines[-1].startswith("minispiral: 1 of 4 photographs")
    assert any("broken.jpg" in line for line in lines[:-1])


def test_detect_threshold_decides_what_is_crack(trained: Path, tmp_path: Path) -> None:
    counts = []
    for threshold in ("0", "0.5", "1"):
        words = ["--out", tmp_path / "out", "--threshold", threshold, "--json"]
        result = command("detect", trained / "run", trained / "data" / "images" / "a.png", *words)
        counts.append(json.loads(result.stdout)["photos"][0]["crack_pixels"])
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == 45 * 70


def start(*words: object) -> subprocess.Popen[str]:
    """``minispiral words...`` as a process of its own, alone in its group."""
    return subprocess.Popen(
        [sys.executable, "-m", "minispiral", *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_prints_the_command_that_ends_as_if_never_stopped(
    signum: signal.Signals, tmp_path: Path, rng: np.random.Generator
) -> None:
    # A space, so that the printed command must quote it.
    dataset, out = make_dataset(tmp_path / "my photos", rng), tmp_path / "my run"
    words = ["train", dataset, "--out", out, *TRAINING, "--steps", 100_000, "--lr", "0.0002"]
    process = start(*words)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if (out / "metrics.csv").exists() and (out / "metrics.csv").read_text().count("\n") > 2:
            break
        time.sleep(0.02)
    process.send_signal(signum)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + signum
    assert stdout == ""
    last = stderr.splitlines()[-1]
    assert last.startswith("minispiral: Stopped after step ")
    assert "Traceback" not in stderr
    step = load(out / "last.safetensors").step
    assert f"after step {step};" in last
    program, *typed = shlex.split(last.partition("go on with: ")[2])
    assert program == "minispiral"

    # The words given last count, so the command can be shortened for the test.
    resumed = command(*typed, "--steps", step + 5)
    assert resumed.exit_code == 0, resumed.stderr
    whole = tmp_path / "whole"
    words[words.index(out)] = whole
    assert command(*words, "--steps", step + 5).exit_code == 0
    ends = [load(folder / "last.safetensors") for folder in (out, whole)]
    assert ends[0].step == ends[1].step == step + 5
    assert ends[0].random_state == ends[1].random_state
    for name, tensor in ends[0].tensors.items():
        np.testing.assert_array_equal(tensor, ends[1].tensors[name], err_msg=name)


def test_a_run_goes_on_when_nobody_reads_its_progress_any_more(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    words = ["train", make_dataset(tmp_path / "data", rng), "--out", tmp_path / "run", *TRAINING]
    process = start(*words)
    assert process.stderr is not None
    process.stderr.close()
    assert process.wait(timeout=60) == 0
    assert load(tmp_path / "run" / "last.safetensors").step == 6
    process.communicate()


def test_ctrl_c_before_the_first_step_tells_how_to_go_on(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(self: PhotoStore, *arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PhotoStore, "__init__", pressed)
    out = tmp_path / "run"
    result = command("train", trained / "data", "--out", out, *NETWORK, "--patch", 31, "--steps", 2)
    words = shlex.split(refusal(result, 130).partition("go on with: ")[2])
    monkeypatch.undo()
    assert words[-1] == "--resume"
    assert command(*words[1:]).exit_code == 0
    assert load(out / "last.safetensors").step == 2


def test_demo_prints_both_losses_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "Settings", lambda: TINY_DEMO)
    monkeypatch.chdir(tmp_path)
    result = command("demo")
    assert result.exit_code == 0, result.stderr
    for text in ("precision", "recall", "F1", "AP", "cross-entropy", "Eq. 11", "comparison.png"):
        assert text in result.stdout
    assert (tmp_path / "minispiral-demo" / "comparison.png").is_file()
