"""``minispiral check``."""

from collections.abc import Sequence
from pathlib import Path

import click

from minispiral.cli.group import Failure, with_advice
from minispiral.cli.options import PATH, dataset_options, json_option
from minispiral.cli.terminal import print_json, progress_bar, say, show
from minispiral.errors import UserError


def web_page(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """A file with the suffix of a page, in a folder that is there: found before the long work."""
    if value is not None and value.suffix.lower() not in (".html", ".htm"):
        raise click.BadParameter(f"{value} is no page; give a name that ends in .html.")
    if value is not None and not value.parent.is_dir():
        raise click.BadParameter(f"there is no folder {value.parent}; make it first.")
    return value


@click.command()
@click.argument("data", type=PATH)
@click.option(
    "--val", type=PATH, metavar="DATA", help="Photographs to validate on: none may be in both."
)
@click.option(
    "--out",
    type=PATH,
    callback=web_page,
    metavar="PAGE.html",
    help="Write a contact sheet: every mask laid over its photograph.",
)
@dataset_options
@json_option
def check(
    data: Path,
    val: Path | None,
    out: Path | None,
    mask_suffix: str,
    recursive: bool,
    as_stored: bool,
    as_json: bool,
) -> None:
    """Find what is wrong with the photographs and masks in DATA.

    Errors, such as photographs without a mask, end with exit code 1. Warnings, such as a mask that
    lies beside its crack or a photograph that is in both sets, do not.

    \b
    Examples: minispiral check concrete
              minispiral check concrete --val others --out check.html
    """
    from minispiral.cli import tables
    from minispiral.data import check as job
    from minispiral.data.doubts import in_short
    from minispiral.report.contact_sheet import ContactSheet

    sheet = ContactSheet() if out else None
    layout = mask_suffix, recursive, as_stored
    try:
        with progress_bar("checking") as (progress, _):
            found = job.check(data, val, *layout, progress, sheet.add if sheet else None)
    except UserError as error:
        if not as_json:
            raise
        text = with_advice(error, click.get_current_context().command)
        problem = {"file": str(data), "kind": "pairs", "text": text}
        print_json({"errors": [problem], "warnings": [], "crack_share": None})
        raise Failure(text) from error
    if sheet and out:
        sheet.write(out, found)
    if as_json:
        print_json(found.as_dict())
    else:
        for checked in found.sets:
            show(tables.checked(checked))
            say(f"{checked.dataset.folder}: {checked.dataset.summary()}")
    for line in in_short(found.errors):
        say(f"error: {line}", err=True)
    for line in in_short(found.warnings):
        say(f"warning: {line}", err=True)
    if not as_json:
        say(f"{_number(found.errors, 'error')}, {_number(found.warnings, 'warning')}")
    if sheet:
        say(f"contact sheet: {out}", err=as_json)
    if found.errors:
        raise SystemExit(1)


def _number(problems: Sequence[object], name: str) -> str:
    return f"{len(problems)} {name}{'s' * (len(problems) != 1)}"
