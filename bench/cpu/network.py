"""The network of a task, in minispiral."""

import numpy as np

from bench.common.task import Task
from minispiral.networks import Network, build


def network_of(task: Task, rng: np.random.Generator) -> Network:
    """Spiral-Net with modules of depth 1 to the task's, or a U-Net of that depth."""
    return build(task.network, depths=range(1, task.depths + 1), width=task.width, rng=rng)
