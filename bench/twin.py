"""minispiral and PyTorch train the same networks on the same batches, number for number.

Both in float64, from the same weights. ``python -m bench twin`` compares the two after every step.
With ``--write`` it also keeps fingerprints of PyTorch's numbers, which minispiral is tested
against where there is no PyTorch.

What differs is rounding, and Adam is what amplifies it most: an element ``g`` of a gradient moves
its weight by about ``lr * g / (abs(g) + eps)``, so an error in a ``g`` near zero grows up to
``lr / eps``, a hundred thousandfold.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

from bench.twin_task import Array, Step, Task, batch, uniform, weights
from minispiral.losses import pseudo_f1
from minispiral.networks import build
from minispiral.optim import Adam
from minispiral.tensor import Tensor

LIMIT = 1e-9  # of every deviation
KINDS = ("losses", "gradients", "weights")  # what is compared; running statistics count as weights
PROJECTIONS = 3
DIGITS = 14  # significant ones in the golden file

COMMAND = "python -m bench twin --write tests/twin/golden/torch_steps.json"
NUMBERS = (
    f"Of each tensor its largest magnitude, then {PROJECTIONS} sums over all its elements, each "
    "times a fixed factor of its own, of magnitude 1 to 2 (bench.twin.fingerprint). Gradients are "
    "those of the first and of the last step, weights those after the last, running statistics "
    "among them."
)


class Deviation(NamedTuple):
    """A difference relative to the largest magnitude in its tensor, and the place of it."""

    relative: float
    where: str


def steps(task: Task) -> Iterator[Step]:
    """minispiral's side: train as ``task`` says."""
    rng = np.random.default_rng(0)  # its numbers are replaced
    network = build(task.network, depths=task.depths, width=task.width, rng=rng).astype(np.float64)
    network.load_state(weights({name: array.shape for name, array in network.state().items()}))
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


def compare(ours: Iterable[Step], theirs: Iterable[Step]) -> dict[str, Deviation]:
    """The worst deviation of losses, gradients and weights over all steps and elements."""
    found: dict[str, list[Deviation]] = {what: [] for what in KINDS}
    for k, (a, b) in enumerate(zip(ours, theirs, strict=True), 1):
        found["losses"].append(Deviation(abs(a.loss / b.loss - 1), f"step {k}"))
        for what, own, other in (
            ("gradients", a.gradients, b.gradients),
            ("weights", a.weights, b.weights),
        ):
            assert own.keys() == other.keys()
            for name, array in other.items():
                assert own[name].shape == array.shape
                relative = deviation(own[name], array, np.abs(array).max())
                found[what].append(Deviation(relative, f"{name}, step {k}"))
    return {what: worst(deviations) for what, deviations in found.items()}


def compare_fingerprints(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Deviation]:
    """The worst deviation of the losses and of each kind of tensor that `fingerprints` kept."""
    assert ours.keys() == theirs.keys()
    losses = zip(ours["losses"], theirs["losses"], strict=True)
    found = {
        "losses": worst(
            Deviation(abs(a / b - 1), f"step {k}") for k, (a, b) in enumerate(losses, 1)
        )
    }
    for what in [key for key in theirs if key != "losses"]:
        assert ours[what].keys() == theirs[what].keys()
        found[what] = worst(
            Deviation(deviation(ours[what][name], numbers, numbers[0]), name)
            for name, numbers in theirs[what].items()
        )
    return found


def deviation(ours: Any, theirs: Any, scale: float) -> float:
    """The largest difference over ``scale``; zeros must be zeros on both sides."""
    difference = float(np.abs(np.subtract(ours, theirs)).max())
    return difference / float(scale) if scale else (np.inf if difference else 0.0)


def worst(deviations: Iterable[Deviation]) -> Deviation:
    return max(deviations, key=lambda d: np.inf if np.isnan(d.relative) else d.relative)


def fingerprint(name: str, array: Array) -> list[float]:
    """The largest magnitude, and sums that no element can change without being noticed.

    The factors of a sum are spread over -2 to -1 and 1 to 2: none is small, hardly two are equal,
    and what cancels in one sum does not in the next.
    """
    numbers = [float(np.abs(array).max())]
    for k in range(PROJECTIONS):
        u = uniform(f"{name} {k}", *array.shape)
        numbers.append(float(np.sum(array * (u + np.copysign(1, u)))))
    return [float(f"{number:.{DIGITS - 1}e}") for number in numbers]


def fingerprints(done: Sequence[Step]) -> dict[str, Any]:
    """What the golden file keeps of a training: see `NUMBERS`."""
    kept = {
        "gradients of step 1": done[0].gradients,
        f"gradients of step {len(done)}": done[-1].gradients,
        "weights": done[-1].weights,
    }
    return {
        "losses": [step.loss for step in done],
        **{
            what: {name: fingerprint(name, array) for name, array in tensors.items()}
            for what, tensors in kept.items()
        },
    }


def measure(tasks: Iterable[Task], golden: Path | None) -> dict[str, Any]:
    """Compare the two on each task; write the fingerprints of PyTorch's side to ``golden``."""
    import torch

    import bench.twin_torch

    networks, kept = {}, {}
    for task in tasks:
        theirs = list(bench.twin_torch.steps(task))
        found = compare(steps(task), theirs)
        networks[task.network] = {
            "task": task._asdict(),
            **{what: deviation._asdict() for what, deviation in found.items()},
        }
        kept[task.network] = {"task": task._asdict(), **fingerprints(theirs)}
    if golden is not None:
        golden.parent.mkdir(parents=True, exist_ok=True)
        facts = {"command": COMMAND, "torch": torch.__version__, "numbers": NUMBERS}
        golden.write_text(lines({**facts, "networks": kept}) + "\n", encoding="utf-8")
    agree = all(
        network[what]["relative"] <= LIMIT for network in networks.values() for what in KINDS
    )
    return {"torch": torch.__version__, "limit": LIMIT, "agree": agree, "networks": networks}


def lines(value: Any, indent: str = "") -> str:
    """JSON with a line for every entry of an object, lists in one line."""
    if not isinstance(value, dict):
        return json.dumps(value)
    inner = indent + " "
    entries = (f"{inner}{json.dumps(key)}: {lines(entry, inner)}" for key, entry in value.items())
    return "{\n" + ",\n".join(entries) + f"\n{indent}}}"


def table(report: dict[str, Any]) -> Table:
    """The report for a person to read."""
    shown = Table(
        title=f"minispiral beside PyTorch {report['torch']}, float64:\nworst relative deviations",
        caption=(
            "Of every element after every step, relative to the largest magnitude in its tensor. "
            f"{'All' if report['agree'] else 'Not all'} are within {report['limit']:g}."
        ),
        caption_justify="left",
    )
    shown.add_column("network")
    for column in ("width", "batch", "side", "steps", *KINDS):
        shown.add_column(column, justify="right", no_wrap=True)
    for name, network in report["networks"].items():
        task = network["task"]
        shown.add_row(
            name,
            f"{task['width']:g}",
            *(str(task[key]) for key in ("batch", "side", "steps")),
            *(f"{network[what]['relative']:.1e}" for what in KINDS),
        )
    return shown
