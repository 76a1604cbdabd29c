"""The answers of a class: which exercises each set of answers solves, and what it is worth."""

import ast
import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from minispiral.errors import UserError
from minispiral.exercises import Exercise
from minispiral.exercises.catalogue import catalogue
from minispiral.exercises.trial import TIMEOUT, Verdict, check_timeout, judge
from minispiral.files import check_place, table_text, write_text

MISSING = Verdict("no answer", missing=True)


@dataclass(frozen=True)
class Graded:
    """The verdicts on one set of answers, by the number of the exercise."""

    name: str
    verdicts: dict[str, Verdict]

    def points(self) -> int:
        """The sum of the difficulties of the exercises that are right."""
        return sum(
            catalogue()[number].difficulty
            for number, verdict in self.verdicts.items()
            if verdict.wrong is None
        )

    def first_reason(self) -> str:
        """What is wrong with the first wrong answer; empty where all that is there is right."""
        for number, verdict in self.verdicts.items():
            if verdict.wrong is not None and not verdict.missing:
                return f"{number}: {' '.join(verdict.wrong.split())}"
        return ""


def answer_sets(folder: Path) -> dict[str, list[Path]]:
    """The files of each set of answers: a file NAME.py, or the files of a folder NAME.

    A student with both has one set. Raises `UserError` if there are none, and for a file that
    cannot be read.
    """
    if not folder.is_dir():
        raise UserError(
            f"{folder} is no folder: give one with a file or a folder for each student."
        )
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "__")):
            continue
        if path.is_dir():
            files = sorted(file for file in path.rglob("*.py") if file.is_file())
            if files:
                found.setdefault(path.name, []).extend(files)
        elif path.suffix == ".py":
            found.setdefault(path.stem, []).append(path)
    if not found:
        raise UserError(
            f"{folder} holds no answers: expected files NAME.py or folders NAME with such files."
        )
    for file in chain.from_iterable(found.values()):
        try:
            file.open("rb").close()
        except OSError as error:
            raise UserError(f"{file} cannot be read: {error.strerror}.") from error
    return found


def grade(
    folder: Path,
    numbers: Sequence[str] | None = None,
    timeout: float = TIMEOUT,
    progress: Callable[[str], None] = lambda name: None,
) -> list[Graded]:
    """Grade every set of answers in a folder, each file in a process of its own.

    ``numbers``: the exercises that count (default: all). ``timeout``: seconds for each of them.
    ``progress`` is told the name of each set before it is graded.
    """
    check_timeout(timeout)
    asked = [catalogue()[number] for number in numbers or catalogue()]
    graded = []
    for name, files in answer_sets(folder).items():
        progress(name)
        verdicts = {exercise.number: MISSING for exercise in asked}
        for path in files:
            mine = [
                exercise.number
                for exercise in _answered(path, asked)
                if verdicts[exercise.number].wrong is not None
            ]
            verdicts |= judge(path, mine, timeout, quiet=True)
        graded.append(Graded(name, verdicts))
    return graded


def _answered(path: Path, asked: Iterable[Exercise]) -> list[Exercise]:
    """The exercises whose function the file defines or mentions; all if it cannot be parsed."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return list(asked)
    names = {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    return [exercise for exercise in asked if exercise.function in names]


def as_csv(graded: Sequence[Graded]) -> str:
    """A row for each set: its name, points, the most there are, 1 or 0 by exercise, and why."""
    numbers = list(graded[0].verdicts)
    most = sum(catalogue()[number].difficulty for number in numbers)
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["name", "points", "of", *numbers, "first reason"])
    for one in graded:
        solved = [int(verdict.wrong is None) for verdict in one.verdicts.values()]
        name, reason = table_text(one.name), table_text(one.first_reason())
        table.writerow([name, one.points(), most, *solved, reason])
    return out.getvalue()


def check_csv(path: Path) -> None:
    """Raise `UserError` where `write_csv` could not write, before anything is graded."""
    check_place(path, "out")


def write_csv(path: Path, graded: Sequence[Graded]) -> None:
    """Write `as_csv` to a file. Raises `UserError` where that is not possible."""
    write_text(path, as_csv(graded))
