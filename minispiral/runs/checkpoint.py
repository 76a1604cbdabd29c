"""Checkpoints: everything a run needs to go on bit for bit.

A checkpoint is one safetensors file (arrays only, no pickled code). It holds the parameters and
running statistics of the network as ``network.<name>``, their moving averages as ``average.<name>``
if the run keeps them, and the moments of Adam as ``adam.<name>``.
The JSON in its header holds the step, the configuration, the state of the random generator and
the progress of the run.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from minispiral import networks
from minispiral.device import CPU, Device
from minispiral.errors import UserError
from minispiral.files import replacing
from minispiral.memory import is_memory_error
from minispiral.networks.soundness import what_is_wrong
from minispiral.nn import Module
from minispiral.runs.trained import checkpoint_of

KEY = "minispiral"  # of our entry in the safetensors header
VERSION = 1
STEPS = "adam.step"  # the one tensor of whole numbers: how many steps Adam has taken
_HEADER = {"step": int, "config": dict, "random_state": dict, "progress": dict}


@dataclass
class Checkpoint:
    """A run after ``step`` updates.

    ``config``, ``random_state`` and ``progress`` are JSON values: the options of the run, the
    state of its bit generator after the last batch it trained on, and the running sums and best
    score that the training loop keeps.
    """

    step: int
    config: dict[str, Any]
    tensors: dict[str, NDArray[Any]]
    random_state: Mapping[str, Any]
    progress: dict[str, Any]

    def part(self, prefix: str) -> dict[str, NDArray[Any]]:
        """The tensors called ``prefix.<name>``, by ``<name>``."""
        dotted = prefix + "."
        return {k.removeprefix(dotted): v for k, v in self.tensors.items() if k.startswith(dotted)}

    def weights(self) -> dict[str, NDArray[Any]]:
        """The state of the network to use: the averaged one, if the run keeps an average."""
        return self.part("average") or self.part("network")


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write ``checkpoint`` to ``path`` atomically.

    Raises `UserError` if that fails; the old file is then intact.
    """
    header = {
        "version": VERSION,
        "step": checkpoint.step,
        "config": checkpoint.config,
        "random_state": checkpoint.random_state,
        "progress": checkpoint.progress,
    }
    tensors = {name: np.asarray(data, order="C") for name, data in checkpoint.tensors.items()}
    # Not save_file, which leaves a file with a random name behind when it is killed.
    content = safetensors.numpy.save(tensors, metadata={KEY: json.dumps(header)})
    with replacing(path) as file:
        file.write(content)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises `UserError` if it is missing, damaged or not one of ours, and for a tensor that no run
    can go on from (`what_is_wrong`), such as one with NaN.
    """
    with _opened(path) as (file, header):
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        random_state, progress = header["random_state"], header["progress"]
        checkpoint = Checkpoint(header["step"], header["config"], tensors, random_state, progress)
    for name, values in tensors.items():
        wrong = what_is_wrong(name, values) if name != STEPS else ""
        if wrong:
            raise UserError(
                f"{path} holds values in {name} that are {wrong}; restore it from a copy or train "
                "again."
            )
    return checkpoint


def load_config(path: Path) -> dict[str, Any]:
    """The configuration of a checkpoint, without its tensors; raises `UserError` as `load` does."""
    with _opened(path) as (_, header):
        return dict(header["config"])


def load_progress(path: Path) -> dict[str, Any]:
    """The progress of the run at a checkpoint, without its tensors; `UserError` as `load` does."""
    with _opened(path) as (_, header):
        return dict(header["progress"])


def is_checkpoint(path: Path) -> bool:
    """Whether this is the file of a checkpoint that can be read."""
    try:
        with _opened(path):
            return True
    except UserError:
        return False


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The open safetensors file and our header; `UserError` for what goes wrong meanwhile."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if KEY not in metadata:
                raise UserError(
                    f"{path} is a safetensors file of another program; give a checkpoint that "
                    "`minispiral train` wrote."
                )
            header = json.loads(metadata[KEY])
            if header["version"] != VERSION:
                raise UserError(
                    f"{path} is a checkpoint of format {header['version']}, this version of "
                    f"minispiral reads format {VERSION}; use the version that wrote it."
                )
            for name, kind in _HEADER.items():
                if not isinstance(header[name], kind):
                    raise ValueError(f"its {name} is a {type(header[name]).__name__}")
            yield file, header
    except FileNotFoundError:
        raise UserError(
            f"There is no checkpoint {path}; give a run folder that `minispiral train` wrote."
        ) from None
    except (
        safetensors.SafetensorError,
        ValueError,
        KeyError,
        TypeError,
        RecursionError,
    ) as error:
        raise UserError(
            f"{path} is not a checkpoint or was cut short ({error}); restore it from a copy or "
            "train again."
        ) from error
    except OSError as error:
        if is_memory_error(error):
            raise
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}); give a run folder that "
            "`minispiral train` wrote."
        ) from error


def restore(path: Path, network: Module, weights: Mapping[str, NDArray[Any]]) -> None:
    """Copy the ``weights`` of the checkpoint read from ``path`` into ``network``.

    Raises `UserError`, naming ``path`` and the mismatch, if they belong to another network.
    """
    try:
        network.load_state(weights)
    except UserError as error:
        raise UserError(
            f"{path} does not hold the network its configuration names: {error}"
        ) from error


def load_network(run: Path | str, which: str = "best", device: Device = CPU) -> networks.Network:
    """The trained network of a run, in evaluation mode, on ``device``.

    ``run`` and ``which``, ``"best"`` or ``"last"``, are those of `checkpoint_of`. Raises
    `UserError` if there is no such checkpoint, a damaged one, or one whose tensors do not fit the
    network it names.
    """
    path = checkpoint_of(run, which)
    return network_of(path, load(path)).to(device)


def network_of(path: Path, checkpoint: Checkpoint) -> networks.Network:
    """The trained network of the checkpoint read from ``path``, in evaluation mode.

    Raises `UserError` for tensors that do not fit the network it names.
    """
    try:
        network = networks.build(
            checkpoint.config["network"],
            depths=checkpoint.config["depths"],
            connection=checkpoint.config["connection"],
            width=checkpoint.config["width"],
            pretrained=checkpoint.config.get("pretrained"),  # absent in the first checkpoints
            rng=np.random.default_rng(0),  # every value it draws is replaced below
        )
    except KeyError as error:
        raise UserError(
            f"{path} does not record the {error} of its network; give a checkpoint that "
            "`minispiral train` wrote."
        ) from error
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(
            f"The network that {path} records cannot be built ({error}); restore it from a copy or "
            "train again."
        ) from error
    restore(path, network, checkpoint.weights())
    return network.eval()
