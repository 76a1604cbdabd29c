"""The parts of `bench gpu` as stages, each item of theirs an item of the log."""

from dataclasses import replace

from bench.common.engines import COMPILED, OURS
from bench.gpu import ceilings, checks, detection, determinism, gradients, nccl, steps
from bench.gpu.first.log import Put
from bench.gpu.first.setting import Setting, without
from bench.gpu.reporting import Report
from bench.gpu.session import RequestFailed, Session

COMPILING = 240.0  # seconds that torch.compile may take for an answer


def telling(put: Put) -> Report:
    """What a part reports to, which puts its items in the log."""
    return lambda item, found, share: put(item)


def run_checks(setting: Setting, put: Put) -> None:
    session = setting.open("checks")
    found = checks.measure(session, setting.seed, rounds=1, report=telling(put))
    bad = [row for row in found["cases"] if not checks.passed(row)]
    wrong = [f"{row['name']}, {row['precision']}" for row in bad]
    put({"what": "all", "wrong": wrong, "kernels_not_run": found["kernels_not_run"]})
    session.close()


def run_ceilings(setting: Setting, put: Put) -> None:
    session = setting.open("ceilings")
    theirs = None if without("torch") else setting.torch("NCHW")
    repeats = 5 * setting.repeats
    ceilings.measure(session, setting.shrink, theirs, repeats, report=telling(put))
    for opened in filter(None, (session, theirs)):
        opened.close()


def run_network(setting: Setting, put: Put) -> None:
    """Graph steps, launched steps, then one launched step kernel by kernel."""
    for precision in steps.PRECISIONS:
        session = setting.open("ours")
        for form, graph in ((f"{OURS} graph", True), (OURS, False)):
            _time(session, setting, put, form, precision, graph)
        request = {"task": vars(setting.task), "precision": precision, "graph": False}
        try:
            kernels = session.ask(what="kernels", **request)["kernels"]
            total = sum(of["ms"] for of in kernels.values())
            put({"what": "kernels", "precision": precision, "ms": total, "kernels": kernels})
        except RequestFailed as error:
            put({"what": "kernels", "precision": precision, **error.as_dict()})
        session.close()


def run_torch(setting: Setting, put: Put) -> None:
    """Eager, in both layouts and precisions."""
    if _missing_torch(put):
        return
    for layout in setting.layouts:
        session = setting.torch(layout)
        for precision in steps.PRECISIONS:
            _time(session, setting, put, layout, precision, graph=False)
        session.close()


def run_gradients(setting: Setting, put: Put) -> None:
    """One step's gradients against float64, in PyTorch if it is there."""
    theirs = None if without("torch") else setting.torch("channels_last")
    gradients.measure(setting.task, lambda: setting.open("gradients"), theirs, telling(put))
    if theirs is not None:
        theirs.close()


def run_determinism(setting: Setting, put: Put) -> None:
    found = determinism.measure(setting.task, lambda: setting.open("ours"), report=telling(put))
    put({"what": "bits", **{p: found[p]["same_bits"] for p in steps.PRECISIONS}})


def run_nccl(setting: Setting, put: Put) -> None:
    found = nccl.measure(setting.task, lambda: setting.open("ours"), report=telling(put))
    bits = set(found["digests"].values())
    put({"what": "bits", "same_bits": None if found["errors"] else len(bits) == 1})


def run_detection(setting: Setting, put: Put) -> None:
    session = setting.open("detection", patience=120)
    depths, width = setting.task.depths, setting.task.width
    detection.measure(session, setting.photo, setting.repeats, depths, width, report=telling(put))
    session.close()


def run_compile(setting: Setting, put: Put) -> None:
    """torch.compile, which may take minutes before its first step."""
    if _missing_torch(put):
        return
    for form in reversed(COMPILED):
        session = setting.torch(form.layout, compiled=True, patience=COMPILING)
        for precision in steps.PRECISIONS:
            for graph in (False, True) if not setting.stand_in else (False,):
                name = f"{form.name} graph" if graph else form.name
                _time(session, setting, put, name, precision, graph)
        session.close()


def run_inference(setting: Setting, put: Put) -> None:
    """Of both, as detection needs it."""
    task = replace(setting.task, mode="infer")
    session = setting.open("ours")
    for precision in steps.PRECISIONS:
        _time(session, replace(setting, task=task), put, f"{OURS} graph", precision, True)
    session.close()
    if _missing_torch(put):
        return
    for layout in setting.layouts:
        theirs = setting.torch(layout)
        for precision in steps.PRECISIONS:
            _time(theirs, replace(setting, task=task), put, layout, precision, False)
        theirs.close()


def _missing_torch(put: Put) -> bool:
    missing = without("torch")
    if missing is not None:
        put({"what": "PyTorch", "skipped": missing})
    return missing is not None


def _time(
    session: Session, setting: Setting, put: Put, form: str, precision: str, graph: bool
) -> None:
    """A few times the seconds of a step, each the average over some in a row."""
    item = {"what": setting.task.mode, "form": form, "precision": precision}
    request = {"task": vars(setting.task), "precision": precision, "graph": graph}
    for repeat in range(setting.repeats):
        try:
            answer = session.ask(what="steps", count=steps.CALLS, **request)
        except RequestFailed as error:
            put({**item, **error.as_dict()})
            return
        mib = answer["bytes"] / 2**20
        put({**item, "repeat": repeat, "ms": 1e3 * answer["step"], "mib": mib})
