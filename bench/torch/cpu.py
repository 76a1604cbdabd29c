"""A worker that takes steps in PyTorch on the CPU."""

from typing import Any

import torch

from bench.common.task import Task
from bench.common.worker import Served
from bench.torch.step import Step


def worker(task: dict[str, Any], layout: str, compiled: bool = False) -> Served:
    """Takes a step at each request."""
    step = Step(Task(**task), layout, compiled)
    facts = {"parameters": step.parameters, "threads": torch.get_num_threads()}
    return facts, lambda request: step()
