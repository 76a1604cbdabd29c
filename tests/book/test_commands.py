"""The command lines that the chapters show: commands, options and choices are there."""

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import click
import pytest

from minispiral.cli import main
from tests.book.cells import text
from tests.small import ROOT

CHAPTERS = sorted((ROOT / "docs" / "book").glob("[0-9][0-9]_*.py"))
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`(minispiral [^`]+)`")


def shown(written: str) -> Iterator[list[str]]:
    """The words of each command line, in blocks of code and in sentences."""
    lines = [
        line for block in BLOCK.findall(written) for line in block.replace("\\\n", "").split("\n")
    ]
    for line in [*lines, *SPAN.findall(BLOCK.sub("", written))]:
        name, *words = shlex.split(line, comments=True) or [""]
        if name == "minispiral":
            yield words


def wrong(words: list[str]) -> str:
    """What the command line would refuse without looking at files; nothing if it is sound."""
    command = main.get_command(click.Context(main), words[0])
    if command is None:
        return f"no command {words[0]}"
    options = {name: option for option in command.params for name in option.opts}
    for word, value in pairwise([*words, ""]):
        if not word.startswith("--"):
            continue
        if word not in options:
            return f"{words[0]} has no option {word}"
        kind = options[word].type
        if isinstance(kind, click.Choice) and value not in kind.choices:
            return f"{words[0]} {word} cannot be {value}"
    return ""


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_commands_of_a_chapter_are_there(chapter: Path) -> None:
    lines = list(shown(text(chapter)))
    assert lines
    assert not list(filter(None, map(wrong, lines)))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("```sh\nminispiral trian data\n```", "no command trian"),
        ("Then `minispiral train data --out run\n--ratio 2` runs.", "no option --ratio"),
        ("```sh\nminispiral train data \\\n    --schedule sine\n```", "--schedule cannot be sine"),
    ],
)
def test_a_slip_is_noticed(line: str, found: str) -> None:
    ((words),) = shown(line)
    assert found in wrong(words)
