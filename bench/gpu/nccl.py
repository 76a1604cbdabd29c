"""A training step with the calls of NCCL in its graph, beside one without.

There is one process, so that every sum is its own: the bits must be the same.
"""

from collections.abc import Callable, Iterable
from typing import Any

from rich.table import Table

from bench.common import text
from bench.common.task import Task
from bench.gpu.session import RequestFailed, Session

STEPS = 5
FORMS = (("alone", False), ("NCCL", True))


def measure(
    task: Task, open_ours: Callable[[], Session], precision: str = "tf32"
) -> dict[str, Any]:
    """Hashes of the weights after the same steps, and the seconds of a step."""
    found: dict[str, Any] = {"steps": STEPS, "digests": {}, "seconds": {}, "errors": {}}
    for name, nccl in FORMS:
        session = open_ours()
        request = {"task": vars(task), "precision": precision, "graph": True, "nccl": nccl}
        try:
            digest = session.ask(what="digest", count=STEPS, **request)["digest"]
            found["seconds"][name] = session.ask(what="steps", count=STEPS, **request)["step"]
            found["digests"][name] = digest
        except RequestFailed as error:
            found["errors"][name] = str(error)
        session.close()
    return found


def tables(found: dict[str, Any]) -> Iterable[Table]:
    """The report for a person to read."""
    title = f"The captured step, and the bits of all weights after {found['steps']} more"
    shown = text.table(title, ["form", "bits"], ["ms"])
    for name, _ in FORMS:
        if name in found["errors"]:
            shown.add_row(name, found["errors"][name], "")
        else:
            milliseconds = text.milliseconds(found["seconds"][name], 2)
            shown.add_row(name, found["digests"][name][:12], milliseconds)
    return [shown]
