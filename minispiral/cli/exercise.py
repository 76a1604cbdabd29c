"""``minispiral exercise``."""

from pathlib import Path

import click

from minispiral.cli.group import Failure
from minispiral.cli.options import PATH, json_option
from minispiral.cli.terminal import print_json, show


@click.command()
@click.argument("number", required=False)
@click.argument("answer", required=False, metavar="[ANSWER.PY]", type=PATH)
@json_option
def exercise(number: str | None, answer: Path | None, as_json: bool) -> None:
    """List the exercises of the book, or check your answer to one.

    ANSWER.PY defines the function that exercise NUMBER asks for. The file is run, so check only
    files that you trust. The exit code is 1 if the answer is wrong.

    \b
    Examples: minispiral exercise
              minispiral exercise 3.1 answer.py
    """
    if number is None or answer is None:
        list_exercises(number, as_json)
    else:
        check(number, answer, as_json)


def list_exercises(number: str | None, as_json: bool) -> None:
    """Print all exercises, or only the one of this number."""
    from minispiral.cli import tables
    from minispiral.exercises.catalogue import catalogue, find

    listed = list(catalogue().values()) if number is None else [find(number)]
    if as_json:
        keys = ("number", "function", "title")
        print_json({"exercises": [{key: vars(e)[key] for key in keys} for e in listed]})
    else:
        show(tables.exercises(listed))


def check(number: str, answer: Path, as_json: bool) -> None:
    """Print whether the answer is right; `Failure` if it is not."""
    from minispiral.exercises import Wrong
    from minispiral.exercises.catalogue import check_answer

    wrong = None
    try:
        check_answer(number, answer)
    except Wrong as found:
        wrong = str(found).rstrip(".") + "."
    if as_json:
        print_json({"number": number, "right": wrong is None, "wrong": wrong})
    if wrong is not None:
        raise Failure(f"{number} is not right yet: {wrong}")
    if not as_json:
        click.echo(f"{number} is right.")
