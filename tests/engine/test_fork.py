"""Worker processes of every kind work, whatever ran in the parent before."""

import multiprocessing
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from minispiral import networks
from minispiral.detection.tiling import predict
from minispiral.kernels.cpu import parallel
from minispiral.losses import pseudo_f1
from minispiral.optim import Adam
from minispiral.tensor import Tensor
from minispiral.training import TrainConfig, train
from tests.small import make_dataset

SECONDS = 60  # of a child: it needs about one, and hung for ever before
METHODS = multiprocessing.get_all_start_methods()


def backward(folder: Path) -> bytes:
    """The weights after a step with two threads."""
    parallel.set_threads(2)
    rng = np.random.default_rng(3)
    network = networks.build("spiral", depths=(1, 2), width=0.1, rng=rng)
    adam = Adam(network.named_parameters())
    pseudo_f1(
        network(Tensor(rng.random((4, 63, 63, 3), np.float32))), rng.random((4, 63, 63, 1)) < 0.1
    ).backward()
    adam.step()
    return b"".join(p.data.tobytes() for p in network.parameters())


def training(folder: Path) -> bytes:
    """The weights of a run of three steps."""
    parallel.set_threads(2)
    config = TrainConfig(
        data=folder / "data", depths=(1, 2), width=0.1, patch=31, batch=2, steps=3, device="cpu"
    )
    run = folder / f"run{len(list(folder.iterdir()))}-{multiprocessing.current_process().pid}"
    tensors = train(config, run).tensors
    return b"".join(tensors[name].tobytes() for name in sorted(tensors))


def detection(folder: Path) -> bytes:
    """The probabilities in a photograph."""
    parallel.set_threads(2)
    rng = np.random.default_rng(3)
    network = networks.build("spiral", depths=(1, 2), width=0.1, rng=rng)
    return predict(network, rng.integers(256, size=(90, 120, 3), dtype=np.uint8)).tobytes()


def put(queue: "multiprocessing.Queue[bytes]", job: Callable[[Path], bytes], folder: Path) -> None:
    queue.put(job(folder))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("job", [backward, training, detection])
def test_a_child_computes_what_its_parent_did(
    job: Callable[[Path], bytes], method: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    make_dataset(tmp_path / "data", rng, photos=2)
    try:
        for before in (backward, training, detection):
            before(tmp_path)  # leaves threads and buffers behind
        expected = job(tmp_path)
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        child = context.Process(target=put, args=(queue, job, tmp_path))
        child.start()
        try:
            found = queue.get(timeout=SECONDS)
            child.join(SECONDS)
        finally:
            child.kill()
        assert child.exitcode == 0
        assert found == expected
        assert job(tmp_path) == expected  # the parent goes on
    finally:
        parallel.set_threads(None)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
def test_a_fork_while_other_threads_compute_works_too(tmp_path: Path) -> None:
    """The child has neither the locks nor the counts of threads that did not come along."""
    context = multiprocessing.get_context("fork")
    expected = backward(tmp_path)
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            backward(tmp_path)

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        for _ in range(5):
            queue = context.Queue()
            child = context.Process(target=put, args=(queue, backward, tmp_path))
            child.start()
            try:
                assert queue.get(timeout=SECONDS) == expected
                child.join(SECONDS)
                assert child.exitcode == 0
            finally:
                child.kill()
    finally:
        stop.set()
        thread.join()
        parallel.set_threads(None)
