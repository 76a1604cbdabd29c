"""Whether the same steps give the same bits in separate processes."""

from collections.abc import Callable, Iterable
from typing import Any

from rich.table import Table

from bench.common import text
from bench.common.task import Task
from bench.gpu.session import RequestFailed, Session

STEPS = 5
RUNS = (("launched", False), ("launched, again", False), ("graph", True), ("graph, again", True))


def measure(
    task: Task,
    open_ours: Callable[[], Session],
    precisions: Iterable[str] = ("tf32", "float32"),
) -> dict[str, Any]:
    """Hashes of the weights after the same steps, taken four times."""
    found: dict[str, Any] = {"steps": STEPS}
    for precision in precisions:
        digests: dict[str, str] = {}
        errors: dict[str, str] = {}
        for name, graph in RUNS:
            session = open_ours()
            request = {"task": vars(task), "precision": precision, "graph": graph}
            try:
                answer = session.ask(what="digest", count=STEPS, **request)
                digests[name] = answer["digest"]
            except RequestFailed as error:
                errors[name] = str(error)
            session.close()
        found[precision] = {
            "digests": digests,
            "errors": errors,
            "same_bits": None if errors else len(set(digests.values())) == 1,
        }
    return found


def tables(found: dict[str, Any]) -> Iterable[Table]:
    """The report for a person to read."""
    precisions = [name for name in found if name != "steps"]
    title = f"Bits of all weights after {found['steps']} steps more than the first"
    shown = text.table(title, ["run", *precisions], [])
    for name, _ in RUNS:
        cells = [
            found[precision]["digests"].get(name, "")[:12] or found[precision]["errors"][name]
            for precision in precisions
        ]
        shown.add_row(name, *cells)
    return [shown]
