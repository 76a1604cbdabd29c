"""A training step with the calls of NCCL in its graph, beside one without.

There is one process, so that every sum is its own: the bits must be the same.
"""

from collections.abc import Callable, Iterable
from typing import Any

from rich.table import Table

from bench.common import text
from bench.common.task import Task
from bench.gpu.reporting import Report, quiet
from bench.gpu.session import RequestFailed, Session

STEPS = 5
FORMS = (("alone", False), ("NCCL", True))


def measure(
    task: Task,
    open_ours: Callable[[], Session],
    precision: str = "tf32",
    report: Report = quiet,
) -> dict[str, Any]:
    """Hashes of the weights after the same steps, and the seconds of a step."""
    found: dict[str, Any] = {"steps": STEPS, "digests": {}, "seconds": {}, "errors": {}}
    for i, (name, nccl) in enumerate(FORMS):
        session = open_ours()
        request = {"task": vars(task), "precision": precision, "graph": True, "nccl": nccl}
        item: dict[str, Any] = {"form": name}
        try:
            item["digest"] = session.ask(what="digest", count=STEPS, **request)["digest"]
            item["seconds"] = session.ask(what="steps", count=STEPS, **request)["step"]
            found["digests"][name], found["seconds"][name] = item["digest"], item["seconds"]
        except RequestFailed as error:
            found["errors"][name] = str(error)
            item |= error.as_dict()
        session.close()
        report(item, found, (i + 1) / len(FORMS))
    return found


def tables(found: dict[str, Any]) -> Iterable[Table]:
    """The report for a person to read."""
    title = f"The captured step, and the bits of all weights after {found['steps']} more"
    shown = text.table(title, ["form", "bits"], ["ms"])
    for name, _ in FORMS:
        if name not in found["seconds"]:
            shown.add_row(name, found["errors"].get(name, "not run"), "")
        else:
            milliseconds = text.milliseconds(found["seconds"][name], 2)
            shown.add_row(name, found["digests"][name][:12], milliseconds)
    return [shown]
