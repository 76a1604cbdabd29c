"""Both sides trained, compared, and the comparison as a table."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.table import Table

from tests.twin import golden_files, minispiral_side
from tests.twin.comparison import KINDS, LIMIT, compare
from tests.twin.task import Task


def measure(tasks: Iterable[Task], path: Path | None) -> dict[str, Any]:
    """Compare the two on each task; write the fingerprints of PyTorch's side to ``path``."""
    import torch

    from tests.twin import torch_side

    networks, kept = {}, {}
    for task in tasks:
        theirs = list(torch_side.steps(task))
        found = compare(minispiral_side.steps(task), theirs)
        networks[task.network] = {
            "task": task._asdict(),
            **{what: deviation._asdict() for what, deviation in found.items()},
        }
        kept[task.network] = {"task": task._asdict(), **golden_files.fingerprints(theirs)}
    if path is not None:
        facts = {"command": f"python -m tests.twin --write {path}", "torch": torch.__version__}
        golden_files.write(path, {**facts, "numbers": golden_files.NUMBERS, "networks": kept})
    agree = all(
        network[what]["relative"] <= LIMIT for network in networks.values() for what in KINDS
    )
    return {"torch": torch.__version__, "limit": LIMIT, "agree": agree, "networks": networks}


def table(report: dict[str, Any]) -> Table:
    """The report for a person to read."""
    shown = Table(
        title=f"minispiral against PyTorch {report['torch']}, float64:\nworst relative deviations",
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
