"""All exercises, and the check of an answer in a student's file."""

import pkgutil
import traceback
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from minispiral import exercises
from minispiral.errors import UserError
from minispiral.exercises import Answer, Exercise, Wrong


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


def check_answer(number: str, path: Path) -> None:
    """Check the answer to exercise ``number`` in the Python file at ``path``.

    Raises `Wrong` if the answer is wrong or fails, and `UserError` if there is no such exercise,
    the file cannot be read, or it lacks the function that the exercise asks for.
    """
    exercise = find(number)
    answer = _load(path, exercise.function)
    try:
        exercise.check(answer)
    except (Wrong, MemoryError):
        raise
    except Exception as error:
        raise Wrong(_failure(error, path, exercise.function)) from error


def _key(number: str) -> list[int]:
    return [int(part) for part in number.split(".")]


def _load(path: Path, function: str) -> Answer:
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    names: dict[str, Any] = {"__name__": "answer", "__file__": str(path)}
    try:
        exec(compile(source, str(path), "exec"), names)
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: {error.msg}.") from error
    except Exception as error:
        raise UserError(_failure(error, path, path.name)) from error
    answer = names.get(function)
    if not callable(answer):
        raise UserError(
            f"{path} has no function {function}: the exercise asks for one of this name."
        )
    return answer  # type: ignore[no-any-return]


def _failure(error: Exception, path: Path, what: str) -> str:
    """An exception raised in the student's file, in one sentence."""
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if frame.filename == str(path)]
    if not theirs:
        return f"{what} returned something that cannot be checked ({said})"
    return f"line {theirs[-1].lineno} of {path.name} fails with {said}"
