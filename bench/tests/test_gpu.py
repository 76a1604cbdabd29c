"""What `python -m bench gpu` measures on a GPU, tried on the CPU: every part, on tiny sizes."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np
import pytest
from click.testing import CliRunner

from bench.__main__ import main
from bench.common.engines import LAYOUTS
from bench.common.layer import Layer
from bench.common.machine import installed
from bench.common.task import Task
from bench.common.worker import WorkerError
from bench.gpu import ceilings, checks, command, layers, nccl, ours, steps, targets
from bench.gpu.cases import cases
from bench.gpu.clock import GpuClock, StandInClock
from bench.gpu.guard import guarded
from bench.gpu.model import recording
from bench.gpu.session import RequestFailed, WorkerSession
from bench.tests.direct import Direct, open_directly
from minispiral.kernels import arithmetic
from minispiral.kernels.cuda import sources
from minispiral.kernels.cuda.table import KERNELS

TASK = Task(batch=2, side=15, width=0.125, depths=2)


def test_what_was_found_before_a_part_ended_is_on_disk(monkeypatch, tmp_path):
    def measure(session, shrink, theirs, report):
        report({}, {"copy": {"rate": 1}}, 0.5)
        raise KeyboardInterrupt

    class Facts:
        def ask(self, **request):
            return {"name": "none"}

        def close(self):
            pass

    monkeypatch.setattr(command.ceilings, "measure", measure)
    with pytest.raises(KeyboardInterrupt):
        command.run(["ceilings"], command.Plan(TASK, open=lambda part: Facts()), tmp_path)
    kept = json.loads((tmp_path / "gpu.json").read_text())["ceilings"]
    assert kept["found"] == {"copy": {"rate": 1}, "share_done": 0.5}
    assert kept["machine"]["gpu"] == {"name": "none"}


def test_a_small_operation_is_timed_as_a_graph_where_it_can_be(executor, rng, monkeypatch):
    x = executor.put(rng.random(7, np.float32))
    graph, is_recorded = StandInClock().recorded(lambda: arithmetic.sigmoid(x))
    executor.launched.clear()
    graph()
    assert is_recorded
    assert executor.launched == ["sigmoid_of<float>"]
    run, is_recorded = StandInClock().recorded(lambda: executor.get(arithmetic.sigmoid(x)))
    assert not is_recorded
    assert len(run()) == 7


def test_the_kernels_of_the_ceilings_do_what_is_counted(executor, rng):
    with ceilings.added():
        x = executor.put(rng.standard_normal((1500, 4), np.float32))
        y = executor.empty(x.shape, np.float32)
        ceilings.copy(x, y)
        assert executor.get(y).tobytes() == executor.get(x).tobytes()

        sums = executor.empty((2, 256), np.float32)
        ceilings.multiply_add(executor.put(np.array([1, 3], np.float32)), 5, sums)
        assert (executor.get(sums) == 28 + 8 * 5 * 3).all()

        a = rng.integers(-3, 4, (2, 8, 16, 8)).astype(np.float32)
        b = rng.integers(-3, 4, (2, 8, 8, 8)).astype(np.float32)
        lanes = np.arange(32)
        g, q = lanes // 4, lanes % 4
        spread = [a[..., g, q], a[..., g + 8, q], a[..., g, q + 4], a[..., g + 8, q + 4]]
        spread += [b[..., q, g], b[..., q + 4, g]]
        products = executor.empty((2, 8, 32, 4), np.float32)
        ceilings.multiply_matrices(executor.put(np.stack(spread, -1)), 7, products)
        d = 8 * 7 * (a @ b)
        expected = [d[..., g + i // 2 * 8, 2 * q + i % 2] for i in range(4)]
        assert (executor.get(products) == np.stack(expected, -1)).all()

        threads, rounds = 2 * 256, 5
        fetched = executor.empty((2, 256), np.float32)
        ceilings.fetch(x, rounds, fetched)
        last = (np.arange(threads) + (rounds - 1) * threads) % len(x)
        assert (executor.get(fetched).ravel() == executor.get(x)[last, 0]).all()
    assert not any(kernel.expression in KERNELS for kernel in ceilings.KERNELS)


def test_choices_of_a_layer_are_tried_and_the_best_is_named(executor):
    layer = Layer(False, 3, 2, 8, 16, 2, 9)
    row = layers.time_layer(open_directly("layers"), layer, "tf32", 1, True)
    for operation in layers.OPERATIONS:
        found = row[operation]
        assert {choice.split()[0] for choice in found["tried"]} <= set(layers.TILINGS["tf32"])
        assert len(found["tried"]) > 1
        assert found["best_seconds"] == min(found["tried"].values())
    assert row["bytes"] == 4 * (2 * (81 * 8 + 16 * 16) + 9 * 8 * 16)


def test_steps_launched_and_as_a_graph_leave_the_same_bits(executor):
    digests = set()
    for graph in (False, True):
        work = ours.worker(StandInClock())
        request = {"task": vars(TASK), "precision": "tf32", "graph": graph}
        assert work({"what": "steps", "count": 1, **request})["step"] > 0
        digests.add(work({"what": "digest", "count": 2, **request})["digest"])
    assert len(digests) == 1


def test_a_step_is_recorded_as_it_runs(executor, monkeypatch):
    ran = []
    exactly = executor.launch

    def noted(kernel, grid, block, arguments):
        shapes = [argument.shape for argument in arguments]
        ran.append((kernel.expression, grid, block, shapes))
        exactly(kernel, grid, block, arguments)

    monkeypatch.setattr(executor, "launch", noted)
    run = ours.Steps(TASK, "tf32", graph=False)
    run()
    ran.clear()
    run()
    recorded = [
        (one.kernel.expression, one.grid, one.block, [a.shape for a in one.arguments.values()])
        for one in recording.step(TASK, "tf32")
    ]
    assert recorded == ran


def test_a_gpu_without_nccl_is_no_failure(executor, monkeypatch):
    def none(*arguments):
        raise RuntimeError("CuPy finds no NCCL")

    monkeypatch.setattr(executor, "communicator_id", none)
    found = nccl.measure(TASK, lambda: open_directly("ours"))
    assert found["errors"] == {"NCCL": "RuntimeError: CuPy finds no NCCL"}
    assert targets.other_bits(found) is None
    assert command.failures({"nccl": found}) == []
    list(nccl.tables(found))


def theirs():
    import torch

    from bench.torch.gpu import Theirs

    torch.set_num_threads(1)
    return {layout: Direct(Theirs(layout, False)) for layout in LAYOUTS}


def test_all_parts_run_and_are_kept(executor, tmp_path, monkeypatch):
    """One round of everything; a part that fails leaves the others alone."""
    with_torch = installed("torch") is not None
    plan = command.Plan(
        TASK,
        repeats=1,
        photo=(70, 90),
        rounds=1,
        alternatives=False,
        shrink=2**12,
        theirs=theirs() if with_torch else {},
        open=open_directly,
    )
    monkeypatch.setattr(checks, "cases", lambda: cases()[:1])
    monkeypatch.setattr(steps, "CALLS", 1)
    monkeypatch.setattr(command.determinism, "measure", lambda *_, **__: 1 / 0)
    report = command.run(command.PARTS, plan, tmp_path)
    assert report["determinism"]["error"] == "ZeroDivisionError: division by zero"
    assert command.failures(report) == ["determinism"]
    kept = json.loads((tmp_path / "gpu.json").read_text())
    assert kept.keys() == {*command.PARTS, "targets"}
    assert kept["steps"]["machine"]["gpu"]["multiprocessors"] == 1
    assert {row["rate"] > 0 for row in report["ceilings"].values()} == {True}

    forms = report["steps"]["train tf32"]
    assert forms["minispiral"]["seconds"] > 0
    assert forms["minispiral graph"]["parameters"] == forms["minispiral"]["parameters"]
    errors = report["accuracy"]["network"]
    assert errors["logits, training"]["float32"] < 1e-5
    assert 1e-5 < errors["logits, training"]["tf32"] < 0.05
    for layer in report["accuracy"]["layers"].values():
        assert max(layer[operation]["float32"] for operation in layers.OPERATIONS) < 1e-5
    for row in report["layers"]["layers"]:
        assert row["forward"]["tflops"] == pytest.approx(
            row["gflop"] / 1e3 / row["forward"]["seconds"]
        )
    assert len(set(report["nccl"]["digests"].values())) == 1
    assert report["nccl"]["seconds"].keys() == {"alone", "NCCL"}
    passed = {check["what"]: check["passed"] for check in report["targets"]}
    assert passed["runs with other bits, NCCL"]
    assert passed["seconds of detection, TF32"] is not None
    assert passed["runs with other bits, tf32"] is None
    ratio = passed["inference, TF32, over PyTorch's eager"]
    if with_torch:
        assert forms["NCHW"]["parameters"] == forms["minispiral"]["parameters"]
        assert "error" in forms["NCHW graph"]  # for which there is no GPU here
        assert ratio is False
    else:
        assert ratio is None


def test_the_bounds_are_held_against_the_best_of_each_kind():
    def forms(ours, graph, nchw, last, compiled):
        names = ("minispiral", "minispiral graph", "NCHW", "channels_last", "NCHW compiled")
        values = (ours, graph, nchw, last, compiled)
        return {name: {"seconds": s} for name, s in zip(names, values, strict=True)}

    report = {
        "steps": {
            "train tf32": forms(0.02, 0.012, 0.03, 0.02, 0.011),
            "train float32": forms(0.05, 0.03, 0.1, 0.09, 0.06) | {"x": {"error": "none"}},
        },
        "determinism": {"tf32": {"digests": {"a": "1", "b": "2"}, "errors": {}}},
    }
    found = {check.what: check for check in targets.checks(report)}
    assert found["step, TF32, over PyTorch's eager"].value == pytest.approx(0.6)
    assert found["step, TF32, over PyTorch's best form"].value == pytest.approx(12 / 11)
    assert found["ms of a step, TF32"].passed
    assert found["step, float32, over PyTorch's best form"].value == pytest.approx(0.5)
    assert found["inference, TF32, over PyTorch's eager"].passed is None
    assert found["runs with other bits, tf32"].passed is False
    assert found["kernels that are wrong"].passed is None


class Scripted:
    """A worker that answers as it was told, or ends."""

    class Process:
        def kill(self):
            pass

    process = Process()

    def __init__(self, answers):
        self.answers, self.closed = list(answers), False

    def ask(self, **request):
        answer = self.answers.pop(0)
        if answer is None:
            raise WorkerError("ended with exit code -11")
        return answer

    def close(self):
        self.closed = True


def test_a_worker_that_is_lost_is_started_anew():
    lost = {"error": "illegal address", "traceback": "line 1", "lost": True}
    started = [Scripted([{"x": 1}, None]), Scripted([lost])]
    started.append(Scripted([{**lost, "error": "no such shape", "lost": False}, {"x": 3}]))
    left = iter(started)
    session = WorkerSession(lambda: next(left))
    assert session.ask(case=0) == {"x": 1}
    with pytest.raises(RequestFailed, match="exit code -11"):
        session.ask(case=1)
    with pytest.raises(RequestFailed, match="illegal address"):
        session.ask(case=2)
    with pytest.raises(RequestFailed, match="no such shape"):
        session.ask(case=3)
    assert session.ask(case=4) == {"x": 3}
    assert [worker.closed for worker in started] == [True, True, False]


def test_who_fails_a_race_is_out_of_it():
    class Entrant:
        def __init__(self, *seconds):
            self.seconds = list(seconds)

        def ask(self, **request):
            value = self.seconds.pop(0)
            if value is None:
                raise RequestFailed("out of memory")
            return {"step": value, "bytes": 2**20, "parameters": 5}

    entrants = {"a": (Entrant(9, 1, 3, 2), False), "b": (Entrant(9, 1, None), True)}
    found = {name: result for _, name, result in steps.race(entrants, {}, 3)}
    assert found["a"]["seconds"] == 2
    assert (found["a"]["fastest_seconds"], found["a"]["slowest_seconds"]) == (1, 3)
    assert found["b"] == {"error": "out of memory"}


def test_earlier_parts_are_kept_with_their_machine(tmp_path: Path):
    command.keep(tmp_path, {"machine": 1, "checks": {"x": 1}, "steps": {"x": 2}})
    command.keep(tmp_path, {"machine": 2, "steps": {"x": 3}})
    assert json.loads((tmp_path / "gpu.json").read_text()) == {
        "checks": {"machine": 1, "found": {"x": 1}},
        "steps": {"machine": 2, "found": {"x": 3}},
    }


def test_an_answer_says_whether_the_gpu_is_lost():
    def synchronize():
        if lost:
            raise RuntimeError("illegal address")

    lost = []
    answer = guarded(lambda request: {"x": request["y"]}, synchronize)
    assert answer({"y": 5}) == {"x": 5}
    found = answer({})
    assert (found["error"], found["lost"]) == ("KeyError: 'y'", False)
    lost.append(True)
    found = answer({"y": 5})
    assert (found["error"], found["lost"]) == ("RuntimeError: illegal address", True)


class FakeCupy(SimpleNamespace):
    """Takes CuPy's place and notes what it is session for."""

    def __init__(self):
        super().__init__(calls=[], uint8=np.uint8)
        stream = SimpleNamespace(synchronize=lambda: self.calls.append("synchronize"))
        self.cuda = SimpleNamespace(
            Event=self.event,
            get_current_stream=lambda: stream,
            get_elapsed_time=lambda start, stop: 1e3 * (stop.at - start.at),
        )

    def event(self):
        event = SimpleNamespace(at=None)

        def record(stream):
            self.calls.append("record")
            event.at = len(self.calls)

        event.record = record
        return event

    def empty(self, size, dtype):
        data = SimpleNamespace(memset_async=lambda *_: self.calls.append("flush"))
        return SimpleNamespace(data=data)


def test_what_the_clock_asks_of_cupy(monkeypatch):
    """No GPU has run this: the calls are those of CuPy's documentation."""
    cupy = FakeCupy()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    found = GpuClock().seconds(lambda: cupy.calls.append("run"), 2, calls=3, cold=True)
    timed = ["flush", "record", "run", "run", "run", "record"]
    assert cupy.calls == ["run", "synchronize", *timed, *timed, "synchronize"]
    assert found == [4 / 3, 4 / 3]


@pytest.mark.parametrize("kernel", ceilings.KERNELS, ids=lambda kernel: kernel.expression)
def test_the_kernels_of_the_ceilings_compile_without_spills(kernel, cuda_compiler):
    source = sources.expand(kernel.file)
    (used,) = cuda_compiler.compile_for("sm_90", source, [kernel.expression]).values()
    assert used.spills == used.stack == 0
    assert used.registers <= kernel.registers


def test_without_cupy_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    result = CliRunner().invoke(main, ["gpu"])
    assert result.exit_code == 1
    assert "pip install 'minispiral[gpu]'" in result.output


def test_without_a_gpu_that_answers_nothing_is_measured(tmp_path):
    class Silent:
        def ask(self, **request):
            raise RequestFailed("bench.gpu.worker ended with exit code 1")

        def close(self):
            pass

    plan = command.Plan(TASK, open=lambda part: Silent())
    with pytest.raises(click.ClickException, match=r"no GPU answers.* exit code 1"):
        command.run(command.PARTS, plan, tmp_path)
    assert list(tmp_path.iterdir()) == []
