"""``minispiral gradcheck``."""

import click

from minispiral.cli.group import Failure
from minispiral.cli.options import device_option, json_option
from minispiral.cli.terminal import announce, print_json, show

SHOWN_FAILURES = 3  # in full; the table lists all


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--seed", default=0, metavar="S", help="Seed of the random inputs.")
@device_option
@json_option
def gradcheck(names: tuple[str, ...], seed: int, device: str, as_json: bool) -> None:
    """Check the gradients of all operations, layers, losses and networks.

    Compares back-propagation in float64, also on a GPU, with complex steps or central differences,
    and forward passes with plain loops. Eq. 11, which is not a derivative, is checked against what
    the paper says of it. NAME selects what is checked. The exit code is 1 if any check fails; the
    first failures are printed in full.

    \b
    Examples: minispiral gradcheck
              minispiral gradcheck conv2d batch_norm
              minispiral gradcheck pseudo-f1 --json
    """
    from minispiral.cli import tables
    from minispiral.cli.progress import TerminalReporter
    from minispiral.gradcheck import check_library

    announce(device)
    with TerminalReporter() as terminal:
        reports = check_library(
            names,
            seed,
            lambda name, done, total: terminal.show("checking", done, total, name),
            device,
        )
    failed = [report for report in reports if not report.passed]
    if as_json:
        print_json(
            {
                "passed": not failed,
                "seed": seed,
                "seconds": sum(report.seconds for report in reports),
                "checks": [report.as_dict() for report in reports],
            }
        )
    else:
        for report in failed[:SHOWN_FAILURES]:
            click.echo(f"{report}\n")
        show(tables.checks(reports))
    if failed:
        raise Failure(f"{len(failed)} of {len(reports)} checks failed, first {failed[0].name}.")
