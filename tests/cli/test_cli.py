"""The command line: help, JSON, exit codes, Ctrl-C and going on."""

import dataclasses
import importlib.util
import inspect
import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

import minispiral.cli
from minispiral.cli.group import COMMANDS, load_command, short_help
from minispiral.data.pairs import find_pairs
from minispiral.data.store import PhotoStore
from minispiral.detection import evaluate
from minispiral.device import DEVICES, PRECISIONS
from minispiral.errors import UserError
from minispiral.losses import LOSSES
from minispiral.networks import CONNECTIONS, NETWORKS, describe, parse_depths
from minispiral.runs.checkpoint import load
from minispiral.training import demo, loop
from minispiral.training.config import TrainConfig
from tests.small import (
    NETWORK,
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


def options(name: str) -> dict[str, click.Parameter]:
    """The arguments and options of a command, by parameter name."""
    return {param.name or "": param for param in load_command(name).params}


def choices(name: str, option: str) -> tuple[str, ...]:
    kind = options(name)[option].type
    assert isinstance(kind, click.Choice)
    return tuple(kind.choices)


def test_help_lists_the_commands_in_the_order_of_their_use() -> None:
    listed = " ".join(command("--help").stdout.partition("Commands:")[2].split())
    for name in COMMANDS:
        help_text = f"{name} {short_help(name)}"
        assert help_text in listed
        listed = listed.partition(help_text)[2]
    assert not listed


def test_the_version_is_that_of_the_package() -> None:
    assert command("--version").stdout.split()[-1] == minispiral.__version__


def test_every_module_with_a_command_is_in_the_group() -> None:
    folder = Path(minispiral.cli.__file__).parent
    found = {path.stem for path in folder.glob("*.py") if "@click.command" in path.read_text()}
    assert found == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command_explains_every_option_and_has_an_example(name: str) -> None:
    text = command(name, "--help").stdout
    assert f": minispiral {name}" in text
    for option in options(name).values():
        if isinstance(option, click.Option):
            assert option.opts[0] in text


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_the_help_are_valid_commands(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = inspect.cleandoc(load_command(name).help or "").splitlines()
    examples = [line[line.index("minispiral ") :] for line in lines if f"minispiral {name}" in line]
    assert examples
    for example in examples:
        words = shlex.split(example)[2:]
        load_command(name).make_context(name, words)  # raises where an option is unknown


def loaded_by(program: str) -> set[str]:
    """The modules that a fresh process has loaded once it has run ``program``."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {program}; print(*sys.modules, file=sys.stderr)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split())


def test_help_is_quick_because_it_loads_nothing_heavy() -> None:
    loaded = loaded_by("from minispiral.cli import main; main(['--help'], standalone_mode=False)")
    assert "click" in loaded
    assert not loaded & {"numpy", "rich", "PIL", "safetensors", "matplotlib", "threadpoolctl"}
    assert not loaded & {f"minispiral.cli.{name}" for name in COMMANDS}


JOBS = {
    "demo": "minispiral.training.demo",
    "synth": "minispiral.data.synth",
    "train": "minispiral.training.loop",
    "evaluate": "minispiral.detection.evaluate",
    "detect": "minispiral.detection.detect",
    "inspect": "minispiral.detection.maps",
    "describe": "minispiral.networks.describe",
    "gradcheck": "minispiral.gradcheck",
    "exercise": "minispiral.exercises",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_loads_neither_its_job_nor_another_command(name: str) -> None:
    loaded = loaded_by(
        f"from minispiral.cli import main; main(['{name}', '--help'], standalone_mode=False)"
    )
    assert importlib.util.find_spec(JOBS[name])
    assert not loaded & {*JOBS.values(), "rich", "PIL", "safetensors", "matplotlib"}
    assert loaded & {f"minispiral.cli.{other}" for other in COMMANDS} == {f"minispiral.cli.{name}"}


def test_choices_are_the_registries_of_the_library() -> None:
    for option, registry in {
        "network": NETWORKS,
        "connection": CONNECTIONS,
        "loss": LOSSES,
        "device": DEVICES,
        "precision": PRECISIONS,
    }.items():
        assert choices("train", option) == tuple(registry)


def test_defaults_are_those_of_the_library() -> None:
    context = load_command("train").make_context("train", ["DATA", "--out", "RUN"])
    defaults = TrainConfig(data=Path("DATA"))
    for name in context.params.keys() & {field.name for field in dataclasses.fields(TrainConfig)}:
        value = context.params[name]
        assert (parse_depths(value) if name == "depths" else value) == getattr(defaults, name), name
    signature = inspect.signature(describe.describe).parameters
    context = load_command("describe").make_context("describe", [])
    assert parse_depths(context.params["depths"]) == signature["depths"].default
    assert context.params["patch"] == signature["side"].default
    for name in ("network", "connection", "width"):
        assert context.params[name] == signature[name].default


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UserError("lr 0 was given, expected 1", "lr"), "lr 0 was given, expected 1 (--lr)."),
        (UserError("The folder is in use.", "out"), "The folder is in use (--out)."),
        (UserError("There is no folder x.", "data"), "There is no folder x (DATA)."),
        (UserError("The disk is full."), "The disk is full."),
        (UserError("The colour is wrong.", "colour"), "The colour is wrong."),
    ],
)
def test_an_error_of_the_library_names_the_option_it_is_about(
    error: UserError, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object, **named: object) -> None:
        raise error

    monkeypatch.setattr(loop, "train", refused)
    assert refusal(command("train", "data", "--out", "run")) == expected


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
    assert len(list(out.iterdir())) == 9


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


@pytest.mark.parametrize(
    ("module", "words"),
    [(evaluate, ["evaluate", "run", "data"]), (demo, ["demo", "--out", "demo"])],
)
def test_ctrl_c_in_any_job_is_one_line(
    module: object, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, words[0], pressed)
    assert "Stopped" in refusal(command(*words), 130)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), "memory"),
        (PermissionError(13, "Permission denied", "photo.jpg"), "photo.jpg: Permission denied"),
    ],
)
def test_what_the_system_refuses_is_one_line(
    error: Exception, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object, **named: object) -> None:
        raise error

    monkeypatch.setattr(evaluate, "evaluate", refused)
    assert expected in refusal(command("evaluate", "run", "data"))


def test_a_fault_of_the_program_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(*arguments: object, **named: object) -> None:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(evaluate, "evaluate", faulty)
    with pytest.raises(ZeroDivisionError, match="a fault"):
        command("evaluate", "run", "data")


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
