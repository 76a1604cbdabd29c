"""An exported model in onnxruntime against the network that it was made of."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minispiral.data.synth import make_sample
from minispiral.detection.inference import infer
from minispiral.errors import UserError
from minispiral.export.translate import INPUT
from minispiral.kernels import arithmetic
from minispiral.kernels.layout import scale_pixels
from minispiral.networks import Network

TOLERANCE = 1e-4  # of probability
LEAST_RANGE = 1e-3  # of probabilities, below which their agreement says little
ROUNDING = 4  # how often its own rounding a network may be missed by, where that is larger

Pixels = NDArray[np.uint8]  # (n, h, w, 3)
Probabilities = NDArray[Any]  # (n, h, w)


@dataclass(frozen=True)
class Comparison:
    """The largest ``difference`` of probabilities, which lie from ``lowest`` to ``highest``.

    ``rounding`` is how far the network's own lie from those in float64, where that was asked.
    """

    runtime: str
    difference: float
    lowest: float
    highest: float
    rounding: float | None = None

    @property
    def says_little(self) -> bool:
        return self.highest - self.lowest < LEAST_RANGE


def compare(model: bytes, network: Network, uint8: bool) -> Comparison | None:
    """Run both on random patches and on a synthetic photograph; None without onnxruntime.

    Raises `UserError` where the difference is larger than `TOLERANCE`, unless the network computes
    so coarsely in float32 itself: deep ones with random weights do.
    """
    try:
        import onnxruntime
    except ImportError:
        return None
    runtime = f"onnxruntime {onnxruntime.__version__}"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is raised
    batches = _batches(network.unit)
    try:
        session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
        theirs = [
            session.run(None, {INPUT: pixels if uint8 else scale_pixels(pixels)})[0]
            for pixels in batches
        ]
    except Exception as error:  # onnxruntime's own have no other ancestor
        if isinstance(error, MemoryError):
            raise
        raise UserError(
            f"{runtime} cannot run the model that was made ({error}); report it as a bug of "
            "minispiral, or install a newer onnxruntime"
        ) from error
    ours = [_probabilities(network, pixels, np.float32) for pixels in batches]
    if not all(np.isfinite(y).all() for y in ours):
        raise UserError(
            "the network itself gives probabilities that are no numbers (NaN), though its weights "
            "are finite; train it again with a smaller learning rate"
        )
    difference = _largest_difference(ours, theirs)
    rounding = None
    if not difference <= TOLERANCE:
        exact = deepcopy(network).astype(np.float64)
        rounding = _largest_difference(
            ours, [_probabilities(exact, pixels, np.float64) for pixels in batches]
        )
        if not difference <= ROUNDING * rounding:
            raise UserError(
                f"in {runtime} the model that was made gives probabilities up to {difference:.2g} "
                f"away from the network's, expected at most {TOLERANCE:g}; nothing was written: "
                "report it as a bug of minispiral"
            )
    lowest, highest = min(y.min() for y in ours), max(y.max() for y in ours)
    return Comparison(runtime, difference, float(lowest), float(highest), rounding)


def _batches(unit: int) -> list[Pixels]:
    """Noise and a synthetic photograph, with sides that the network takes, high and wide."""
    rng = np.random.default_rng(0)
    small, large = (unit * max(2, -(-side // unit)) - 1 for side in (48, 160))
    noise = rng.integers(0, 256, (2, small, small + unit, 3), np.uint8)
    return [noise, make_sample(rng, large + unit, large).photo[None]]


def _probabilities(network: Network, pixels: Pixels, dtype: DTypeLike) -> Probabilities:
    logits = infer(network, scale_pixels(pixels, dtype))
    probabilities: Probabilities = arithmetic.sigmoid(logits)[..., 0]
    return probabilities


def _largest_difference(ours: list[Probabilities], theirs: list[Probabilities]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))
