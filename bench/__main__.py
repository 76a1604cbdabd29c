"""``python -m bench``: every measurement is a command."""

import shlex
import sys
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
from bench.paper.moved import command as moved
from bench.paper.runner import StoppedByUser
from bench.pretrained.command import command as pretrained
from bench.pretrained.surfaces import command as surfaces
from bench.recipe.ablation import command as ablation
from bench.recipe.few import command as few
from bench.scale.command import scale
from bench.scale.decoding import decoding
from minispiral.errors import UserError
from minispiral.training.interrupt import Interrupted


class Measurements(click.Group):
    """Commands that say in one line what went wrong."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (UserError, WorkerError) as error:
            raise click.ClickException(str(error)) from None
        except (StoppedByUser, Interrupted) as stopped:
            again = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
            click.echo(f"Stopped; go on with: {again}", err=True)
            sys.exit(128 + stopped.signum)


@click.group(cls=Measurements)
def main() -> None:
    """Measure minispiral on this machine."""


for command in (
    ablation,
    baselines,
    costs,
    cpu,
    decoding,
    few,
    gpu,
    joints,
    measure,
    moved,
    paper,
    pretrained,
    scale,
    scores,
    surfaces,
):
    main.add_command(command)


if __name__ == "__main__":
    main(prog_name="python -m bench")
