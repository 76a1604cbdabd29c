"""The options of a training run."""

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from minispiral import device as devices
from minispiral import networks
from minispiral.errors import UserError
from minispiral.losses import LOSSES

# A resumed run may be told to go further, elsewhere, or to write more often; `data` and `val` may
# have moved, but must hold the same photographs.
MAY_CHANGE = frozenset(
    {"data", "val", "epochs", "steps", "device", "precision", "checkpoint_every", "log_every"}
)


@dataclass(frozen=True)
class TrainConfig:
    """The options of a run; the defaults are the recipe of Section 4.2.

    ``init`` is a file of VGG-16's weights that HED starts from. Training sets ``pretrained`` to the
    kind they are of: `minispiral.networks.build` needs it once the file is gone.
    ``steps`` overrides ``epochs``; an epoch draws ``patches_per_image`` patches per photograph.
    ``validate_every`` counts steps (default: an epoch), as does ``checkpoint_every`` (default:
    every two minutes and at each validation); neither changes the weights a run ends with.
    Raises `UserError` for a value that cannot be.
    """

    data: Path | str
    val: Path | str | None = None
    network: str = "spiral"
    depths: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)
    connection: str = "concat"
    width: float = 1.0
    init: Path | str | None = None
    pretrained: str | None = None
    loss: str = "pseudo-f1"
    focal_alpha: float = 0.25
    focal_gamma: float = 2.0
    patch: int = 255
    batch: int = 32
    patches_per_image: int = 256
    epochs: int = 200
    steps: int | None = None
    lr: float = 1e-4
    beta1: float = 0.9
    seed: int = 0
    device: str = "auto"
    precision: str = "float32"
    checkpoint_every: int | None = None
    validate_every: int | None = None
    log_every: int = 20

    def __post_init__(self) -> None:
        choices = {
            "network": networks.NETWORKS,
            "loss": tuple(LOSSES),
        }
        for name, known in choices.items():
            _check(name, getattr(self, name), getattr(self, name) in known, " or ".join(known))
        if self.init is not None and self.network != "hed":
            raise UserError(
                f"--init {self.init} was given with --network {self.network}, which has no "
                "pretrained weights; give --network hed or leave --init out."
            )
        counts = ("patch", "batch", "patches_per_image", "epochs", "log_every")
        for name in (*counts, "steps", "checkpoint_every", "validate_every"):
            value = getattr(self, name)
            _check(name, value, value is None or value >= 1, "at least 1")
        _check("seed", self.seed, self.seed >= 0, "at least 0")
        _check("lr", self.lr, 0 < self.lr < math.inf, "a positive number")
        _check("beta1", self.beta1, 0 <= self.beta1 < 1, "at least 0 and below 1")
        alpha, gamma = self.focal_alpha, self.focal_gamma
        _check("focal_alpha", alpha, 0 < alpha < 1, "a number between 0 and 1")
        _check("focal_gamma", gamma, 0 <= gamma < math.inf, "a number of at least 0")
        devices.check(self.device, self.precision)

    @property
    def loss_parameters(self) -> dict[str, float]:
        """What the loss takes beside logits and mask."""
        if self.loss != "focal":
            return {}
        return {"alpha": self.focal_alpha, "gamma": self.focal_gamma}

    def as_dict(self) -> dict[str, Any]:
        """The options as JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["depths"] = list(self.depths)
        for name in ("data", "val", "init"):
            values[name] = None if values[name] is None else str(values[name])
        return values


def _check(name: str, value: object, good: bool, expected: str) -> None:
    if not good:
        option = name.replace("_", "-")
        raise UserError(f"--{option} {value} was given, expected {expected}; change --{option}.")
