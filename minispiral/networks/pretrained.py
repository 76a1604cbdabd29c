"""VGG-16's weights, trained on ImageNet, for HED: from files with torchvision's names.

``features.0.weight`` and ``features.0.bias`` belong to the first convolution; in ``vgg16_bn`` batch
norm follows as ``features.1.weight``, ``.bias``, ``.running_mean`` and ``.running_var``. The
indices between are those of ReLU and pooling. Tensors outside ``features`` belong to the classifier
and are not read.
"""

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray

from minispiral.errors import UserError
from minispiral.networks import Network
from minispiral.networks.hed import STAGES
from minispiral.networks.soundness import what_is_wrong

Array = NDArray[Any]

NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "running_mean",
    "running_var": "running_var",
}
EXPECTED = "a .safetensors or .npz file of VGG-16's weights under torchvision's names"
CONVERT = (  # PyTorch's format is a pickle, which can run code when it is read
    "python -c 'import numpy, torch; "
    'numpy.savez("vgg16.npz", **torch.load("{path}", weights_only=True))\''
)
DAMAGED = (
    safetensors.SafetensorError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    NotImplementedError,  # a compression method that zipfile lacks
    TypeError,  # a dtype that NumPy lacks
    ValueError,
)


@dataclass(frozen=True)
class Weights:
    """The features of a VGG-16, ``(co, ci, kh, kw)`` and ``(c,)``, and the file they come from."""

    path: Path
    tensors: Mapping[str, Array]

    @property
    def name(self) -> str:
        """What torchvision calls the network: ``vgg16``, or ``vgg16_bn`` if it has batch norm."""
        return "vgg16_bn" if any(key.startswith("features.1.") for key in self.tensors) else "vgg16"


def read(path: Path | str) -> Weights:
    """Read the features from a ``.safetensors`` or ``.npz`` file, neither of which can run code.

    Raises `UserError` for a file of another kind, one that cannot be read or one without features.
    """
    path = Path(path)
    if path.suffix in (".pth", ".pt"):
        raise UserError(
            f"{path} is in PyTorch's own format, expected {EXPECTED}; where PyTorch is installed "
            f"convert it: {CONVERT.format(path=path)}"
        )
    if path.suffix not in (".safetensors", ".npz"):
        raise UserError(f"{path} is of another kind; give {EXPECTED}.")
    try:
        tensors = dict(_safetensors(path) if path.suffix == ".safetensors" else _npz(path))
    except FileNotFoundError:
        raise UserError(f"There is no file {path}; give {EXPECTED}.") from None
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}); give {EXPECTED}."
        ) from error
    except DAMAGED as error:
        raise UserError(
            f"{path} is damaged, or not what its name says ({error}); give {EXPECTED}."
        ) from error
    if not tensors:
        raise UserError(f"{path} holds no tensor features.*; give {EXPECTED}.")
    return Weights(path, tensors)


def _wanted(name: str) -> bool:
    return name.startswith("features.") and not name.endswith(".num_batches_tracked")


def _safetensors(path: Path) -> Iterator[tuple[str, Array]]:
    with safetensors.safe_open(path, framework="numpy") as file:
        for name in filter(_wanted, file.keys()):
            yield name, file.get_tensor(name)


def _npz(path: Path) -> Iterator[tuple[str, Array]]:
    with path.open("rb") as opened:  # by path, NumPy would leave a damaged file open
        if not zipfile.is_zipfile(opened):
            raise ValueError("it is no archive of arrays")
        opened.seek(0)
        with np.load(opened, allow_pickle=False) as file:
            for name in filter(_wanted, file.files):
                tensor = file[name]
                if not isinstance(tensor, np.ndarray):
                    raise ValueError(f"{name} is no array")
                yield name, tensor


def copy_into(network: Network, weights: Weights) -> None:
    """Copy the weights into ``network``, an HED that was built for weights of this name.

    Batch norm cancels the bias of the convolution before it, so our convolutions have none. It is
    subtracted from the running mean instead, and in evaluation ``(x + b) - mean`` stays the same.
    Raises `UserError`, and changes nothing, if a tensor is missing, unexpected, of the wrong shape
    or of numbers that cannot be used (`what_is_wrong`).
    """
    state = network.state()
    given = dict(weights.tensors)
    values: dict[str, Array] = {}

    def take(theirs: str, ours: str) -> Array:
        shape = state[ours].transpose(3, 2, 0, 1).shape if ours.endswith("w") else state[ours].shape
        if theirs not in given:
            raise UserError(f"{weights.path} lacks {theirs}; give {EXPECTED}.")
        value = given.pop(theirs)
        if value.shape != shape:
            raise UserError(
                f"{weights.path} gives {theirs} the shape {value.shape}, expected {shape}; "
                "VGG-16's own weights fit a network of width 1 only."
            )
        if wrong := what_is_wrong(theirs, value):
            raise UserError(
                f"{weights.path} gives {theirs} values that are {wrong}; give {EXPECTED}."
            )
        return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value

    for i, at in enumerate(_convolutions(weights.name)):
        conv, norm = f"encoder.{i}.conv", f"encoder.{i}.norm"
        values[f"{conv}.w"] = take(f"features.{at}.weight", f"{conv}.w")
        if weights.name == "vgg16":
            values[f"{conv}.b"] = take(f"features.{at}.bias", f"{conv}.b")
            continue
        bias = take(f"features.{at}.bias", f"{norm}.beta")
        for theirs, ours in NORM.items():
            values[f"{norm}.{ours}"] = take(f"features.{at + 1}.{theirs}", f"{norm}.{ours}")
        values[f"{norm}.running_mean"] = values[f"{norm}.running_mean"] - bias
    if given:
        raise UserError(
            f"{weights.path} holds {min(given)}, which {weights.name} does not have; "
            f"give {EXPECTED}."
        )
    for name, value in values.items():
        np.copyto(state[name], value, casting="same_kind")


def _convolutions(name: str) -> Iterator[int]:
    """The indices of the convolutions among torchvision's ``features``."""
    at = 0
    for layers, _ in STAGES:
        for _ in range(layers):
            yield at
            at += 3 if name == "vgg16_bn" else 2  # past batch norm and ReLU
        at += 1  # past the pooling
