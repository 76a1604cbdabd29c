"""``python -m bench bugs``."""

import json
import sys

import click

from bench.bugs import BUGS
from bench.bugs.report import measure, table, uncaught
from minispiral.cli.terminal import show


@click.command()
@click.argument("names", nargs=-1, metavar="[BUG]...", type=click.Choice(list(BUGS)))
@click.option("--properties", is_flag=True, help="Run the tests of properties with every bug.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bugs(names: tuple[str, ...], properties: bool, as_json: bool) -> None:
    """Plant known bugs one by one, or those named BUG, and see what catches each.

    That is `minispiral gradcheck`; for the few bugs that no gradient shows it is the tests of
    properties. The exit code is 1 if a bug was caught by nothing, or if something fails without
    any.
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
