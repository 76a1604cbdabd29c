"""minispiral's side of the twin."""

from collections.abc import Iterator

import numpy as np

from minispiral.losses import pseudo_f1
from minispiral.optim import Adam
from minispiral.tensor import Tensor
from tests.twin.task import Step, Task, batch, network_of, start


def steps(task: Task) -> Iterator[Step]:
    """Train as ``task`` says."""
    network = network_of(task).astype(np.float64)
    network.load_state(start(task))
    network.train()
    adam = Adam(network.named_parameters(), lr=task.lr)
    for k in range(task.steps):
        x, mask = batch(k, task.batch, task.side)
        adam.zero_grad()
        loss = pseudo_f1(network(Tensor(x)), mask)
        loss.backward()
        adam.step()
        yield Step(
            float(loss.data),
            {name: np.array(p.grad) for name, p in network.named_parameters()},
            {name: array.copy() for name, array in network.state().items()},
        )
