"""The lecturer's page agrees with the chapters; each chapter names the code to read next."""

import inspect
import re
from fractions import Fraction
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest

from minispiral.exercises.catalogue import catalogue
from tests.book.cells import text
from tests.small import ROOT

BOOK = ROOT / "docs" / "book"
CHAPTERS = {int(path.name[:2]): path for path in sorted(BOOK.glob("[0-9][0-9]_*.py"))}
PAGE = (BOOK / "lecturer.md").read_text(encoding="utf-8")
HOURS = {"an hour": 1.0, "an hour and a half": 1.5, "two hours": 2.0}


def rows(heading: str) -> list[list[str]]:
    """The cells of the table that begins with a heading."""
    table = PAGE.partition(f"| {heading} |")[2].partition("\n\n")[0]
    return [[c.strip() for c in line.strip("|").split("|")] for line in table.split("\n")[2:]]


def test_hours_and_points_are_those_of_the_chapters() -> None:
    planned = []
    for _, linked, hours, points in rows("session | chapters"):
        numbers = [int(number) for number in re.findall(r"\[(\d)\]", linked)]
        planned += numbers
        said = [re.search(r"It takes about (.+?)\. You", text(CHAPTERS[n]), re.S) for n in numbers]
        assert sum(HOURS[match[1]] for match in said if match) == float(hours)
        stars = [e.difficulty for e in catalogue().values() if int(e.number[0]) in numbers]
        assert sum(stars) == int(points)
    assert planned == list(CHAPTERS)
    total = sum(float(row[2]) for row in rows("session | chapters"))
    everything = sum(exercise.difficulty for exercise in catalogue().values())
    assert f"A plan of {total:g} hours" in PAGE
    assert f"all {len(catalogue())} together {everything} points" in PAGE
    project = sum(int(row[-1]) for row in rows("step | what is handed in"))
    assert f"That is {project} points, a third of all" in PAGE
    assert Fraction(project, project + everything) == Fraction(1, 3)


def test_each_session_shows_and_assigns_what_its_chapters_have() -> None:
    assigned = []
    for plan, row in zip(rows("session | chapters"), rows("session | read before"), strict=True):
        numbers = re.findall(r"\[(\d)\]", plan[1])
        exercises = re.findall(r"\d\.\d", row[3])
        assigned += exercises
        assert {number[0] for number in exercises} == set(numbers)
        for figure in re.findall(r"Figure (\d\.\d)", row[2]):
            assert figure[0] in numbers
            assert f"*Figure {figure}. " in text(CHAPTERS[int(figure[0])])
    assert assigned == list(catalogue())


def test_the_problems_on_paper_are_listed() -> None:
    """That each chapter has these three, and their solutions, is tested with the chapters."""
    listed = rows("chapter | A | B | C")
    assert [int(row[0]) for row in listed] == list(CHAPTERS)
    assert all(len(row) == 4 and all(row) for row in listed)


def test_a_chapter_needs_none_that_comes_later() -> None:
    for number, path in CHAPTERS.items():
        needed = re.search(r"You need (.*?)(?:\n\n|\Z)", text(path), re.S)
        assert needed
        earlier = re.findall(r"chapter (\d)", " ".join(needed[1].split()).partition(". ")[0])
        assert all(int(other) < number for other in earlier)


@pytest.mark.parametrize("chapter", CHAPTERS.values(), ids=lambda path: path.stem)
def test_the_lines_to_read_next_are_there_and_as_many_as_said(chapter: Path) -> None:
    _, _, lives = text(chapter).partition("## Where it lives\n")
    said = re.match(r"\n\*\*Now read\*\* some (\d+) lines: (.*?)\n\n", lives, re.S)
    assert said, "no lines to read"
    named = [name for name in re.findall(r"`([\w./]+)`", said[2]) if "." in name]
    found = sum(map(lines_of, named))
    assert abs(found - int(said[1])) < 15, f"{found} lines"
    assert found < 160, "more than an evening"


def lines_of(name: str) -> int:
    """How many lines a name of the library or a file of the repository has."""
    if "/" in name:
        return len((ROOT / name).read_text(encoding="utf-8").splitlines())
    value: Any = resolve_name(name)
    return len(inspect.getsourcelines(inspect.unwrap(value))[0])
