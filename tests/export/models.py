"""Networks with random weights, their models, and what onnxruntime makes of these."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from minispiral import ops
from minispiral.export.translate import model_of, translate
from minispiral.networks import PRESETS, Network, build
from minispiral.nn import BatchNorm
from minispiral.runs.checkpoint import Checkpoint, save
from minispiral.tensor import Tensor, no_grad

Array = NDArray[Any]
STEP = 17  # of the checkpoints


def lively(network: Network, rng: np.random.Generator) -> Network:
    """Weights of which none is zero or one, and running moments that suit them."""
    for p in network.parameters():
        p.data += rng.normal(0, 0.05, p.shape).astype(np.float32)
    norms = [part for _, part in network.modules() if isinstance(part, BatchNorm)]
    for norm in norms:
        norm.momentum = 1
    with no_grad():
        network(Tensor(noise(rng, network, 3)))
    for norm in norms:
        del norm.momentum
    return network.eval()


def noise(rng: np.random.Generator, network: Network, batch: int = 2) -> Array:
    """Pictures of a valid size, high or wide."""
    h, w = (network.unit * k - 1 for k in rng.permutation([2, 3]))
    return rng.uniform(-1, 1, (batch, h, w, 3)).astype(np.float32)


def probabilities(network: Network, x: Array) -> Array:
    with no_grad():
        return ops.sigmoid(network(Tensor(x))).data[..., 0]


def model(network: Network, uint8: bool = False) -> bytes:
    return model_of(translate(network, uint8), uint8, {}).SerializeToString()


def run_model(content: bytes | Path, x: Array) -> Array:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    source = content if isinstance(content, bytes) else str(content)
    session = onnxruntime.InferenceSession(source, options, ["CPUExecutionProvider"])
    return session.run(["probability"], {"photo": x})[0]


def checkpoint_with(
    path: Path, network: Network, progress: dict[str, Any] | None = None, **config: Any
) -> Path:
    """The file of a checkpoint that holds ``network``, which `build` makes of ``config``."""
    tensors = {f"network.{name}": array for name, array in network.state().items()}
    depths = list(PRESETS["increasing"])
    config = {"network": network.name, "depths": depths, "connection": "concat", **config}
    path.parent.mkdir(exist_ok=True)
    save(path, Checkpoint(STEP, config, tensors, {}, progress or {}))
    return path


def spiral(rng: np.random.Generator, **config: Any) -> Network:
    return lively(build("spiral", width=0.06, rng=rng, **config), rng)
