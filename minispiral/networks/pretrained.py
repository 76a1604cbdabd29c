"""VGG-16's weights, trained on ImageNet, into HED: from files that name them as torchvision does.

``features.0.weight`` and ``features.0.bias`` are the first convolution's; in ``vgg16_bn`` batch
norm follows as ``features.1.weight``, ``.bias``, ``.running_mean`` and ``.running_var``. The
places between are ReLU and pooling. What is not ``features`` classifies and is not read.
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

Array = NDArray[Any]

NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "running_mean",
    "running_var": "running_var",
}
EXPECTED = "a .safetensors or .npz file of VGG-16's weights under torchvision's names"
CONVERT = (  # a pickle, which can run code when it is read
    "python -c 'import numpy, torch; "
    'numpy.savez("vgg16.npz", **torch.load("{path}", weights_only=True))\''
)
DAMAGED = (
    safetensors.SafetensorError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    NotImplementedError,  # a compression that zipfile does not know
    TypeError,  # numbers that NumPy does not know
    ValueError,
)


@dataclass(frozen=True)
class Weights:
    """The features of a VGG-16, ``(co, ci, kh, kw)`` and ``(c,)``, and the file they are from."""

    path: Path
    tensors: Mapping[str, Array]

    @property
    def name(self) -> str:
        """What torchvision calls such a network: ``vgg16`` or ``vgg16_bn``, with batch norm."""
        return "vgg16_bn" if any(key.startswith("features.1.") for key in self.tensors) else "vgg16"


def read(path: Path | str) -> Weights:
    """Read the features from a ``.safetensors`` or ``.npz`` file; neither can run code.

    Raises `UserError` for another kind of file, one that cannot be read and one without features.
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
    with path.open("rb") as opened:  # NumPy leaves a file open that it cannot read
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
    """Start ``network``, an HED built for weights of this name, from them.

    Batch norm removes whatever bias the convolution before it has, so that here has none: the bias
    is taken off the running mean, and in evaluation ``(x + b) - mean`` stays what it was. Raises
    `UserError`, with nothing changed, where a tensor is missing, surplus, misshapen or holds
    something else than finite numbers.
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
                f"{weights.path} gives {theirs} the shape {value.shape}, expected {shape}; give "
                "VGG-16's weights with a --width of 1."
            )
        if value.dtype.kind != "f" or not np.isfinite(value).all():
            raise UserError(
                f"{weights.path} gives {theirs} values that are no finite numbers; give {EXPECTED}."
            )
        return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value

    for i, place in enumerate(_places(weights.name)):
        conv, norm = f"encoder.{i}.conv", f"encoder.{i}.norm"
        values[f"{conv}.w"] = take(f"features.{place}.weight", f"{conv}.w")
        if weights.name == "vgg16":
            values[f"{conv}.b"] = take(f"features.{place}.bias", f"{conv}.b")
            continue
        bias = take(f"features.{place}.bias", f"{norm}.beta")
        for theirs, ours in NORM.items():
            values[f"{norm}.{ours}"] = take(f"features.{place + 1}.{theirs}", f"{norm}.{ours}")
        values[f"{norm}.running_mean"] = values[f"{norm}.running_mean"] - bias
    if given:
        raise UserError(
            f"{weights.path} holds {min(given)}, which {weights.name} has not; give {EXPECTED}."
        )
    for name, value in values.items():
        np.copyto(state[name], value, casting="same_kind")


def _places(name: str) -> Iterator[int]:
    """Where the convolutions stand among torchvision's ``features``."""
    place = 0
    for layers, _ in STAGES:
        for _ in range(layers):
            yield place
            place += 3 if name == "vgg16_bn" else 2
        place += 1  # the pooling
