"""The weights that a new run starts from: a trained network's, or those of VGG-16 for HED.

A network takes all of a trained one, the running statistics of batch norm too. The optimiser, the
random generator and the count of steps begin anew: it is another run.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.errors import UserError
from minispiral.networks import NETWORKS, Network, pretrained
from minispiral.runs.checkpoint import is_checkpoint, load, load_config
from minispiral.runs.trained import checkpoint_of, is_packaged

ARCHITECTURE = ("network", "depths", "connection", "width")


@dataclass(frozen=True)
class Initial:
    """The tensors of ``file``: a network's state, or what a file of VGG-16 holds.

    ``kind`` is that of VGG-16's weights which an HED is made for, None for any other network;
    ``step`` is that of the checkpoint, ``config`` its configuration.
    """

    file: Path
    tensors: Mapping[str, NDArray[Any]]
    kind: str | None = None
    config: Mapping[str, Any] | None = None
    step: int | None = None

    @property
    def _inapplicable(self) -> Collection[str]:
        """The options that do not shape the network of this kind."""
        kind = NETWORKS.get(str((self.config or {}).get("network")))
        return () if kind is None else kind.inapplicable

    @property
    def digest(self) -> str:
        """Tells these weights from any others: 16 hexadecimal digits of SHA-256."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.tensors.items()):
            digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode())
            digest.update(np.ascontiguousarray(tensor).data)
        return digest.hexdigest()[:16]

    def __str__(self) -> str:
        return str(self.file) if self.step is None else f"{self.file}, step {self.step}"

    def copy_into(self, network: Network) -> None:
        """Give ``network`` these weights.

        Raises `UserError`, with nothing changed, if they are those of another architecture: for
        the first tensor that differs.
        """
        if self.config is None:
            pretrained.copy_into(network, pretrained.Weights(self.file, self.tensors))
            return
        expected = network.state()
        for name in (*expected, *sorted(self.tensors.keys() - expected.keys())):
            ours, theirs = (_shape(tensors, name) for tensors in (expected, self.tensors))
            if ours != theirs:
                what = ", ".join(
                    f"{key} {_spell(value)}"
                    for key, value in self.config.items()
                    if key in ARCHITECTURE and key not in self._inapplicable
                )
                raise UserError(
                    f"{name} is {theirs} in {self.file} and {ours} in this network: train the same "
                    f"network ({what}) or start from other weights",
                    "init",
                )
        network.load_state(self.tensors)


def read(init: Path | str, network: str) -> Initial:
    """The weights that ``init`` means for a ``network`` of this name.

    ``init`` is a run folder, whose ``best`` checkpoint is taken, else its ``last``; a checkpoint;
    ``pretrained``; or for HED a file that `pretrained.read` knows. Raises `UserError` for any other
    file, a damaged one and one of weights that cannot be used.
    """
    if not is_packaged(init) and not Path(init).exists():
        raise UserError(
            f"There is no {init}, expected a run folder, a checkpoint or, for network hed, a file "
            "of VGG-16's weights",
            "init",
        )
    if _is_trained(init):
        path = checkpoint_of(init)
        checkpoint = load(path)
        kind = checkpoint.config.get("pretrained")
        return Initial(path, checkpoint.weights(), kind, checkpoint.config, checkpoint.step)
    if "pretrained" not in NETWORKS[network].inapplicable:
        weights = pretrained.read(init)
        return Initial(weights.path, weights.tensors, weights.name)
    path = Path(init)
    if path.suffix == ".safetensors":
        load(checkpoint_of(path))  # says what is wrong with it
    raise UserError(
        f"{path} is no checkpoint of minispiral, from which network {network} could start: "
        "weights of VGG-16 are for network hed",
        "init",
    )


def architecture(init: Path | str | None) -> dict[str, Any]:
    """The options of the trained network that ``init`` means; none for a file of VGG-16."""
    if init is None or not _is_trained(init):
        return {}
    config = load_config(checkpoint_of(init))
    return {name: config[name] for name in ARCHITECTURE if name in config}


def _is_trained(init: Path | str) -> bool:
    return is_packaged(init) or Path(init).is_dir() or is_checkpoint(Path(init))


def _shape(tensors: Mapping[str, NDArray[Any]], name: str) -> str:
    return f"of shape {tensors[name].shape}" if name in tensors else "missing"


def _spell(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
