"""``python -m bench``: every measurement is a command."""

from typing import Any

import click

from bench.common.worker import WorkerError
from bench.cpu.command import cpu
from bench.cpu.costs import costs
from bench.cpu.scores import scores
from bench.gpu.command import gpu
from bench.measure.command import command as measure
from bench.paper.baselines import baselines
from bench.paper.command import paper
from bench.paper.joints import joints
from bench.pretrained.command import command as pretrained
from bench.scale.command import scale
from bench.scale.decoding import decoding
from minispiral.errors import UserError


class Measurements(click.Group):
    """Commands that say in one line what went wrong."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (UserError, WorkerError) as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=Measurements)
def main() -> None:
    """Measure minispiral on this machine."""


for command in (
    baselines,
    costs,
    cpu,
    decoding,
    gpu,
    joints,
    measure,
    paper,
    pretrained,
    scale,
    scores,
):
    main.add_command(command)


if __name__ == "__main__":
    main(prog_name="python -m bench")
