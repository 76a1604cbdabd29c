"""Training on the CPU device for CUDA kernels, beside training in NumPy."""

import numpy as np
import pytest

from minispiral import networks
from minispiral.detection.running_metrics import RunningSums
from minispiral.device import CPU, Device
from minispiral.kernels.arrays import get, like
from minispiral.kernels.cpu import layout
from minispiral.kernels.cuda import launch
from minispiral.losses import LOSSES
from minispiral.optim import Adam
from minispiral.tensor import Tensor
from minispiral.training import step
from minispiral.training.average import Average
from minispiral.training.step import LAUNCHED, training_step
from tests.cuda_on_cpu import CpuDevice, DeviceArray, needs_compiler
from tests.cuda_on_cpu.twins import assert_same_bits

pytestmark = [needs_compiler, pytest.mark.usefixtures("cuda_libraries")]

GPU = Device("cuda")
SIDES = {"spiral": 15, "unet": 15, "hed": 31}
OPTIONS = {
    "spiral": {"depths": (1, 2), "width": 0.07},
    "unet": {"depths": (2,), "width": 0.07},
    "hed": {"width": 0.05},
}
STEPS = LAUNCHED + 2  # some launched, some replayed


@pytest.fixture
def gpu():
    with launch.using(CpuDevice()) as device:
        yield device


def batches(rng, side, count=STEPS):
    """Pixels, masks and flips; the second batch has no crack."""
    made = []
    for i in range(count):
        pixels = rng.integers(256, size=(2, side, side, 3), dtype=np.uint8)
        mask = (rng.random((2, side, side, 1)) < 0.1) & (i != 1)
        made.append((pixels, mask, rng.random((2, 2)) < 0.5))
    return made


class Run:
    """A network in training on a device."""

    def __init__(
        self, device, name, seed, dtype=np.float64, loss="pseudo-f1", clip=None, **options
    ):
        rng = np.random.default_rng(seed)
        self.network = networks.build(name, **OPTIONS[name], **options, rng=rng).astype(dtype)
        if name == "hed":  # whose side outputs start at zero
            for side in self.network.sides:
                side.w.data[...] = rng.normal(0, 0.1, side.w.shape)
        self.network.to(device)
        self.adam = Adam(self.network.named_parameters(), lr=1e-3, clip=clip)
        self.step = training_step(device, self.network, self.adam, loss)

    def state(self):
        state = {**self.network.state(), **self.adam.state()}
        return {
            name: array.memory.copy() if isinstance(array, DeviceArray) else array.copy()
            for name, array in state.items()
        }


def nudge(run, rng):
    """Move every parameter by about its last digit."""
    for p in run.network.parameters():
        p.data *= 1 + np.finfo(p.data.dtype).eps * rng.choice([-1, 1], p.data.shape)
    return run


def gradients(run, batch):
    """The loss of a batch and the gradients of all parameters, without an update."""
    weights = run.network.parameters()[0].data
    loss = run.step._forward(*(like(array, weights) for array in batch))
    loss.backward()
    found = {name: p.grad for name, p in run.network.named_parameters()}
    return {
        name: array.memory if isinstance(array, DeviceArray) else np.asarray(array)
        for name, array in {"loss": loss.data, **found}.items()
    }


def fit_for_float32(rng, name, options):
    """A seed, a batch and its gradients in float64, from which NumPy's own float32 is not far.

    A channel that hardly varies in a batch as small as this is all rounding once it is normalised:
    of one such draw in float32 nobody can tell what is right.
    """
    while True:
        seed = int(rng.integers(2**32))
        [batch] = batches(rng, SIDES[name], 1)
        exact = gradients(Run(CPU, name, seed, **options), batch)
        rounded = gradients(Run(CPU, name, seed, np.float32, **options), batch)
        largest = max(np.abs(expected).max() for expected in exact.values())
        if all(np.abs(rounded[key] - exact[key]).max() < 3e-4 * largest for key in exact):
            return seed, batch, exact, largest


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("spiral", {"connection": "concat"}),
        ("spiral", {"connection": "sum"}),
        ("unet", {}),
        ("hed", {}),
        ("hed", {"pretrained": "vgg16"}),
    ],
)
def test_gradients_are_those_of_numpy(gpu, rng, name, options):
    """To 1e-12 of the largest in float64, and to what the last digits of the parameters make of it.

    In float32 a ReLU whose input lies within rounding of zero may be off here and on there, and
    the share of that one pixel is what gradients then differ by; the loss has no such jump.
    """
    seed, batch, exact, largest = fit_for_float32(rng, name, options)
    ours = gradients(Run(GPU, name, seed, **options), batch)
    single = gradients(Run(GPU, name, seed, np.float32, **options), batch)
    nudged = [gradients(nudge(Run(CPU, name, seed, **options), rng), batch) for _ in range(4)]
    moved = max(np.abs(other[key] - exact[key]).max() for other in nudged for key in exact)
    near = 1e-12 * largest + 10 * moved
    for key, expected in exact.items():
        np.testing.assert_allclose(ours[key], expected, rtol=0, atol=near, err_msg=key)
        assert single[key].dtype == np.float32
        np.testing.assert_allclose(single[key], expected, rtol=0, atol=1e-2 * largest, err_msg=key)
    np.testing.assert_allclose(single["loss"], exact["loss"], rtol=1e-5)


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_steps_are_those_of_numpy(gpu, rng, loss):
    """Adam divides each gradient by its size, so a small one shows its rounding."""
    seed = int(rng.integers(2**32))
    ours, theirs = (Run(device, "spiral", seed, loss=loss) for device in (GPU, CPU))
    for batch in batches(rng, SIDES["spiral"]):
        ours.step(*batch)
        theirs.step(*batch)
    expected = theirs.state()
    assert expected["step"] == STEPS
    for name, array in ours.state().items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-7, atol=1e-9, err_msg=name)
    found, sums = ours.step.sums(), theirs.step.sums()
    assert found.loss == pytest.approx(sums.loss, rel=1e-9)
    found.loss_sum = sums.loss_sum
    assert found == sums


def test_a_replayed_step_gives_the_bits_of_a_launched_one(rng, monkeypatch):
    """Whichever threads come first, with other inputs, flips and learning rates every time."""
    seed, made = int(rng.integers(2**32)), batches(rng, SIDES["spiral"], LAUNCHED + 4)

    def train(device, launched):
        monkeypatch.setattr(step, "LAUNCHED", launched)
        with launch.using(device):
            run = Run(GPU, "spiral", seed, np.float32)
            for i, batch in enumerate(made):
                run.adam.lr = 1e-3 / (1 + i)
                run.step(*batch)
            assert (run.step.graph is None) == (launched == len(made))
            return run.state(), run.step.sums()

    launched = train(CpuDevice(), len(made))
    for device in (CpuDevice(), CpuDevice(reverse=True)):
        state, sums = train(device, LAUNCHED)
        assert_same_bits(state, launched[0])
        assert sums == launched[1]


def train_by_recipe(device, seed, made, dtype):
    """Clipped gradients, another rate in every step, and averages; what is left of it all."""
    run, twin = (Run(device, "spiral", seed + k, dtype, clip=1e-3) for k in range(2))
    average = Average(run.network, twin.network, 0.9)
    for i, batch in enumerate(made):
        run.adam.lr = 1e-3 * (1 + i)
        run.step(*batch)
        average.update(i + 1)
    averaged = {f"average.{k}": get(x).copy() for k, x in twin.network.state().items()}
    return {**run.state(), **averaged}


def test_clipped_and_averaged_steps_are_those_of_numpy_launched_or_replayed(rng, monkeypatch):
    seed, made = int(rng.integers(2**32)), batches(rng, SIDES["spiral"], LAUNCHED + 3)
    for dtype in (np.float64, np.float32):
        states = []
        for launched, reverse in ((LAUNCHED, False), (len(made), False), (LAUNCHED, True)):
            monkeypatch.setattr(step, "LAUNCHED", launched)
            with launch.using(CpuDevice(reverse)):
                reads = DeviceArray.reads
                states.append(train_by_recipe(GPU, seed, made, dtype))
                assert DeviceArray.reads == reads
        assert_same_bits(states[1], states[0])
        assert_same_bits(states[2], states[0])
        if dtype == np.float64:
            expected = train_by_recipe(CPU, seed, made, dtype)
            for name, array in states[0].items():
                close = {"rtol": 1e-6, "atol": 1e-8}
                np.testing.assert_allclose(array, expected[name], **close, err_msg=name)


def test_batches_to_be_flipped_give_the_bits_of_flipped_ones(rng):
    """Launched and replayed, and where both kinds come in turn."""
    seed, made = int(rng.integers(2**32)), batches(rng, SIDES["spiral"], LAUNCHED + 4)
    states = []
    for every in (0, 1, 2):  # which batches the host flips: all, none, every second
        with launch.using(CpuDevice()):
            run = Run(GPU, "spiral", seed, np.float32)
            for i, (pixels, mask, flips) in enumerate(made):
                if every and i % every == 0:
                    run.step(pixels, mask, flips)
                else:
                    run.step(layout.flip(pixels, flips), layout.flip(mask, flips))
            states.append(run.state())
    assert_same_bits(states[1], states[0])
    assert_same_bits(states[2], states[0])


def test_batches_of_another_size_are_recorded_anew(gpu, rng):
    seed = int(rng.integers(2**32))
    ours, theirs = (Run(device, "spiral", seed) for device in (GPU, CPU))
    for side in (15, 11, 15):
        for batch in batches(rng, side):
            ours.step(*batch)
            theirs.step(*batch)
    expected = theirs.state()
    for name, array in ours.state().items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-6, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("name", sorted(SIDES))
def test_a_step_reads_nothing_back(gpu, rng, name, monkeypatch):
    run = Run(GPU, name, 0, np.float32)
    made = batches(rng, SIDES[name])
    reads = DeviceArray.reads
    with monkeypatch.context() as patch:
        patch.setattr(gpu, "get", None)
        for batch in made:
            run.step(*batch)
    assert DeviceArray.reads == reads
    assert run.step.sums().finite_losses == len(made) - 1


def test_a_loss_that_is_no_number_shows_in_the_sums(gpu, rng):
    run = Run(GPU, "spiral", 0, np.float32)
    made = batches(rng, SIDES["spiral"])
    run.step(*made[0])
    run.network.mix.b.data[...] = gpu.put(np.full(1, np.nan, np.float32))
    for batch in made[1:]:
        run.step(*batch)
    sums = run.step.sums()
    # The second batch has no crack, so its loss is infinite whatever the logits are.
    assert (sums.nan_losses, sums.finite_losses) == (len(made) - 2, 1)
    run.step.reset(RunningSums(loss_sum=2.5, finite_losses=2, crack=7))
    assert run.step.sums() == RunningSums(loss_sum=2.5, finite_losses=2, crack=7)


def test_tf32_is_for_float32_and_shows(gpu, rng):
    """Its rounding is seen in the logits, and is a thousandth or so of them."""
    single, double = (
        networks.build("spiral", depths=(2,), rng=np.random.default_rng(0)).astype(dtype).to(GPU)
        for dtype in (np.float32, np.float64)
    )
    x = rng.uniform(-1, 1, (2, 7, 7, 3))
    logits = []
    for device in (Device("cuda", "tf32"), GPU):
        with device.in_use():
            logits.append(single.eval()(Tensor(GPU.put(x.astype(np.float32)))).data.memory)
    difference = np.abs(logits[0] - logits[1]).max() / np.abs(logits[1]).max()
    assert 1e-6 < difference < 1e-1
    with (
        Device("cuda", "tf32").in_use(),
        pytest.raises(ValueError, match="TF32 is a precision of float32 numbers"),
    ):
        double(Tensor(GPU.put(x)))


def test_what_is_recorded_cannot_be_read_or_computed_by_others(gpu):
    x, ones = gpu.put(np.ones(3)), np.ones(3)
    for what in (x.item, lambda: x + x, x.copy, lambda: gpu.get(x), lambda: gpu.put(ones)):
        with pytest.raises(RuntimeError, match="graph that is being recorded"):
            gpu.record(what)
    assert gpu.get(x + x).tolist() == [2, 2, 2]
    for mixed in (lambda: x + ones, lambda: np.asarray(x), lambda: x.__setitem__(..., ones)):
        with pytest.raises(TypeError):
            mixed()
