"""VGG-16 as minispiral and PyTorch are both given it: weights, a picture, places to look at.

Like the twin's, they are functions of integers: see `tests.twin.task`.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from tests.twin.task import Array, uniform

CHANNELS = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
PLACES = {  # of the convolutions among torchvision's `features`
    "vgg16": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
    "vgg16_bn": (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40),
}
STAGES = (2, 4, 7, 10, 13)  # convolutions up to the end of each
HW = 47, 63  # of the picture
SAMPLES = 64  # of each stage


def weights(name: str, width: float = 1.0) -> dict[str, Array]:
    """What torchvision's ``vgg16`` or ``vgg16_bn`` would save of its features, in float32."""
    found = {}
    ci = 3
    for channels, place in zip(CHANNELS, PLACES[name], strict=True):
        co = max(1, round(channels * width))
        conv, norm = f"features.{place}.", f"features.{place + 1}."
        # variance 2 / fan_in, which a ReLU halves again
        found[conv + "weight"] = np.sqrt(6 / (9 * ci)) * uniform(conv + "weight", co, ci, 3, 3)
        found[conv + "bias"] = uniform(conv + "bias", co) / 4
        if name == "vgg16_bn":
            found[norm + "weight"] = 1 + uniform(norm + "weight", co) / 4
            found[norm + "bias"] = uniform(norm + "bias", co) / 4
            found[norm + "running_mean"] = uniform(norm + "running_mean", co) / 4
            found[norm + "running_var"] = 1 + uniform(norm + "running_var", co) / 4
            found[norm + "num_batches_tracked"] = np.array(7)
        ci = co
    return {
        key: value.astype(np.float32) if value.dtype.kind == "f" else value
        for key, value in found.items()
    }


def picture() -> Array:
    """``(1, *HW, 3)``, float32 in [-1, 1)."""
    return uniform("picture", 1, *HW, 3).astype(np.float32)


def samples(features: Iterable[Array]) -> dict[str, Any]:
    """The largest and some of the last features of each stage, ``(1, h, w, c)``."""
    found = {}
    for k, array in enumerate(features, 1):
        where = ((uniform(f"stage {k}", SAMPLES) + 1) / 2 * array.size).astype(int)
        found[f"stage {k}"] = {"max": float(array.max()), "samples": array.flat[where].tolist()}
    return found
