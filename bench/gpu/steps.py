"""Training and inference by minispiral and by every form of PyTorch, which take turns."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from rich.table import Table

from bench.common import text
from bench.common.engines import COMPILED, EAGER, LAYOUTS, OURS
from bench.common.results import spread
from bench.common.task import Task
from bench.common.worker import Worker
from bench.gpu.session import RequestFailed, Session, WorkerSession

MODES, PRECISIONS = ("train", "infer"), ("tf32", "float32")
CALLS = 5  # steps in a row whose average is one measurement
COMPILING = 400.0  # seconds that PyTorch may take to answer

Sessions = Mapping[str, Session]


def torch_sessions(compiled: bool = True) -> dict[str, WorkerSession]:
    """Workers with PyTorch in each layout, and each compiled too."""
    return {
        form.name: WorkerSession(partial(Worker, "torch.gpu", **form._asdict()), COMPILING)
        for form in (EAGER + COMPILED if compiled else EAGER)
    }


def prepare(theirs: Session, task: Task) -> None:
    """Have PyTorch compile what it will run, while nothing is timed."""
    for mode in MODES:
        request = {"task": vars(replace(task, mode=mode)), "precision": PRECISIONS[0]}
        theirs.ask(what="steps", graph=False, count=1, benchmark=False, **request)
    theirs.ask(what="rest")


def measure(
    task: Task,
    repeats: int,
    theirs: Sessions,
    open_ours: Callable[[], Session],
    report: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, Any]:
    """By mode and precision, the median seconds and the memory of every form.

    Steps launched one by one race each other, and so do graphs; minispiral's graph is in both
    races.
    """
    found: dict[str, Any] = {**vars(task)}
    kinds = [(mode, precision) for mode in MODES for precision in PRECISIONS]
    for i, (mode, precision) in enumerate(kinds):
        request = {"task": vars(replace(task, mode=mode)), "precision": precision}
        forms: dict[str, Any] = {}
        for graph in (False, True):
            entrants = {f"{OURS} graph": (open_ours(), True)}
            if not graph:
                entrants[OURS] = (open_ours(), False)
            for name, session in theirs.items():
                entrants[f"{name} graph" if graph else name] = (session, graph)
            for name, result in race(entrants, request, repeats).items():
                if name == f"{OURS} graph" and graph:
                    name = f"{OURS} graph, again"
                forms[name] = result
            for name, (session, _) in entrants.items():
                if is_ours(name):
                    session.close()
                else:
                    rest(session)
        found[f"{mode} {precision}"] = forms
        report(i + 1, len(kinds))
    return found


def race(
    entrants: Mapping[str, tuple[Session, bool]], request: Mapping[str, Any], repeats: int
) -> dict[str, Any]:
    """Each form warms up alone, then they take turns; one that fails once is left out."""
    errors: dict[str, str] = {}
    seconds: dict[str, list[float]] = {name: [] for name in entrants}
    last: dict[str, Any] = {}
    for turn in range(repeats + 1):
        for name, (session, graph) in entrants.items():
            if name in errors:
                continue
            try:
                last[name] = session.ask(what="steps", graph=graph, count=CALLS, **request)
            except RequestFailed as error:
                errors[name] = str(error)
                continue
            if turn > 0:
                seconds[name].append(last[name]["step"])
    return {
        name: {"error": errors[name]}
        if name in errors
        else {
            **spread(seconds[name]),
            "mib": last[name]["bytes"] / 2**20,
            "parameters": last[name]["parameters"],
        }
        for name in entrants
    }


def rest(session: Session) -> None:
    """Have a session free the GPU's memory; one that cannot is started anew at its next request."""
    try:
        session.ask(what="rest")
    except RequestFailed:
        session.close()


def best(
    forms: Mapping[str, Any] | None, chosen: Callable[[str], bool]
) -> tuple[str, float] | None:
    """The fastest of the forms that were measured, and its seconds."""
    seconds = {
        name: form["seconds"]
        for name, form in (forms or {}).items()
        if chosen(name) and "seconds" in form
    }
    if not seconds:
        return None
    name = min(seconds, key=lambda name: seconds[name])
    return name, seconds[name]


def is_ours(name: str) -> bool:
    return name.startswith(OURS)


def is_eager(name: str) -> bool:
    """Whether this is PyTorch as it runs by default."""
    return name in LAYOUTS


def is_theirs(name: str) -> bool:
    return not is_ours(name)


def tables(found: dict[str, Any]) -> Iterable[Table]:
    """The report for a person to read."""
    for mode in MODES:
        shown = text.table(
            f"{'Training step' if mode == 'train' else 'Inference'}, batch {found['batch']}, "
            f"{found['side']} x {found['side']} pixels, width {found['width']:g}",
            ["form"],
            [column for precision in PRECISIONS for column in (f"{precision} ms", "range", "MiB")],
        )
        kinds = [found[f"{mode} {precision}"] for precision in PRECISIONS]
        for name in dict.fromkeys(name for kind in kinds for name in kind):
            cells = [name if is_ours(name) else f"PyTorch {name}"]
            for kind in kinds:
                form = kind[name]
                if "error" in form:
                    cells += [form["error"], "", ""]
                    continue
                ends = form["fastest_seconds"], form["slowest_seconds"]
                cells += [
                    text.milliseconds(form["seconds"], 2),
                    "..".join(text.milliseconds(end, 2) for end in ends),
                    f"{form['mib']:.0f}",
                ]
            shown.add_row(*cells)
        yield shown
