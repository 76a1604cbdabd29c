"""A run that version 0.1 began, stopped and resumed; golden/v0.1/expected.json has the commands.

The run was stopped in the middle of a validation, so its last checkpoint has a step whose row and
validation are still to be done.
"""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl

from minispiral.detection.evaluate import evaluate
from minispiral.runs.checkpoint import Checkpoint, load, load_network
from minispiral.training import TrainConfig, train

GOLDEN = Path(__file__).parent / "golden" / "v0.1"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))


def sha256(checkpoint: Checkpoint) -> str:
    """Of the names and the bytes of all tensors."""
    digest = hashlib.sha256()
    for name in sorted(checkpoint.tensors):
        digest.update(name.encode())
        digest.update(checkpoint.tensors[name].tobytes())
    return digest.hexdigest()


def same_arithmetic() -> bool:
    """Whether NumPy rounds here as it did where the run was made."""
    blas = [
        f"{library['version']} {library['architecture']}"
        for library in threadpoolctl.threadpool_info()
        if library["internal_api"] == "openblas"
    ]
    return np.__version__ == EXPECTED["numpy"] and EXPECTED["openblas"] in blas


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run, resumed by this version."""
    run = tmp_path_factory.mktemp("resumed") / "run"
    shutil.copytree(GOLDEN / "run", run)
    options = json.loads((run / "config.json").read_text(encoding="utf-8"))
    config = dataclasses.replace(
        TrainConfig.from_dict(options),
        data=GOLDEN / "data",
        val=GOLDEN / "data",
        steps=EXPECTED["resumed_step"],
    )
    train(config, run, resume=True)
    return run


def test_its_checkpoints_load() -> None:
    for which in ("last", "best"):
        checkpoint = load(GOLDEN / "run" / f"{which}.safetensors")
        assert checkpoint.step == EXPECTED["steps"][which]
        network = load_network(GOLDEN / "run", which)
        for name, array in network.state().items():
            np.testing.assert_array_equal(array, checkpoint.tensors[f"network.{name}"])


def test_it_scores_as_it_did() -> None:
    scores = evaluate(GOLDEN / "run", GOLDEN / "data").as_dict()
    for name, expected in EXPECTED["scores"].items():
        assert scores[name] == pytest.approx(expected, rel=1e-3), name


def test_it_resumes_to_the_same_weights(resumed: Path) -> None:
    found, expected = load(resumed / "last.safetensors"), load(GOLDEN / "resumed.safetensors")
    assert found.step == expected.step == EXPECTED["resumed_step"]
    assert found.random_state == expected.random_state
    assert found.tensors.keys() == expected.tensors.keys()
    for name, array in expected.tensors.items():
        np.testing.assert_allclose(found.tensors[name], array, rtol=1e-3, atol=1e-5, err_msg=name)
    table = (resumed / "metrics.csv").read_text(encoding="utf-8").splitlines()
    steps = [int(row.split(",")[0]) for row in table[1:]]
    assert steps == EXPECTED["rows"]
    before = (GOLDEN / "run" / "metrics.csv").read_text(encoding="utf-8").splitlines()
    assert table[: len(before)] == before


def test_it_resumes_to_the_same_bits(resumed: Path) -> None:
    assert sha256(load(GOLDEN / "resumed.safetensors")) == EXPECTED["sha256"]
    if not same_arithmetic():
        pytest.skip("the bits depend on NumPy and on the processor, and these are others")
    assert sha256(load(resumed / "last.safetensors")) == EXPECTED["sha256"]
