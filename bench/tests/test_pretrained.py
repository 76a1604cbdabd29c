"""The weights that come with the package: one command makes them, and goes on where it stopped."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bench.__main__ import main
from bench.pretrained import command
from minispiral.runs import checkpoint


def make(folder: Path) -> str:
    result = CliRunner().invoke(main, ["pretrained", str(folder)])
    assert result.exit_code == 0, result.output
    return result.output


def test_made_once_with_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"depths": (1, 2), "width": 0.1, "patch": 31, "batch": 2, "steps": 3, "warmup": 1}
    monkeypatch.setattr(command, "RECIPE", command.RECIPE | small)
    monkeypatch.setattr(command, "PHOTOS", {"train": 2, "val": 1})
    monkeypatch.setattr(command, "SIZE", (96, 80))
    one, other = tmp_path / "one", tmp_path / "other"
    (one / ".train.part" / "images").mkdir(parents=True)  # a run was killed over its photographs
    (one / ".train.part" / "images" / "0000.jpg").write_bytes(b"half")

    assert "half precision" in make(one)
    assert len(list((one / "train" / "images").iterdir())) == 2
    assert not (one / ".train.part").exists()
    made = (one / command.NAME).read_bytes()
    make(other)
    assert (other / command.NAME).read_bytes() == made

    packed = checkpoint.load(one / command.NAME)
    whole = checkpoint.load(one / "run" / "best.safetensors")
    assert packed.step == whole.step
    weights = packed.weights()
    assert weights.keys() == whole.weights().keys()
    for name, values in whole.weights().items():
        half = values.astype(np.float16) if values.ndim == 4 else values
        np.testing.assert_array_equal(weights[name], half)
    assert str(tmp_path) not in str(packed.config)

    photographs = {path: path.stat().st_mtime_ns for path in one.glob("*/images/*")}
    make(one)
    assert (one / command.NAME).read_bytes() == made
    assert photographs == {path: path.stat().st_mtime_ns for path in one.glob("*/images/*")}
