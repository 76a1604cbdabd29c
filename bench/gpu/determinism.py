"""Whether the same steps give the same bits in separate processes."""

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

from rich.table import Table

from bench.common import text
from bench.common.task import Task
from bench.gpu.reporting import Report, quiet
from bench.gpu.session import RequestFailed, Session

STEPS = 5
PRECISIONS = "tf32", "float32"
RUNS = (("launched", False), ("launched, again", False), ("graph", True), ("graph, again", True))


def measure(
    task: Task,
    open_ours: Callable[[], Session],
    report: Report = quiet,
) -> dict[str, Any]:
    """Hashes of the weights after the same steps, taken four times."""
    found: dict[str, Any] = {"steps": STEPS}
    for i, (precision, (name, graph)) in enumerate(product(PRECISIONS, RUNS)):
        of = found.setdefault(precision, {"digests": {}, "errors": {}, "same_bits": None})
        session = open_ours()
        request = {"task": vars(task), "precision": precision, "graph": graph}
        item = {"precision": precision, "run": name}
        try:
            digest = session.ask(what="digest", count=STEPS, **request)["digest"]
            of["digests"][name] = item["digest"] = digest
        except RequestFailed as error:
            of["errors"][name] = str(error)
            item |= error.as_dict()
        session.close()
        if len(of["digests"]) == len(RUNS):
            of["same_bits"] = len(set(of["digests"].values())) == 1
        report(item, found, (i + 1) / (len(PRECISIONS) * len(RUNS)))
    return found


def tables(found: dict[str, Any]) -> Iterable[Table]:
    """The report for a person to read."""
    precisions = [name for name in PRECISIONS if name in found]
    title = f"Bits of all weights after {found['steps']} steps more than the first"
    shown = text.table(title, ["run", *precisions], [])
    for name, _ in RUNS:
        cells = [
            found[of]["digests"].get(name, "")[:12] or found[of]["errors"].get(name, "not run")
            for of in precisions
        ]
        shown.add_row(name, *cells)
    return [shown]
