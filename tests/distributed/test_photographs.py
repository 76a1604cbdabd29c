"""Photographs that several processes share out: the results are those of one process."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minispiral.detection.detect import detect
from minispiral.detection.evaluate import evaluate
from tests.distributed.photographs import error_of
from tests.launch import Launch
from tests.small import TABLES, command, files_of, make_photo, make_trained, write_pair


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `tests.distributed.photographs` needs: photographs a to e of several sizes."""
    rng = np.random.default_rng()
    folder = make_trained(tmp_path_factory.mktemp("photographs"))
    data = folder / "data"
    photo, mask = make_photo(rng, 61, 47)
    write_pair(data, "d", photo, ~mask)  # doubtful
    shutil.copytree(data, folder / "other")
    for place in (data, folder / "other"):
        write_pair(place, "e", *make_photo(rng, 40, 40))
    shutil.copytree(data, folder / "damaged")
    for name in ("b.png", "c.png"):
        path = folder / "damaged" / "images" / name
        path.write_bytes(path.read_bytes()[:300])
    return folder


@pytest.mark.parametrize("processes", [2, 3])
def test_each_process_gets_what_one_process_gets(
    processes: int, mpiexec: Launch, folder: Path
) -> None:
    done = mpiexec(processes, "-m", "tests.distributed.photographs", folder)
    assert done.returncode == 0, done.stderr
    of_all: list[dict[str, Any]] = json.loads(done.stdout)
    assert len(of_all) == processes
    first, *others = of_all
    run, data, damaged = (folder / name for name in ("run", "data", "damaged"))

    warnings: list[str] = []
    scores = evaluate(run, data, warn=warnings.append)
    lines = evaluate(run, data, tolerance=2, thin=True).as_dict()
    alone = detect(run, [str(damaged / "images")], folder / "alone")
    assert files_of(folder / f"found{processes}") == files_of(folder / "alone") != {}
    assert len(files_of(folder / f"two{processes}")) == 6  # of two photographs
    errors = [error_of(lambda: evaluate(run, damaged)), *first["errors"][2:]]
    for name, error in zip(("b.png", "nowhere", "no best", "nothing"), errors, strict=True):
        assert name in error

    for found in of_all:
        assert found["scores"] == scores.as_dict()
        assert found["lines"] == lines
        assert found["curve"] == [scores.counts.detected.tolist(), scores.counts.correct.tolist()]
        assert [result["error"] for result in found["found"]] == [a.error for a in alone]
        assert found["found"] == first["found"]
        assert found["errors"] == [errors[0], *errors]
        assert found["machines"][0] == "none"
        assert "e.png" in found["machines"][1]
        assert found["turns"][0] == "40 fails"
        assert found["turns"][1] < 5_000  # of 20,000: they hear of it
        assert found["left"] == 0
    assert [result.error is None for result in alone] == [True, False, False, True, True]

    # the first process alone tells of everything
    assert first["warnings"] == warnings != []
    assert first["progress"] == sorted(first["progress"])
    assert first["progress"][-1] == [5, 5]
    assert sorted(r["photo"] for r in first["reports"]) == [r["photo"] for r in first["found"]]
    assert {*range(40)} <= set(first["turns"][2])
    for found in others:
        assert not found["turns"][2]
        assert not found["warnings"] + found["progress"] + found["reports"]

    # the decoded photographs lie on the disk once, in files without names
    stores = [found["store"] for found in of_all]
    assert all(store["as one process"] for store in stores)
    assert [len(store["progress"]) for store in stores] == [5] + [0] * len(others)
    assert not any(store["names"] for store in stores)
    if sys.platform == "linux":
        pixels = 3 * 45 * 70 + 61 * 47 + 40 * 40
        files = stores[0]["files"]
        assert all(store["files"] == files for store in stores)
        assert len(files) == processes
        assert 4 * pixels <= sum(files.values()) < 4 * pixels + 4096 * processes  # whole pages


def test_the_tables_of_several_processes_are_those_of_one(mpiexec: Launch, folder: Path) -> None:
    words = ["detect", folder / "run", folder / "damaged" / "images", "--threshold", 0.1, "--out"]
    alone = command(*words, folder / "tables1")
    several = mpiexec(2, "-m", "minispiral", *words, folder / "tables2")
    assert several.returncode == alone.exit_code == 1
    assert several.stderr.count("in pixels") == 1
    assert files_of(folder / "tables2") == files_of(folder / "tables1")
    assert len(files_of(folder / "tables1")) == 3 * 3 + len(TABLES)
