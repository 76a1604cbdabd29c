"""The group of commands: help, loading, choices, defaults and errors."""

import ast
import dataclasses
import importlib.util
import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import minispiral.cli
from minispiral.cli.group import COMMANDS, load_command, short_help
from minispiral.detection import evaluate
from minispiral.device import DEVICES, PRECISIONS
from minispiral.errors import UserError
from minispiral.losses import LOSSES
from minispiral.networks import CONNECTIONS, NETWORKS, describe, parse_depths
from minispiral.training import demo, loop
from minispiral.training.config import LOSS_OPTIONS, TrainConfig, loss_parameter
from tests.small import command, refusal

ROOT = Path(__file__).resolve().parents[2]


def options(name: str) -> dict[str, click.Parameter]:
    """The arguments and options of a command, by parameter name."""
    return {param.name or "": param for param in load_command(name).params}


def choices(name: str, option: str) -> tuple[str, ...]:
    kind = options(name)[option].type
    assert isinstance(kind, click.Choice)
    return tuple(kind.choices)


def test_help_lists_the_commands_in_the_order_of_their_use() -> None:
    commands = command("--help").stdout.partition("Commands:")[2].partition("Exit codes:")[0]
    listed = " ".join(commands.split())
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
    "labels": "minispiral.data.labels.convert",
    "check": "minispiral.data.check",
    "train": "minispiral.training.loop",
    "evaluate": "minispiral.detection.evaluate",
    "detect": "minispiral.detection.detect",
    "report": "minispiral.report.cracks.folder",
    "inspect": "minispiral.detection.maps",
    "export": "minispiral.export.export",
    "describe": "minispiral.networks.describe",
    "gradcheck": "minispiral.gradcheck",
    "exercise": "minispiral.exercises",
    "grade": "minispiral.exercises.grading",
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
    for option in LOSS_OPTIONS:
        assert context.params[option] == loss_parameter(option).default
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
        (UserError("lr 0 was given", "lr"), "lr 0 was given; change --lr."),
        (UserError("It is in use; wait.", "out"), "It is in use; wait or change --out."),
        (UserError("It holds a run", "resume"), "It holds a run; add --resume."),
        (UserError("There is no folder x.", "data"), "There is no folder x; change DATA."),
        (UserError("The disk is full."), "The disk is full."),
        (UserError("The colour is wrong.", "colour"), "The colour is wrong."),
    ],
)
def test_an_error_of_the_library_names_the_option_to_change(
    error: UserError, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object, **named: object) -> None:
        raise error

    monkeypatch.setattr(loop, "train", refused)
    assert refusal(command("train", "data", "--out", "run")) == expected


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


def messages(path: Path) -> Iterator[str]:
    """The strings of a module, without its docstrings."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    docstrings = [node.value for node in nodes if isinstance(node, ast.Expr)]
    for node in nodes:
        if isinstance(node, ast.Constant) and node not in docstrings and type(node.value) is str:
            yield node.value


def test_only_the_command_line_speaks_of_options() -> None:
    folder = ROOT / "minispiral"
    for path in [*folder.rglob("*.py"), *(ROOT / "kernels").rglob("*.py")]:
        if not path.is_relative_to(folder / "cli"):
            assert not [text for text in messages(path) if re.search("--[a-z]", text)], path
