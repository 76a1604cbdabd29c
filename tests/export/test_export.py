"""``minispiral export``: what it writes, says, checks and refuses."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import minispiral
from minispiral.detection.tiling import tile_axis
from minispiral.export import compare
from minispiral.export.table import TABLE
from minispiral.fused import ConvNormReLU
from minispiral.networks import build
from minispiral.runs.checkpoint import load_network
from tests.export.models import STEP, checkpoint_with, noise, probabilities, run_model, spiral
from tests.small import command, files_of, refusal


def exported(*words: object) -> dict[str, Any]:
    """What ``export ... --json`` printed."""
    done = command("export", *words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture
def small(tmp_path: Path, rng: np.random.Generator) -> Path:
    """The file of a checkpoint, in the folder of a run."""
    network = spiral(rng, depths=(2, 1))
    path = tmp_path / "run" / "best.safetensors"
    return checkpoint_with(path, network, {"threshold": 0.375}, depths=[2, 1], width=0.06)


def test_a_run_becomes_a_model_that_says_what_it_is(small, tmp_path, rng) -> None:
    path = tmp_path / "cracks.onnx"
    said = exported(small.parent, path, "--licence", "CC-BY-4.0")
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert said["bytes"] == path.stat().st_size
    assert said["largest_difference"] <= 1e-5
    assert (said["opset"], said["ir_version"]) == (model.opset_import[0].version, model.ir_version)

    network = load_network(small.parent)
    x = noise(rng, network, 3)
    assert np.abs(run_model(path, x) - probabilities(network, x)).max() <= 1e-5

    properties = {p.key: p.value for p in model.metadata_props}
    for name, value in properties.items():
        assert value == said[name] or json.loads(value) == said[name]
    axis = tile_axis(10**7, network.unit)
    for name, value in {
        "network": "spiral",
        "depths": [2, 1],
        "connection": "concat",
        "width": 0.06,
        "step": STEP,
        "threshold": 0.375,
        "threshold_found_by": "validation",
        "input": model.graph.input[0].name,
        "input_range": [-1, 1],
        "output": model.graph.output[0].name,
        "unit": 4,
        "tile_side": axis.side,
        "tile_overlap": axis.side - axis.step,
        "tile_margin": -axis.first,
        "parameters": sum(p.data.size for p in network.parameters()),
        "licence": "CC-BY-4.0",
        "minispiral": minispiral.__version__,
    }.items():
        assert said[name] == value, name
        assert name in properties
    assert said["parameters"] == said["graph_parameters"] + said["folded_parameters"]


def test_the_file_of_a_checkpoint_will_do_and_people_are_told_the_difference(
    small, tmp_path
) -> None:
    path = tmp_path / "cracks.onnx"
    done = command("export", small, path, "--uint8")
    assert done.exit_code == 0, done.output
    assert (done.stderr, path.exists()) == ("", True)
    assert "uint8, sides 4 k - 1" in done.stdout
    assert "largest difference from the network: " in done.stdout
    assert onnx.load(path).graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8


def without_shift(graph, f, x, w, gamma, beta):
    return RIGHT(graph, f, x, w, gamma, type(beta)(0 * beta.data))


def turned(graph, f, x, w, gamma, beta):
    return RIGHT(graph, f, x, type(w)(w.data.swapaxes(0, 1).copy()), gamma, beta)


def without_relu(graph, f, x, w, gamma, beta):
    RIGHT(graph, f, x, w, gamma, beta)
    return graph.nodes.pop().input[0]


RIGHT = TABLE[ConvNormReLU]


@pytest.mark.parametrize("wrong", [without_shift, turned, without_relu])
def test_a_wrong_entry_is_noticed_and_nothing_is_written(
    small, tmp_path, monkeypatch, wrong
) -> None:
    (tmp_path / "old.onnx").write_bytes(b"an older model")
    before = files_of(tmp_path)
    monkeypatch.setitem(TABLE, ConvNormReLU, wrong)
    for name in ("old.onnx", "new.onnx"):
        said = refusal(command("export", small, tmp_path / name))
        assert "away from the network's, expected at most 0.0001; nothing was written" in said
    assert files_of(tmp_path) == before


def test_a_model_that_onnxruntime_cannot_run_is_not_written(small, tmp_path, monkeypatch) -> None:
    entry = lambda graph, f, x, *rest: graph.node("MaxPool", x, kernel_shape=[2, 2])  # noqa: E731
    monkeypatch.setitem(TABLE, ConvNormReLU, entry)  # the maps come out too small
    assert "cannot run the model" in refusal(command("export", small, tmp_path / "m.onnx"))
    assert not (tmp_path / "m.onnx").exists()


def test_a_network_that_float32_disturbs_as_much_passes_with_a_warning(
    small, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(compare, "TOLERANCE", 0.0)
    monkeypatch.setattr(compare, "ROUNDING", 1e3)
    done = command("export", small, tmp_path / "m.onnx", "--json")
    assert done.stderr.startswith("warning: the difference is above")
    assert 0 < json.loads(done.stdout)["float32_rounding"] < 1e-5


def test_a_network_that_says_the_same_everywhere_is_told_of(tmp_path, rng) -> None:
    network = build("hed", width=0.02, rng=rng)  # its side outputs begin at zero
    path = checkpoint_with(tmp_path / "hed.safetensors", network, width=0.02)
    done = command("export", path, tmp_path / "m.onnx")
    assert done.exit_code == 0
    assert "threshold: 0.5 (default)" in done.stdout
    assert "gives the probability 0.500 everywhere" in done.stderr


def test_without_onnxruntime_the_model_is_written_and_what_is_missing_said(
    small, tmp_path, monkeypatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    done = command("export", small, tmp_path / "m.onnx", "--json")
    assert done.stderr.startswith("warning: onnxruntime is not installed")
    assert "pip install 'minispiral[onnx]'" in done.stderr
    said = json.loads(done.stdout)
    assert (said["runtime"], said["largest_difference"]) == (None, None)
    onnx.checker.check_model(tmp_path / "m.onnx", full_check=True)


def test_without_onnx_it_says_what_to_install(small, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "pip install 'minispiral[onnx]'" in refusal(
        command("export", small, tmp_path / "m.onnx")
    )


def test_what_cannot_be_exported_is_refused_in_a_sentence(small, tmp_path) -> None:
    for words, expected in {
        (small, "model.bin"): "expected a name ending in .onnx; change MODEL.onnx.",
        (small, "nowhere/m.onnx"): "lies in no folder",
        (tmp_path / "no", "m.onnx"): "There is no checkpoint",
    }.items():
        run, name = words
        assert expected in refusal(command("export", run, tmp_path / name))
