"""``python -m tests.resume``: kill training at random moments, resume it and compare the bits."""

import sys

import click

from tests.resume.experiment import measure


@click.command()
@click.option("--kills", default=20, show_default=True, type=click.IntRange(1), help="Runs killed.")
@click.option(
    "--steps", default=400, show_default=True, type=click.IntRange(1), help="Of each run."
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="Of the moments and of the training.",
)
def main(kills: int, steps: int, seed: int) -> None:
    """Kill training at random moments, resume it and compare the bits.

    The exit code is 1 if any run ended with other bits than the undisturbed one.
    """
    if not measure(kills, steps, seed):
        sys.exit(1)


if __name__ == "__main__":
    main(prog_name="python -m tests.resume")
