"""All exercises, and the check of an answer in a student's file."""

import json
import pkgutil
import traceback
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from minispiral import exercises
from minispiral.errors import UserError
from minispiral.exercises import Exercise, Wrong

Names = dict[str, Any]


@cache
def catalogue() -> dict[str, Exercise]:
    """Every exercise of every chapter by its number, in the order of the book."""
    for module in pkgutil.iter_modules(exercises.__path__):
        if module.name.startswith("chapter"):
            import_module(f"{exercises.__name__}.{module.name}")
    return dict(sorted(exercises.registered.items(), key=lambda item: _key(item[0])))


def find(number: str) -> Exercise:
    """The exercise with this number. Raises `UserError` if there is none."""
    if number not in catalogue():
        raise UserError(
            f"The book has no exercise {number}: choose one of {', '.join(catalogue())}."
        )
    return catalogue()[number]


def task(number: str) -> str:
    """What the exercise asks for, in Markdown, as in the book (docs/site/tasks.py cuts it out)."""
    tasks = json.loads((Path(__file__).parent / "tasks.json").read_text(encoding="utf-8"))
    return str(tasks[find(number).number])


def check_answer(number: str, path: Path) -> None:
    """Check the answer to exercise ``number`` in the Python file at ``path``, in this process.

    Raises `Wrong` if the answer is wrong or fails, and `UserError` if there is no such exercise,
    the file cannot be read, or it lacks the function that the exercise asks for.
    """
    exercise = find(number)
    check_names(exercise, load(path), path)


def load(path: Path) -> Names:
    """What the Python file at ``path`` defines; `UserError` if it cannot be read or fails."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    names: Names = {"__name__": "answer", "__file__": str(path)}
    try:
        exec(compile(source, str(path), "exec"), names)
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: {error.msg}.") from error
    except (Exception, SystemExit) as error:
        raise UserError(_failure(error, path, path.name)) from error
    return names


def check_names(exercise: Exercise, names: Names, path: Path) -> None:
    """Check the answer among the ``names`` that the file at ``path`` defines, as `check_answer`."""
    answer = names.get(exercise.function)
    if not callable(answer):
        raise UserError(
            f"{path} has no function {exercise.function}: the exercise asks for one of this name."
        )
    try:
        exercise.check(answer)
    except (Wrong, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        raise Wrong(_failure(error, path, exercise.function)) from error


def _key(number: str) -> list[int]:
    return [int(part) for part in number.split(".")]


def _failure(error: BaseException, path: Path, what: str) -> str:
    """An exception raised in the student's file, in one sentence."""
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if frame.filename == str(path)]
    if not theirs:
        return f"{what} returned something that cannot be checked ({said})"
    return f"line {theirs[-1].lineno} of {path.name} fails with {said}"
