"""``python -m tests.bugs``: plant known bugs one by one and see what catches each."""

import json
import sys

import click

from minispiral.cli.terminal import show
from tests.bugs import BUGS
from tests.bugs.report import measure, table, uncaught


@click.command()
@click.argument("names", nargs=-1, metavar="[BUG]...", type=click.Choice(list(BUGS)))
@click.option("--properties", is_flag=True, help="Run the property tests with every bug.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(names: tuple[str, ...], properties: bool, as_json: bool) -> None:
    """Plant all known bugs one by one, or those named BUG, and see what catches each.

    That is `minispiral gradcheck`, or for the few bugs that no gradient shows the property tests.
    The exit code is 1 if a bug was not caught, or if something fails without any bug.
    """
    chosen = names or tuple(BUGS)
    rows = measure(chosen, properties, lambda name: click.echo(name or "no bug", err=True))
    sound, missed = not rows[0]["exit_code"] and not rows[0]["tests"], uncaught(rows)
    if as_json:
        click.echo(json.dumps({"sound": sound, "missed": missed, "bugs": rows}))
    else:
        show(table(rows))
        click.echo(f"{len(chosen) - len(missed)} of {len(chosen)} bugs were caught")
    if not sound:
        raise click.ClickException("something fails without any bug: see the first row")
    if missed:
        sys.exit(1)


if __name__ == "__main__":
    main(prog_name="python -m tests.bugs")
