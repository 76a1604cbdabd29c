"""``minispiral exercise``."""

from pathlib import Path

import click

from minispiral.cli.group import Failure
from minispiral.cli.options import PATH, json_option, timeout_option
from minispiral.cli.terminal import print_json, show


@click.command()
@click.argument("number", required=False)
@click.argument("answer", required=False, metavar="[ANSWER.PY]", type=PATH)
@click.option("--hint", "hints", count=True, help="Print a hint; give it again for the next one.")
@timeout_option
@json_option
def exercise(
    number: str | None, answer: Path | None, hints: int, timeout: float, as_json: bool
) -> None:
    """List the exercises of the book, print one, or check your answer to it.

    ANSWER.PY defines the function that exercise NUMBER asks for. A copy of it is run in a process
    of its own, with limits that are no fence against malice: check only files that you trust. The
    exit code is 1 if the answer is wrong.

    \b
    Examples: minispiral exercise
              minispiral exercise 3.1
              minispiral exercise 3.1 --hint --hint
              minispiral exercise 3.1 answer.py
    """
    if hints and (number is None or answer is not None):
        raise click.UsageError("--hint goes with the number of an exercise and nothing else.")
    if number is not None and answer is not None:
        check(number, answer, timeout, as_json)
    elif number is not None and hints:
        print_hints(number, hints, as_json)
    else:
        list_exercises(number, as_json)


def list_exercises(number: str | None, as_json: bool) -> None:
    """Print a table of all exercises, or the task of one."""
    from minispiral.cli import tables
    from minispiral.exercises.catalogue import catalogue, find, task

    listed = list(catalogue().values()) if number is None else [find(number)]
    if as_json:
        keys = ("number", "function", "title", "difficulty")
        print_json(
            {
                "exercises": [
                    {key: vars(e)[key] for key in keys} | {"task": task(e.number)} for e in listed
                ]
            }
        )
    elif number is None:
        show(tables.exercises(listed))
    else:
        (one,) = listed
        click.echo(f"{one.number}  {one.title} ({one.difficulty} of 3)\n\n{task(number)}")


def print_hints(number: str, count: int, as_json: bool) -> None:
    """Print the first ``count`` hints to an exercise."""
    from minispiral.exercises.catalogue import find
    from minispiral.exercises.hints import HINTS

    hints = HINTS[find(number).number]
    if as_json:
        print_json({"number": number, "hints": hints[:count], "more": max(len(hints) - count, 0)})
        return
    for k, hint in enumerate(hints[:count], start=1):
        click.echo(f"Hint {k} of {len(hints)}: {hint}")


def check(number: str, answer: Path, timeout: float, as_json: bool) -> None:
    """Print whether the answer is right; `Failure` if it is not."""
    from minispiral.exercises.catalogue import find
    from minispiral.exercises.trial import judge

    ((_, verdict),) = judge(answer, [find(number).number], timeout)
    wrong = None if verdict.wrong is None else verdict.wrong.rstrip(".") + "."
    if as_json:
        print_json({"number": number, "right": wrong is None, "wrong": wrong})
    if wrong is not None:
        raise Failure(f"{number} is not right yet: {wrong}")
    if not as_json:
        click.echo(f"{number} is right.")
