"""Training and inference by minispiral and by every form of PyTorch, which take turns."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

from rich.table import Table

from bench.common import text
from bench.common.engines import COMPILED, EAGER, LAYOUTS, OURS
from bench.common.results import spread
from bench.common.task import Task
from bench.common.worker import Worker
from bench.gpu.reporting import Report, quiet
from bench.gpu.session import SECONDS, RequestFailed, Session, WorkerSession

MODES, PRECISIONS = ("train", "infer"), ("tf32", "float32")
CALLS = 5  # steps in a row whose average is one measurement
COMPILING = 400.0  # seconds that PyTorch may take to answer

Sessions = Mapping[str, Session]


def torch_sessions(compiled: bool = False, device: str = "cuda") -> dict[str, WorkerSession]:
    """Workers with PyTorch in each layout, and each compiled too."""
    return {
        form.name: WorkerSession(
            partial(
                Worker,
                "torch.gpu",
                patience=COMPILING if form.compiled else SECONDS,
                device=device,
                **form._asdict(),
            )
        )
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
    report: Report = quiet,
) -> dict[str, Any]:
    """By mode and precision, the median seconds and the memory of every form.

    Steps launched one by one race each other, and so do graphs; minispiral's graph is in both
    races.
    """
    found: dict[str, Any] = {**vars(task)}
    races = list(product(MODES, PRECISIONS, (False, True)))
    for i, (mode, precision, graph) in enumerate(races):
        request = {"task": vars(replace(task, mode=mode)), "precision": precision}
        forms = found.setdefault(f"{mode} {precision}", {})
        entrants = {f"{OURS} graph": (open_ours(), True)}
        if not graph:
            entrants[OURS] = (open_ours(), False)
        for name, session in theirs.items():
            entrants[f"{name} graph" if graph else name] = (session, graph)

        for turn, name, result in race(entrants, request, repeats):
            again = graph and name == f"{OURS} graph"
            forms[f"{name}, again" if again else name] = result
            item = {"mode": mode, "precision": precision, "form": name, **result}
            report(item, found, (i + turn / (repeats + 1)) / len(races))
        for name, (session, _) in entrants.items():
            if is_ours(name):
                session.close()
            else:
                rest(session)
    return found


def race(
    entrants: Mapping[str, tuple[Session, bool]], request: Mapping[str, Any], repeats: int
) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Each form warms up alone, then they take turns; one that fails once is left out.

    Gives the turn, the form and what is known of it after each answer but those of the warm-up.
    """
    seconds: dict[str, list[float]] = {name: [] for name in entrants}
    failed: set[str] = set()
    for turn in range(repeats + 1):
        for name, (session, graph) in entrants.items():
            if name in failed:
                continue
            try:
                answer = session.ask(what="steps", graph=graph, count=CALLS, **request)
            except RequestFailed as error:
                failed.add(name)
                yield turn, name, error.as_dict()
                continue
            if turn > 0:
                seconds[name].append(answer["step"])
                mib, parameters = answer["bytes"] / 2**20, answer["parameters"]
                yield turn, name, {**spread(seconds[name]), "mib": mib, "parameters": parameters}


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
        kinds = [found.get(f"{mode} {precision}", {}) for precision in PRECISIONS]
        for name in dict.fromkeys(name for kind in kinds for name in kind):
            cells = [name if is_ours(name) else f"PyTorch {name}"]
            for kind in kinds:
                form = kind.get(name, {})
                if "seconds" not in form:
                    cells += [form.get("error", "not run"), "", ""]
                    continue
                ends = form["fastest_seconds"], form["slowest_seconds"]
                cells += [
                    text.milliseconds(form["seconds"], 2),
                    "..".join(text.milliseconds(end, 2) for end in ends),
                    f"{form['mib']:.0f}",
                ]
            shown.add_row(*cells)
        yield shown
