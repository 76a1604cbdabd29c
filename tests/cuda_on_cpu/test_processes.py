"""Processes that share a batch, each with a CPU device for CUDA kernels, beside one with NumPy."""

import sys
from functools import partial

import numpy as np
import pytest

from minispiral import networks
from minispiral.device import CPU, Device
from minispiral.distributed import World
from minispiral.distributed.gpu import sharers
from minispiral.distributed.sharing import sharing
from minispiral.kernels import batchnorm, collective, conv2d
from minispiral.kernels.arrays import get
from minispiral.kernels.cuda import launch
from minispiral.optim import Adam
from minispiral.training.step import LAUNCHED, training_step
from tests.cuda_on_cpu import CpuDevice, call, needs_compiler
from tests.distributed.forked import in_processes
from tests.distributed.numbers import NETWORKS, differences
from tests.kernels.epilogues import with_moments

pytestmark = [
    needs_compiler,
    pytest.mark.usefixtures("cuda_libraries"),
    pytest.mark.skipif(sys.platform != "linux", reason="forks of a process with threads"),
]

SIDES = {"spiral": 15, "unet": 15, "hed": 31}
STEPS = LAUNCHED + 2


class Connected(CpuDevice):
    """A device whose communicators go through pipes, as launches that can be recorded."""

    def __init__(self, world):
        super().__init__()
        self.world = world

    def communicator_id(self):
        return "the one"

    def communicator(self, size, identity, rank):
        assert (size, identity, rank) == (self.world.size, "the one", self.world.rank)
        return self

    def gather(self, values, gathered):
        def work():
            gathered.memory[...] = self.world.gather(values.memory)

        self.queue(work)

    def add(self, values):
        self.queue(lambda: self.world.start_sum(values.memory)())


ALONE = World()


def train(device, name, loss, seed, batch, world=ALONE, group=ALONE):
    """The losses of some steps and one of NaN, what they leave, and whether a graph was made."""
    rng = np.random.default_rng(seed)
    network = networks.build(name, **NETWORKS[name], rng=rng).astype(np.float64)
    network.to(device)
    adam = Adam(network.named_parameters(), lr=1e-4)
    step = training_step(device, network, adam, loss, shared=sharing(group, batch))
    own = world.share(batch)
    part = slice(own.start, own.stop)
    losses = []
    for i in range(STEPS):
        shape = batch, SIDES[name], SIDES[name]
        pixels = rng.integers(256, size=(*shape, 3), dtype=np.uint8)
        mask = (rng.random((*shape, 1)) < 0.1) & (i != 1)
        flips = rng.random((batch, 2)) < 0.5
        before = step.sums().loss_sum
        step(pixels[part], mask[part], flips[part])
        losses.append(step.sums().loss_sum - before)
    arrays = {name: get(a).copy() for name, a in {**network.state(), **adam.state()}.items()}
    gradients = {f"g.{name}": get(p.grad) for name, p in network.named_parameters()}
    totals = get(step.totals).copy()
    for p in network.parameters():
        p.data[...] = device.put(np.full(p.shape, np.nan))
    step(pixels[part], mask[part], flips[part])
    found = {**arrays, **gradients, "totals": totals, "losses": np.array(losses)}
    return found, step.sums().nan_losses, getattr(step, "graph", None) is not None


def train_together(make, name, loss, seed, batch, world):
    with launch.using(make(world)):
        said = []
        group = sharers(world, True, said.append)
        return *train(Device("cuda"), name, loss, seed, batch, world, group), said


@pytest.mark.parametrize(
    ("name", "loss", "batch", "size", "nccl"),
    [
        ("spiral", "pseudo-f1", 5, 2, True),
        ("spiral", "tversky", 2, 3, False),  # one of them has no patch
        ("spiral", "balanced", 2, 3, True),
        ("unet", "cross-entropy", 3, 2, False),
        ("hed", "pseudo-f1", 3, 2, True),
    ],
)
def test_steps_are_those_of_one_process(rng, name, loss, batch, size, nccl):
    seed = int(rng.integers(2**32))
    expected, nans, _ = train(CPU, name, loss, seed, batch)
    make = Connected if nccl else lambda world: CpuDevice()
    results = in_processes(size, partial(train_together, make, name, loss, seed, batch))
    bits = set()
    for rank, (found, nan_losses, recorded, said) in enumerate(results):
        differs = differences(found, expected)
        worst = max(differs, key=differs.__getitem__)
        assert differs[worst] < 1e-10, (seed, rank, worst)
        assert nan_losses == nans == 1
        assert recorded == nccl
        assert bool(said) == (not nccl)
        bits.add(b"".join(found[key].tobytes() for key in sorted(found)))
    assert len(bits) == 1


class Beside:
    """A group of this process and one that hands in what is given."""

    recordable = True

    def __init__(self, given):
        self.given = given

    def gather(self, values):
        return launch.gpu().put(np.stack((self.given, values.memory)))


@pytest.mark.parametrize("channels", [(3, 8), (8, 12), (2, 3)], ids=["few", "mma", "plain"])
def test_a_process_without_images_has_the_moments_of_the_others(rng, channels):
    """And its gradients are zeros, by every algorithm."""
    big, small = channels
    other = rng.standard_normal((50, small))
    squares = ((other - other.mean(0)) ** 2).sum(0)
    given = np.stack((np.full(small, 50), other.mean(0), squares), -1)
    x, gy, w = (
        np.zeros(shape, np.float32)
        for shape in ((0, 7, 9, big), (0, 3, 4, small), (3, 3, big, small))
    )
    device = CpuDevice()
    gw = call(device, conv2d.conv2d_weight_grad, x, gy, (3, 3), 2)
    assert gw.tobytes() == bytes(4 * w.size)
    assert call(device, conv2d.conv2d_input_grad, gy, w, (7, 9), 2).shape == x.shape
    with collective.shared(Beside(given), 2):
        y, mean, var = call(device, with_moments(conv2d.conv2d), x, w, 2)
        normalized = call(device, batchnorm.normalize_relu, y, mean, var, mean, var, 1e-5)
    np.testing.assert_allclose(mean, other.mean(0), rtol=1e-6)
    np.testing.assert_allclose(var, other.var(0), rtol=1e-6)
    assert normalized.shape == gy.shape
