"""minispiral trains as PyTorch does, number for number."""

import importlib.util
import json
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tests.twin import golden_files, minispiral_side
from tests.twin.__main__ import main
from tests.twin.comparison import KINDS, LIMIT, Deviation, compare, deviation
from tests.twin.task import TASKS, Step, Task, batch, uniform


@cache
def trained(network: str) -> list[Step]:
    """minispiral's twenty steps, taken once for all tests."""
    return list(minispiral_side.steps(TASKS[network]))


def assert_close(found: dict[str, Deviation]) -> None:
    for what, (relative, where) in found.items():
        print(f"{what}: {relative:.1e} at {where}")
    assert all(relative <= LIMIT for relative, _ in found.values())


@pytest.mark.parametrize("network", TASKS)
def test_agrees_with_what_torch_once_computed(network: str) -> None:
    kept = json.loads(golden_files.STEPS.read_text(encoding="utf-8"))["networks"][network]
    task = kept.pop("task")
    assert Task(**task | {"depths": tuple(task["depths"])}) == TASKS[network], "write the file anew"
    found = golden_files.fingerprints(trained(network))
    assert_close(golden_files.compare_fingerprints(found, kept))


@pytest.mark.parametrize("network", TASKS)
def test_agrees_with_torch_in_every_element_of_every_step(network: str) -> None:
    pytest.importorskip("torch")
    from tests.twin import torch_side

    assert_close(compare(trained(network), torch_side.steps(TASKS[network])))


def test_no_element_can_differ_behind_a_fingerprint(rng: np.random.Generator) -> None:
    array = rng.normal(size=(3, 3, 5, 7))
    right = golden_files.fingerprint("w", array)

    def passes(changed: np.ndarray) -> bool:
        return deviation(golden_files.fingerprint("w", changed), right, right[0]) <= LIMIT

    assert passes(array * (1 + LIMIT / 1000))
    for index in np.ndindex(array.shape):
        for wrong in (array[index] + 1.01 * LIMIT * right[0], np.nan):
            changed = array.copy()
            changed[index] = wrong
            assert not passes(changed)
    assert not passes(array[::-1])
    assert not passes(array.swapaxes(0, 1))


def test_numbers_are_those_of_splitmix64() -> None:
    state, expected = zlib.crc32(b"a name"), []
    for _ in range(6):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        expected.append(((z ^ z >> 31) >> 11) / 2**52 - 1)
    assert uniform("a name", 3, 2).ravel().tolist() == expected


def test_batches_differ_and_every_picture_has_a_crack() -> None:
    (x, mask), (other, _) = batch(0, 4, 255), batch(1, 4, 255)
    assert np.abs(x).max() <= 1
    assert not np.any(x == other)
    assert np.all(mask.sum((1, 2)) > 250)
    assert mask.mean() < 0.02


def test_twin_prints_one_json_object(printed: Callable[..., dict[str, Any]]) -> None:
    pytest.importorskip("torch")
    report = printed("tests.twin", "--steps", 1, "--json")
    assert report["agree"]
    assert report["networks"].keys() == TASKS.keys()
    for network in report["networks"].values():
        assert all(network[what]["relative"] <= report["limit"] for what in KINDS)


def test_twin_says_that_it_needs_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    result = CliRunner().invoke(main)
    assert result.exit_code == 1
    assert "PyTorch is not installed" in result.stderr
