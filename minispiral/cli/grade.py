"""``minispiral grade``."""

from pathlib import Path

import click

from minispiral.cli.options import PATH, json_option, timeout_option
from minispiral.cli.terminal import print_json, say


@click.command()
@click.argument("folder", type=PATH)
@click.option(
    "--out", type=PATH, metavar="FILE.csv", help="Write the table here.  [default: print it]"
)
@click.option(
    "--exercises", metavar="N.M,...", help="Only these count, such as 1.1,1.2.  [default: all]"
)
@timeout_option
@json_option
def grade(
    folder: Path, out: Path | None, exercises: str | None, timeout: float, as_json: bool
) -> None:
    """Grade the answers of a class to the exercises of the book.

    FOLDER holds for each student a file NAME.py, or a folder NAME of such files. The table has a
    row for each: the points (an exercise is worth its difficulty), which exercises are right, and
    what is wrong with the first one that is not.

    Each file runs as a copy in a process of its own, with a limit of time, memory and the size of
    files, and changes no files but its own. That is no fence against malice: use a container for
    code that you do not trust.

    \b
    Examples: minispiral grade answers --out points.csv
              minispiral grade answers --exercises 1.1,1.2,1.3 --timeout 20
    """
    from minispiral.exercises.catalogue import find
    from minispiral.exercises.grading import as_csv, check_csv, write_csv
    from minispiral.exercises.grading import grade as grade_folder

    if out is not None:
        check_csv(out)
    numbers = None
    if exercises is not None:
        numbers = [find(number.strip()).number for number in exercises.split(",")]
    graded = grade_folder(
        folder, numbers, timeout, progress=lambda name: say(f"{name} ...", err=True)
    )
    if as_json:
        rows = [
            {
                "name": one.name,
                "points": one.points(),
                "wrong": {number: verdict.wrong for number, verdict in one.verdicts.items()},
            }
            for one in graded
        ]
        print_json({"answers": rows})
    if out is not None:
        write_csv(out, graded)
        say(f"{out}: {len(graded)} sets of answers", err=True)
    elif not as_json:
        click.echo(as_csv(graded), nl=False)
