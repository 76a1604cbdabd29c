"""The first minutes on a GPU, rehearsed: whatever goes wrong costs its own stage only.

The whole rehearsal takes minutes and runs where MINISPIRAL_REHEARSE is set.
"""

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.__main__ import main
from bench.common.worker import ROOT, Worker, WorkerError
from bench.gpu.first import kernels, runner, summary, target, tiny, tools
from bench.gpu.first.log import Log, latest, outcomes, read
from bench.gpu.first.runner import ITEMS, OUTPUT, Stage, run
from bench.gpu.first.setting import STAND_IN, TINY, Setting, loaded, rehearsal
from bench.gpu.first.stages import FIRST, SECOND
from bench.gpu.model.assumptions import corrected
from bench.gpu.session import RequestFailed, WorkerSession
from bench.tests.direct import open_directly
from minispiral.kernels.cuda import launch
from minispiral.kernels.cuda.table import KERNELS, expressions

PLANTED = "bench.tests.planted"


@pytest.fixture
def stand_in(request):
    """What takes the place of a GPU in a rehearsal; its machine."""
    request.getfixturevalue("executor")  # or there is no compiler here
    module, _, name = STAND_IN.partition(":")
    with getattr(importlib.import_module(module), name)() as machine:
        yield machine


class InProcess(Setting):
    """Opens workers in this process."""

    def open(self, name, patience=None):
        return open_directly(name)


def is_alive(process):
    """Whether a process runs; one that was killed may still be listed as a zombie."""
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_stage_that_goes_wrong_costs_itself_only(tmp_path):
    bad = ("aborts", "raises", "prints", "leaves_half_a_line")
    stages = [Stage(name, f"{PLANTED}:{name}", 30) for name in bad]
    stages.append(Stage("hangs", f"{PLANTED}:hangs", 3))
    stages.append(Stage("missing", f"{PLANTED}:missing", 30))
    stages.append(Stage("right", f"{PLANTED}:right", 30))
    run(stages, rehearsal(tmp_path), 60, lambda line: None)
    items = read(tmp_path / ITEMS)
    found, ended = latest(items), outcomes(items)
    assert {name: of["outcome"] for name, of in ended.items()} == {
        "aborts": "killed",
        "raises": "failed",
        "prints": "done",
        "leaves_half_a_line": "failed",
        "hangs": "out of time",
        "missing": "failed",
        "right": "done",
    }
    assert ended["aborts"]["why"] == "SIGABRT"
    for name in ("aborts", "raises", "hangs"):
        assert found[name][0]["what"] == "before"
    assert found["raises"][1]["error"] == "ValueError: planted"
    assert "in raises" in found["raises"][1]["traceback"]
    assert [item["what"] for item in found["prints"]] == ["an item"]
    assert found["leaves_half_a_line"] == []
    assert found["right"][0]["batch"] == TINY.batch
    if Path("/proc").exists():
        assert not is_alive(found["hangs"][0]["process"])
    output = (tmp_path / OUTPUT).read_text()
    assert "from below Python" in output
    assert "ValueError: planted" in output
    wrong = summary.summary(items, rehearsal(tmp_path))
    assert any(line.startswith("raises: ") for line in wrong["errors"])


def test_what_there_is_no_time_for_is_said_to_be_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "LEAST", 0.5)
    stages = [Stage("hangs", f"{PLANTED}:hangs", 90), Stage("right", f"{PLANTED}:right", 90)]
    run(stages, rehearsal(tmp_path), 1.5, lambda line: None)
    ended = outcomes(read(tmp_path / ITEMS))
    assert ended["hangs"]["outcome"] == "out of time"
    assert ended["right"]["outcome"] == "skipped"
    assert "were left" in ended["right"]["why"]


def test_a_stage_that_is_run_again_replaces_its_items(tmp_path):
    for _ in range(2):
        run([Stage("right", f"{PLANTED}:right", 30)], rehearsal(tmp_path), 30, lambda line: None)
    items = read(tmp_path / ITEMS)
    assert sum(item.get("what") == "right" for item in items) == 2
    assert len(latest(items)["right"]) == 1


def test_stray_output_is_no_answer_and_a_worker_that_hangs_is_given_up(capfd):
    worker = Worker("tests.planted", patience=30, how="prints")
    assert worker.ask(number=21)["twice"] == 42
    worker.close()
    assert "from another process" in capfd.readouterr().err
    with pytest.raises(WorkerError, match="no answer in 1 s"):
        Worker("tests.planted", patience=1, how="hangs")
    session = WorkerSession(lambda: Worker("tests.planted", patience=30, how="raises"))
    with pytest.raises(RequestFailed, match="ValueError: planted") as failed:
        session.ask(number=1)
    assert "in worker" in failed.value.traceback
    assert failed.value.lost


def test_a_file_that_does_not_compile_leaves_the_others(stand_in, monkeypatch, tmp_path):
    files = ["pooling.cu", "adam.cu"]
    chosen = [case for case in kernels.cases() if case.group in files]
    exactly = stand_in.executor.library

    def library(file):
        if file == "pooling.cu":
            raise RuntimeError("pooling.cu(7): error")
        return exactly(file)

    monkeypatch.setattr(stand_in.executor, "library", library)
    monkeypatch.setattr(kernels, "cases", lambda: chosen)
    monkeypatch.setattr(kernels, "files", lambda: files)
    items = []
    kernels.stage(InProcess(str(tmp_path)), items.append)
    of = {file: [item for item in items if item["file"] == file] for file in files}
    assert [item["what"] for item in of["pooling.cu"]] == ["compile", "launch"]
    assert of["pooling.cu"][0]["error"] == "RuntimeError: pooling.cu(7): error"
    assert "in library" in of["pooling.cu"][0]["traceback"]
    assert "skipped" in of["pooling.cu"][1]
    launched = [item["kernel"] for item in of["adam.cu"] if item["what"] == "launch"]
    assert launched == expressions("adam.cu")
    assert not any("error" in item for item in of["adam.cu"])


def test_each_kernel_is_launched_by_a_case():
    """Found without running any."""
    found = kernels.smallest()
    assert set(found) == set(KERNELS)


@pytest.mark.filterwarnings("ignore:No step can be captured")
def test_a_capture_that_fails_is_tried_again_and_told_in_full(stand_in, monkeypatch, tmp_path):
    def record(work):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(launch.gpu(), "record", record)
    monkeypatch.setattr(tiny, "POOL", 2**10)
    monkeypatch.setattr(tiny, "LIMITS", {"float64": 1e-9, "float32": 1e-2})
    items = []
    tiny.stage(InProcess(str(tmp_path)), items.append)
    failed = [item for item in items if "error" in item]
    assert [(item["precision"], item["grown"]) for item in failed] == [
        ("float64", False),
        ("float64", True),
        ("float32", False),
        ("float32", True),
    ]
    assert all(item["step"] == "captured" for item in failed)
    assert all("in record" in item["traceback"] for item in failed)
    others = [item for item in items if "error" not in item]
    assert all(item["right"] for item in others)
    assert len(others) == 2 * (len(tiny.STEPS) + 2 * 2)


def test_captured_steps_give_the_bits_of_launched_ones(stand_in, monkeypatch, tmp_path):
    monkeypatch.setattr(tiny, "LIMITS", {"float64": 1e-9})
    items = []
    tiny.stage(InProcess(str(tmp_path)), items.append)
    assert items[-1] == {"what": "bits", "precision": "float64", "same_bits": True}
    assert [item["is_captured"] for item in items[6:-1]] == [False] * 2 + [True] * 4


def test_what_a_sanitizer_found_is_an_item(monkeypatch, tmp_path):
    program = tmp_path / "compute-sanitizer"
    program.write_text(
        "#!/bin/sh\necho '========= Invalid __global__ read of size 4 bytes'\n"
        "case $2 in racecheck) echo '========= RACECHECK SUMMARY: 0 hazards';;\n"
        "*) echo '========= ERROR SUMMARY: 3 errors';; esac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(tools, "smallest", dict)
    monkeypatch.setattr(tools, "files", lambda: ["adam.cu", "conv2d_mma.cu"])
    items = []
    tools.sanitizer(Setting(str(tmp_path)), items.append)
    assert [item["errors"] for item in items[:2]] == [3, 3]
    assert "Invalid __global__ read" in items[0]["output"]
    assert [(item["what"], item["errors"]) for item in items[2:]] == [("racecheck", 0)]
    found = {"sanitizer": items}
    assert next(iter(summary.errors(found))) == "sanitizer: memcheck adam.cu: 3 errors"


def test_without_the_tools_their_stages_say_so(monkeypatch, tmp_path):
    monkeypatch.setattr(tools, "tool", lambda name: None)
    items = []
    for stage in (tools.sanitizer, tools.ncu):
        stage(Setting(str(tmp_path)), items.append)
    assert [item["skipped"] for item in items] == [
        "compute-sanitizer is not found",
        "ncu is not found",
    ]


def test_counters_are_read_from_the_table_of_ncu(tmp_path):
    """In the form of ncu's own output: a heading, then a row for each metric."""
    names = (
        '"ID","Process ID","Kernel Name","Section Name","Metric Name","Metric Unit","Metric Value"'
    )
    rows = [
        '"0","7","void conv2d_few(int)","GPU Speed Of Light","Duration","us","1,234.5"',
        '"0","7","void conv2d_few(int)","Occupancy","Registers","",""',
        '"1","7","adam","GPU Speed Of Light","Duration","us","3"',
    ]
    path = tmp_path / "ncu.csv"
    path.write_text("\n".join(["==PROF== Connected", names, *rows]))
    assert dict(tools.counters(path)) == {
        "void conv2d_few(int)": {"Duration": "1,234.5 us", "Registers": ""},
        "adam": {"Duration": "3 us"},
    }
    assert list(tools.counters(tmp_path / "none")) == []


def test_each_kernel_is_profiled_once(stand_in, monkeypatch, capsys):
    request = {"task": vars(TINY), "precision": "tf32", "stand_in": None}
    request["kernels"] = ["count_step", "conv2d_input_grad<double>"]
    monkeypatch.setattr(sys, "argv", ["target", json.dumps(request)])
    target.main()
    assert capsys.readouterr().out == "profiled count_step (1,)\n"


def test_all_cases_of_a_file_are_run_for_a_sanitizer(stand_in, monkeypatch, capsys):
    request = {"cases": [0, 1], "stand_in": None}
    monkeypatch.setattr(sys, "argv", ["target", json.dumps(request)])
    target.main()
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert stand_in.executor.launched


def test_the_summary_proposes_what_the_model_takes(tmp_path):
    def ceiling(name, rate):
        return {"ceiling": name, "rate": rate}

    counted = json.loads(summary.MODEL.read_text())["tf32"]["kernels"]
    name = next(iter(counted))
    setting = Setting(str(tmp_path))
    found = {
        "facts": [{"what": "gpu", "multiprocessors": 132, "l2_bytes": 50e6}],
        "ceilings": [
            *(ceiling("copy", 2900.0), ceiling("driver's copy", 3000.0), ceiling("mma", 310.0)),
            *(ceiling("l2", 5600.0), ceiling("launch", 1.25), ceiling("fma", 59.3)),
            {"ceiling": "cuBLAS tf32", "error": "none"},
        ],
        "network": [
            {"what": "train", "form": "minispiral graph", "precision": "tf32", "ms": 20.0},
            {"what": "train", "form": "minispiral graph", "precision": "tf32", "ms": 22.0},
            {
                "what": "kernels",
                "precision": "tf32",
                "kernels": {
                    name: {"launches": 3, "ms": 2 * counted[name]["model_ms"]},
                    "new": {"launches": 1, "ms": 1.0},
                },
            },
        ],
    }
    words = summary.assume(found)
    assumed = corrected(word.removeprefix("--assume ") for word in words)
    values = (assumed.memory, assumed.tensor, assumed.l2, assumed.launch, assumed.l2_size)
    assert values == (3.0, 310.0, 5.6, 1.25, 50.0)
    assert assumed.clock == pytest.approx(59.3e12 / (132 * 128 * 2) / 1e9, rel=1e-3)
    assert summary.steps(found) == {"train tf32": {"minispiral graph": 21.0}}
    rows = summary.kernels(found, setting)["tf32"]
    assert rows[name]["over_model"] == pytest.approx(2.0)
    assert rows["new"] == {"launches": 1, "ms": 1.0}


def test_the_setting_survives_the_way_to_a_stage(tmp_path):
    for setting in (Setting(str(tmp_path)), rehearsal(tmp_path)):
        assert loaded(setting.dumped()) == setting


def test_every_stage_of_the_table_exists():
    for stage in (*FIRST, *SECOND):
        module, _, function = stage.function.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_the_command_ends_with_its_summary(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_ON_CPU_FOLDER", str(tmp_path))  # which the command would set
    words = ["gpu", "first", "--rehearse", "--stage", "facts", "--out", str(tmp_path)]
    result = CliRunner().invoke(main, words)
    items = read(tmp_path / ITEMS)
    assert items[-1]["event"] == "summary"
    assert items[-1]["stages"] == {"facts": "done"}
    assert result.exit_code == (1 if items[-1]["errors"] else 0), result.output
    assert any(item.get("what") == "packages" for item in items)


def test_a_run_that_is_ended_ends_its_stage_and_sums_up(tmp_path):
    program = (
        "from bench.gpu.first import command; from bench.gpu.first.runner import Stage; "
        f"command.FIRST = (Stage('hangs', '{PLANTED}:hangs', 60),); command.first()"
    )
    words = [sys.executable, "-c", program, "--rehearse", "--out", str(tmp_path)]
    process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL)
    while not latest(read(tmp_path / ITEMS)).get("hangs"):
        assert process.poll() is None
        time.sleep(0.1)
    for _ in range(2):
        process.terminate()
    assert process.wait(20) == 1
    items = read(tmp_path / ITEMS)
    assert items[-1]["event"] == "summary"
    if Path("/proc").exists():
        assert not is_alive(latest(items)["hangs"][0]["process"])


def test_the_log_is_read_as_far_as_it_was_written(tmp_path):
    put = Log(tmp_path / ITEMS, "checks", 0.0)
    put({"x": float("nan")})
    with (tmp_path / ITEMS).open("a") as file:
        file.write('[1]\n"word"\n{"half": ')
    put({"x": 2})
    assert [item["x"] for item in read(tmp_path / ITEMS)][1:] == [2]
    assert read(tmp_path / "none") == []


@pytest.mark.skipif("MINISPIRAL_REHEARSE" not in os.environ, reason="takes minutes")
@pytest.mark.parametrize("second", [False, True])
def test_the_whole_rehearsal(second, tmp_path, monkeypatch, executor):
    monkeypatch.setenv("CUDA_ON_CPU_FOLDER", str(tmp_path))
    words = ["--rehearse", "--limit", "1500", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, ["gpu", "first", *words, *(["--second"] if second else [])])
    assert result.exit_code == 0, result.output
    found = read(tmp_path / "out" / ITEMS)[-1]
    assert set(found["stages"]) == {stage.name for stage in (SECOND if second else FIRST)}
    assert set(found["stages"].values()) == {"done"}
    assert found["errors"] == []
