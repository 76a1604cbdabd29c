"""The book: every chapter runs, its text says what the run gives, its exercises are checked."""

import json
import os
import pkgutil
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType

import numpy as np
import pytest

from minispiral.exercises import Wrong
from minispiral.exercises.catalogue import catalogue, check_answer, check_names, find
from tests.book.cells import CHECK, checks, run, shown, text, wrong
from tests.small import ROOT, command, refusal

BOOK = ROOT / "docs" / "book"
CHAPTERS = sorted(BOOK.glob("[0-9][0-9]_*.py"))
SECONDS = 60 * 4  # for two runs at once on a busy machine; alone, a chapter may take 60


def number_of(chapter: Path) -> int:
    return int(chapter.name[:2])


def by_name(path: Path) -> str:
    return path.stem


def run_of(chapter: Path, folder: Path, hash_seed: int) -> subprocess.Popen[str]:
    """A run of a chapter in a folder of its own, begun."""
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(hash_seed)}
    return subprocess.Popen(
        [sys.executable, ROOT / "tests" / "book" / "cells.py", chapter],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("chapter", CHAPTERS, ids=by_name)
def test_chapter_says_what_it_computes(
    chapter: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    """About one chapter in a run of the tests is run twice, and must draw the same figures."""
    twice = rng.integers(len(CHAPTERS)) == 0
    runs = [run_of(chapter, tmp_path / str(k), k) for k in range(2 if twice else 1)]
    found = []
    for process in runs:
        output, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, errors[-3000:]
        found.append(json.loads(output))
    assert not found[0]["wrong"], "\n".join(found[0]["wrong"])
    assert found[0]["figures"] == found[-1]["figures"]
    assert found[0]["figures"]
    assert CHECK.search(chapter.read_text(encoding="utf-8")), "no number of the text is checked"


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("1,234.5 <!-- = 1234.46 --> pixels", ""),
        ("$1\\,234$ pixels\n<!-- = n\n* 2 -->", ""),
        ("99.8 <!-- = 100 * (1 - 1 / 450) --> %", ""),
        ("at most <!-- holds n < 620 --> some", ""),
        ("12 or 13.4 <!-- = 13.3 --> pixels", "12 or 13.4: the run gives 13.3, 13.3"),
        ("all of them <!-- holds n > 620 -->", "all of them: not so, n > 620"),
    ],
)
def test_a_wrong_number_in_the_text_is_noticed(written: str, found: str) -> None:
    ((before, check),) = checks(written)
    assert wrong(before, check, {"n": 617}) == found
    assert "<!--" not in shown(written)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=by_name)
def test_chapter_has_its_parts(chapter: Path) -> None:
    written, number = text(chapter), number_of(chapter)
    assert written.startswith(f"# {number}. ")
    assert "After this chapter you can" in written
    for exercise in (f"{number}.{k}" for k in (1, 2, 3)):
        assert f"### Exercise {exercise}" in written
        assert f"`{find(exercise).function}" in written, "the text names the function asked for"
    assert f"### Exercise {number}.4" not in written
    assert all(part in written for part in ("**Predict**", "### On paper", "### Experiment"))
    (solutions,) = (BOOK / "solutions").glob(f"{number:02d}_*.py")
    for where, heading in ((written, "### On paper\n"), (text(solutions), "## On paper\n")):
        problems = where.partition(heading)[2].partition("\n#")[0]
        assert re.findall(r"^\*\*(\w)\.\*\* \S", problems, re.MULTILINE) == ["A", "B", "C"]
    assert f"minispiral exercise {number}." in written
    figures = re.findall(rf"^\*Figure {number}\.(\d+)\. ", written, re.MULTILINE)
    assert figures == [str(k + 1) for k in range(len(figures))]
    assert figures


@pytest.mark.parametrize("chapter", CHAPTERS, ids=by_name)
def test_what_a_chapter_names_is_there(chapter: Path) -> None:
    _, heading, lives = text(chapter).partition("## Where it lives")
    assert heading
    names = re.findall(r"`(minispiral(?:\.\w+)+)`", lives.partition("\n## ")[0])
    assert names
    for name in names:
        pkgutil.resolve_name(name)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=by_name)
def test_solutions_say_what_they_compute(chapter: Path) -> None:
    assert run(BOOK / "solutions" / chapter.name)["wrong"] == []


@pytest.mark.parametrize("number", catalogue())
def test_solution_is_right(number: str) -> None:
    (solutions,) = (BOOK / "solutions").glob(f"{int(number.split('.')[0]):02d}_*.py")
    check_answer(number, solutions)


def wrong_answers() -> Iterator[FunctionType]:
    for path in sorted((ROOT / "tests" / "book" / "wrong_answers").glob("chapter*.py")):
        names: dict[str, object] = {"__name__": path.stem}
        exec(compile(path.read_bytes(), str(path), "exec"), names)
        for name, function in names.items():
            if name.startswith("wrong_") and isinstance(function, FunctionType):
                function.__name__ = name
                yield function


WRONG = list(wrong_answers())


def exercise_of(answer: FunctionType) -> str:
    return ".".join(answer.__name__.split("_")[1:3])


@pytest.mark.parametrize("answer", WRONG, ids=lambda answer: answer.__name__)
def test_wrong_answer_is_refused_and_told_why(
    answer: FunctionType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minispiral.exercises.chapter9._PATIENCE", 0.5)
    exercise = find(exercise_of(answer))
    path = Path(answer.__code__.co_filename)
    with pytest.raises(Wrong) as refused:
        check_names(exercise, {exercise.function: answer}, path)
    assert re.search(answer.__doc__ or "no docstring", str(refused.value)), str(refused.value)


def test_every_exercise_has_wrong_answers() -> None:
    """Ten for each chapter, and some for each exercise."""
    count = Counter(map(exercise_of, WRONG))
    assert set(count) == set(catalogue())
    for chapter in CHAPTERS:
        of_chapter = [count[f"{number_of(chapter)}.{k}"] for k in (1, 2, 3)]
        assert min(of_chapter) >= 2
        assert sum(of_chapter) >= 10


# The command


def test_the_exercises_are_listed() -> None:
    listed = command("exercise")
    assert listed.exit_code == 0
    assert all(number in listed.stdout for number in catalogue())
    found = json.loads(command("exercise", "--json").stdout)["exercises"]
    assert [exercise["number"] for exercise in found] == list(catalogue())
    one = json.loads(command("exercise", "2.1", "--json").stdout)["exercises"]
    assert one == [exercise for exercise in found if exercise["number"] == "2.1"]


def test_a_right_answer_is_accepted() -> None:
    solution = BOOK / "solutions" / "02_convolution.py"
    right = command("exercise", "2.1", solution)
    assert (right.exit_code, right.stdout) == (0, "2.1 is right.\n")
    as_json = command("exercise", "2.1", solution, "--json")
    assert json.loads(as_json.stdout) == {"number": "2.1", "right": True, "wrong": None}


def test_a_wrong_answer_is_refused_in_one_line(tmp_path: Path) -> None:
    answer = tmp_path / "answer.py"
    answer.write_text("def mirror_pad_grad(gy, pad):\n    return gy\n")
    assert re.search("2.1 is not right yet: .*gy", refusal(command("exercise", "2.1", answer)))


def test_a_missing_file_and_a_missing_exercise_are_named(tmp_path: Path) -> None:
    missing = refusal(command("exercise", "2.1", tmp_path / "none.py"))
    assert "none.py cannot be read" in missing
    assert "no exercise 12.7" in refusal(command("exercise", "12.7"))
