"""``mpiexec -n R python -m tests.distributed.numbers``: are the numbers those of one process?

Every loss with every network, 20 steps of Adam in float64 on R processes and on one; prints the
largest differences as JSON. ``--quick`` takes 4 steps, with every loss and every network once. One
case has clipped gradients, a rate that changes and averaged weights.
"""

import hashlib
import json
import sys
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minispiral import networks
from minispiral.distributed import World, world
from minispiral.distributed.sharing import sharing
from minispiral.kernels.losses import LOSSES
from minispiral.optim import Adam
from minispiral.training.average import Average
from minispiral.training.step import TrainingStep

NETWORKS: dict[str, dict[str, Any]] = {
    "spiral": {"depths": (1, 2), "width": 0.1},
    "unet": {"depths": (3,), "width": 0.1},
    "hed": {"width": 0.05},
}
BATCH, SIDE = 5, 31
Arrays = dict[str, NDArray[Any]]


def train(
    among: World,
    network: str,
    loss: str,
    seed: int,
    steps: int,
    dtype: DTypeLike,
    clip: float | None = None,
) -> tuple[NDArray[np.float64], Arrays]:
    """The losses of the steps, and what training leaves in network and optimiser."""
    rng = np.random.default_rng(seed)
    net = networks.build(network, rng=rng, **NETWORKS[network]).astype(dtype)
    adam = Adam(net.named_parameters(), lr=1e-4, clip=clip)
    other = networks.build(network, rng=np.random.default_rng(0), **NETWORKS[network])
    average = Average(net, other.astype(dtype), 0.9)
    step = TrainingStep(net, adam, loss, shared=sharing(among, BATCH))
    own = among.share(BATCH)
    part = slice(own.start, own.stop)
    losses = []
    for _ in range(steps):
        pixels = rng.integers(0, 256, (BATCH, SIDE, SIDE, 3), dtype=np.uint8)
        mask = rng.random((BATCH, SIDE, SIDE, 1)) < 0.05
        flips = rng.random((BATCH, 2)) < 0.5
        before = step.sums().loss_sum
        if clip is not None:
            adam.lr *= 0.9
        step(pixels[part], mask[part], flips[part])
        average.update(adam.steps)
        losses.append(step.sums().loss_sum - before)
    arrays = {**net.state(), **adam.state()}
    gradients = {f"g.{name}": p.grad for name, p in net.named_parameters() if p.grad is not None}
    arrays |= {f"average.{name}": array for name, array in average.network.state().items()}
    return np.array(losses), {**arrays, **gradients, "totals": step.totals}


def differences(found: Arrays, expected: Arrays) -> dict[str, float]:
    """The largest difference in each array, relative to the largest number in those of its kind.

    Kinds are parameters, their gradients (``g.``), either moment of these (``m.``, ``v.``), and the
    running statistics. What one array holds may cancel out but for rounding, as the gradient of a
    single bias does under a balanced loss.
    """
    largest: dict[str, float] = {}
    for name, array in expected.items():
        largest[_kind(name)] = max(largest.get(_kind(name), 0), float(np.abs(array).max()))
    return {
        name: float(np.abs(found[name] - array).max() / (largest[_kind(name)] or 1))
        for name, array in expected.items()
    }


def _kind(name: str) -> str:
    prefix, last = name.partition(".")[0], name.rpartition(".")[2]
    if prefix in ("g", "m", "v"):
        return prefix
    return "parameters" if last in ("w", "b", "gamma", "beta") else last


def digest(arrays: Arrays) -> str:
    found = hashlib.sha256()
    for name in sorted(arrays):
        found.update(np.ascontiguousarray(arrays[name]).tobytes())
    return found.hexdigest()


def cases(quick: bool) -> list[tuple[str, str, float | None]]:
    """Network, loss and the norm to which gradients are clipped, which all of them exceed."""
    clipped = ("spiral", "pseudo-f1", 1e-5)
    if not quick:
        return [(network, loss, None) for network in NETWORKS for loss in LOSSES] + [clipped]
    others = [(network, "pseudo-f1", None) for network in ("unet", "hed")]
    return [*(("spiral", loss, None) for loss in LOSSES), *others, clipped]


def main(seed: int, quick: bool) -> None:
    everyone, steps = world(), 4 if quick else 20
    worst = {}
    for network, loss, clip in cases(quick):
        losses, arrays = train(everyone, network, loss, seed, steps, np.float64, clip)
        if everyone.is_first:
            expected, others = train(World(), network, loss, seed, steps, np.float64, clip)
            found = differences({**arrays, "losses": losses}, {**others, "losses": expected})
            name = max(found, key=found.__getitem__)
            worst[f"{network}, {loss}, {clip}"] = [found[name], name]
    case = "spiral", "pseudo-f1", seed, steps, np.float32, 1e-5
    same = everyone.exchange([digest(train(everyone, *case)[1]) for _ in range(2)])
    if everyone.is_first:
        print(json.dumps({"processes": everyone.size, "differences": worst, "bits": same}))


if __name__ == "__main__":
    main(int(sys.argv[1]), "--quick" in sys.argv)
