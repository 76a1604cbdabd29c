"""The files in ``golden/``: fingerprints of PyTorch's numbers, small enough to be kept."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.twin.comparison import Deviation, deviation, worst
from tests.twin.task import Array, Step, uniform

FOLDER = Path(__file__).with_name("golden")
STEPS, VGG = FOLDER / "torch_steps.json", FOLDER / "torch_vgg.json"
PROJECTIONS = 3
DIGITS = 14  # significant ones in the file
NUMBERS = (
    f"Of each tensor its largest magnitude, then {PROJECTIONS} sums over all its elements, each "
    "times a fixed factor of its own, of magnitude 1 to 2 (tests.twin.golden_files.fingerprint). "
    "Gradients are those of the first and of the last step, weights those after the last, running "
    "statistics among them."
)


def fingerprint(name: str, array: Array) -> list[float]:
    """The largest magnitude, and sums that change whenever any element does.

    The factors of a sum are spread over -2 to -1 and 1 to 2: none is small, hardly any two are
    equal, and what cancels in one sum does not in the next.
    """
    numbers = [float(np.abs(array).max())]
    for k in range(PROJECTIONS):
        u = uniform(f"{name} {k}", *array.shape)
        numbers.append(float(np.sum(array * (u + np.copysign(1, u)))))
    return [float(f"{number:.{DIGITS - 1}e}") for number in numbers]


def fingerprints(done: Sequence[Step]) -> dict[str, Any]:
    """What is kept of a training: see `NUMBERS`."""
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


def compare_fingerprints(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Deviation]:
    """The worst deviation of the losses and of each kind of tensor that `fingerprints` keeps."""
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


def write(path: Path, facts: Mapping[str, Any]) -> None:
    """Write ``facts`` as JSON with a line for every entry of an object and lists on one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_lines(facts) + "\n", encoding="utf-8")


def _lines(value: Any, indent: str = "") -> str:
    if not isinstance(value, Mapping):
        return json.dumps(value)
    inner = indent + " "
    entries = (f"{inner}{json.dumps(key)}: {_lines(entry, inner)}" for key, entry in value.items())
    return "{\n" + ",\n".join(entries) + f"\n{indent}}}"
