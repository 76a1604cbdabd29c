"""Checkpoints come back bit for bit, and damaged ones are refused."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from minispiral import networks
from minispiral.errors import UserError
from minispiral.runs.checkpoint import Checkpoint, load, load_network, save
from minispiral.tensor import Tensor, no_grad

CONFIG = {"network": "spiral", "depths": [1, 2], "connection": "concat", "width": 0.05}
needs_dev_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


def random_checkpoint(rng: np.random.Generator) -> Checkpoint:
    h, w = rng.integers(1, 9, size=2)
    tensors = {
        "network.a.w": rng.standard_normal((h, w, 3)).astype(np.float32),
        "network.b": rng.standard_normal((w, h)).T,  # not contiguous
        "adam.step": np.array(rng.integers(1000), np.int64),
        "adam.m.a.w": np.zeros((0, 2), np.float32),
    }
    progress = {"best_f1": rng.random(), "sums": {"loss_sum": rng.random() * 1e9}, "none": None}
    return Checkpoint(int(rng.integers(10**7)), CONFIG, tensors, rng.bit_generator.state, progress)


def network_checkpoint(rng: np.random.Generator) -> tuple[networks.Network, Checkpoint]:
    """A network with random running statistics, and its checkpoint."""
    arguments = {name: value for name, value in CONFIG.items() if name != "network"}
    network = networks.build("spiral", **arguments, rng=rng)
    for _ in range(3):
        network(Tensor(rng.standard_normal((2, 15, 15, 3)).astype(np.float32)))
    tensors = {f"network.{name}": array for name, array in network.state().items()}
    return network, Checkpoint(3, CONFIG, tensors, rng.bit_generator.state, {})


def assert_same(a: Checkpoint, b: Checkpoint) -> None:
    assert (a.step, a.config, a.progress) == (b.step, b.config, b.progress)
    assert a.random_state == b.random_state
    assert a.tensors.keys() == b.tensors.keys()
    for name, array in a.tensors.items():
        assert array.dtype == b.tensors[name].dtype
        assert array.shape == b.tensors[name].shape
        np.testing.assert_array_equal(array, b.tensors[name], err_msg=name)


def test_a_checkpoint_comes_back_bit_for_bit(rng, tmp_path):
    path = tmp_path / "last.safetensors"
    for _ in range(5):
        checkpoint = random_checkpoint(rng)
        save(path, checkpoint)
        assert_same(load(path), checkpoint)
    assert os.listdir(tmp_path) == [path.name]


def test_the_generator_goes_on_from_its_saved_state(rng, tmp_path):
    rng.random(int(rng.integers(5)))
    rng.integers(10, dtype=np.uint32)  # leaves half a draw behind in the generator
    save(tmp_path / "c", random_checkpoint(rng))
    twin = np.random.default_rng()
    twin.bit_generator.state = load(tmp_path / "c").random_state
    np.testing.assert_array_equal(
        twin.integers(99, size=9, dtype=np.uint32), rng.integers(99, size=9, dtype=np.uint32)
    )


def test_other_programs_can_read_the_tensors(rng, tmp_path):
    checkpoint = random_checkpoint(rng)
    save(tmp_path / "c", checkpoint)
    tensors = safetensors.numpy.load_file(tmp_path / "c")
    np.testing.assert_array_equal(tensors["network.b"], checkpoint.tensors["network.b"])


def test_a_truncated_checkpoint_is_refused(rng, tmp_path):
    path = tmp_path / "last.safetensors"
    save(path, random_checkpoint(rng))
    content = path.read_bytes()
    for size in (0, 1, 8, 9, len(content) - 1, *rng.integers(len(content), size=20)):
        path.write_bytes(content[:size])
        with pytest.raises(UserError, match=r"last\.safetensors"):
            load(path)


@pytest.mark.parametrize(
    "content",
    [b"PK\x03\x04" + bytes(99), b"\x89PNG\r\n\x1a\n" + bytes(99), b"{}", b"\xff" * 99, b"hello"],
)
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "last.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not a checkpoint"):
        load(path)


def test_weights_of_another_program_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file({"w": np.ones(3)}, path)
    with pytest.raises(UserError, match="another program"):
        load(path)
    safetensors.numpy.save_file({"w": np.ones(3)}, path, {"minispiral": "[1]"})
    with pytest.raises(UserError, match="not a checkpoint"):
        load(path)
    safetensors.numpy.save_file({"w": np.ones(3)}, path, {"minispiral": json.dumps({"version": 9})})
    with pytest.raises(UserError, match="format 9"):
        load(path)


def test_a_missing_checkpoint_or_a_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="no checkpoint"):
        load(tmp_path / "nothing")
    with pytest.raises(UserError, match=str(tmp_path)):
        load(tmp_path)


@needs_dev_full
def test_a_full_disk_leaves_the_old_checkpoint(rng, tmp_path):
    path = tmp_path / "last.safetensors"
    old = random_checkpoint(rng)
    save(path, old)
    (tmp_path / ".last.safetensors.part").symlink_to("/dev/full")  # every write: no space left
    with pytest.raises(UserError, match="disk is full"):
        save(path, random_checkpoint(rng))
    assert_same(load(path), old)
    assert os.listdir(tmp_path) == [path.name]


def test_load_network_restores_weights_and_statistics(rng, tmp_path):
    network, checkpoint = network_checkpoint(rng)
    save(tmp_path / "last.safetensors", checkpoint)
    x = Tensor(rng.standard_normal((1, 15, 15, 3)).astype(np.float32))
    network.eval()
    with no_grad():
        expected = network(x).data
        found = load_network(tmp_path)(x).data  # no best yet: falls back to the last
    np.testing.assert_array_equal(found, expected)

    for name in checkpoint.tensors:
        checkpoint.tensors[name] = checkpoint.tensors[name] + np.float32(1)
    save(tmp_path / "best.safetensors", checkpoint)
    for which, shift in (("best", 1), ("last", 0)):
        for name, array in load_network(tmp_path, which).state().items():
            expected = network.state()[name] + np.float32(shift)
            np.testing.assert_array_equal(array, expected)


def test_load_network_refuses_another_architecture(rng, tmp_path):
    _, checkpoint = network_checkpoint(rng)
    path = tmp_path / "last.safetensors"
    name = next(iter(checkpoint.tensors))
    misfits = [
        {"tensors": {k: v for k, v in checkpoint.tensors.items() if k != name}},
        {"tensors": {**checkpoint.tensors, "network.extra": np.ones(2)}},
        {"tensors": {**checkpoint.tensors, name: np.ones((2, 7))}},
        {"config": {**CONFIG, "width": 0.1}},
        {"config": {**CONFIG, "network": "spline"}},
        {"config": {}},
    ]
    for misfit in misfits:
        save(path, Checkpoint(**{**vars(checkpoint), **misfit}))
        with pytest.raises(UserError, match=r"spline|last\.safetensors"):
            load_network(tmp_path)
    with pytest.raises(UserError, match="no checkpoint"):
        load_network(tmp_path / "absent")
