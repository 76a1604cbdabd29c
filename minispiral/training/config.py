"""The options of a training run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from minispiral import device as devices
from minispiral.errors import UserError
from minispiral.kernels.losses import LOSSES, Parameter
from minispiral.networks import NETWORKS
from minispiral.runs.typed import check_types

# The options that a resumed run may change; ``data`` and ``val`` must hold the same photographs.
MAY_CHANGE = frozenset(
    {
        "data",
        "val",
        "mask_suffix",
        "recursive",
        "epochs",
        "steps",
        "device",
        "precision",
        "checkpoint_every",
        "log_every",
    }
)

# The options that shape the network: weights of another do not fit.
SHAPING = frozenset({"network", "depths", "connection", "width", "pretrained"})

# What training itself finds out and records.
FOUND = ("pretrained", "init_file", "init_digest")

SCHEDULES = ("constant", "cosine")

# The parameters of all losses, as options such as ``focal_alpha``: the loss, its parameter's name.
LOSS_OPTIONS: dict[str, tuple[str, str]] = {
    f"{loss}_{name}".replace("-", "_"): (loss, name)
    for loss, entry in LOSSES.items()
    for name in entry.parameters()
}


def loss_parameter(option: str) -> Parameter:
    """The entry of the table of losses for one of `LOSS_OPTIONS`."""
    loss, name = LOSS_OPTIONS[option]
    return LOSSES[loss].parameters()[name]


@dataclass(frozen=True)
class TrainConfig:
    """The options of a run; the defaults are the recipe of Section 4.2.

    ``mask_suffix``, ``recursive`` and ``as_stored`` are those of `minispiral.data.pairs.find_pairs`
    for ``data`` and ``val``.
    ``loss_options`` holds parameters of losses, such as ``focal_alpha``; those left out have their
    defaults, and those of other losses than ``loss`` do not count.
    ``init`` says what the network starts from, as `minispiral.training.initial.read` takes it.
    Training sets ``init_file`` to the file that it read, ``init_digest`` to what tells its weights
    from others, and for HED ``pretrained`` to the kind of VGG-16's weights that the network is
    made for, which `minispiral.networks.build` needs even when the file is gone.
    ``schedule`` and ``warmup`` are those of `minispiral.training.schedule`, ``average`` and
    ``average_decay`` those of `minispiral.training.average`, ``clip`` that of
    `minispiral.optim.Adam`, ``augment`` and ``crack_share`` those of
    `minispiral.data.patches.PatchSampler`; by default none of them changes anything.
    ``steps`` overrides ``epochs``; an epoch draws ``patches_per_image`` patches from each
    photograph. ``validate_every`` (default: an epoch) and ``checkpoint_every`` (default: every two
    minutes and at each validation) are in steps and do not change the resulting weights.

    Raises `UserError` for a value that is not valid.
    """

    data: Path | str
    val: Path | str | None = None
    mask_suffix: str = ""
    recursive: bool = False
    as_stored: bool = False
    network: str = "spiral"
    depths: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)
    connection: str = "concat"
    width: float = 1.0
    init: Path | str | None = None
    pretrained: str | None = None
    init_file: str | None = None
    init_digest: str | None = None
    loss: str = "pseudo-f1"
    loss_options: Mapping[str, float] = field(default_factory=dict)
    patch: int = 255
    batch: int = 32
    patches_per_image: int = 256
    epochs: int = 200
    steps: int | None = None
    lr: float = 1e-4
    beta1: float = 0.9
    schedule: str = "constant"
    warmup: int = 0
    average: bool = False
    average_decay: float = 0.999
    clip: float | None = None
    augment: bool = False
    crack_share: float = 0.0
    seed: int = 0
    device: str = "auto"
    precision: str = "float32"
    checkpoint_every: int | None = None
    validate_every: int | None = None
    log_every: int = 20

    def __post_init__(self) -> None:
        choices = (("network", NETWORKS), ("loss", LOSSES), ("schedule", SCHEDULES))
        for name, known in choices:
            _check(name, getattr(self, name), getattr(self, name) in known, " or ".join(known))
        unknown = self.loss_options.keys() - LOSS_OPTIONS
        if unknown:
            raise UserError(
                f"{', '.join(sorted(unknown))} was given, but no loss has such a parameter"
            )
        counts = ("patch", "batch", "patches_per_image", "epochs", "log_every")
        for name in (*counts, "steps", "checkpoint_every", "validate_every"):
            value = getattr(self, name)
            _check(name, value, value is None or value >= 1, "at least 1")
        for name in ("seed", "warmup"):
            _check(name, getattr(self, name), getattr(self, name) >= 0, "at least 0")
        _check("lr", self.lr, 0 < self.lr < math.inf, "a positive number")
        for name in ("beta1", "average_decay"):
            value = getattr(self, name)
            _check(name, value, 0 <= value < 1, "at least 0 and below 1")
        if not self.average and self.average_decay != type(self).average_decay:
            raise UserError(
                f"average_decay {self.average_decay} was given, but no average is to be kept",
                "average",
            )
        positive = self.clip is None or 0 < self.clip < math.inf
        _check("clip", self.clip, positive, "a positive number")
        _check("crack_share", self.crack_share, 0 <= self.crack_share <= 1, "0 to 1")
        for option, value in self.loss_options.items():
            allowed = loss_parameter(option).range
            _check(option, value, allowed.contains(value), allowed.description)
        devices.check(self.device, self.precision)

    @property
    def loss_parameters(self) -> dict[str, float]:
        """The parameters that were given for ``loss``, by the names that it knows them by."""
        return {
            name: self.loss_options[option]
            for option, (loss, name) in LOSS_OPTIONS.items()
            if loss == self.loss and option in self.loss_options
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`. Options that are missing have their defaults.

        Raises TypeError for options that do not exist and values of another type.
        """
        options = {name: value for name, value in values.items() if name not in LOSS_OPTIONS}
        loss_options = {name: values[name] for name in LOSS_OPTIONS if name in values}
        check_types(cls, {**options, "loss_options": loss_options})
        options["depths"] = tuple(values.get("depths", cls.depths))
        return cls(**options, loss_options=loss_options)

    def as_dict(self) -> dict[str, Any]:
        """The options as JSON values; those of the losses stand among the others, all of them."""
        values: dict[str, Any] = {}
        for option in fields(self):
            if option.name == "loss_options":
                values |= {name: loss_parameter(name).default for name in LOSS_OPTIONS}
                values |= self.loss_options
            else:
                values[option.name] = getattr(self, option.name)
        values["depths"] = list(self.depths)
        for name in ("data", "val", "init"):
            values[name] = None if values[name] is None else str(values[name])
        return values


def _check(name: str, value: object, good: bool, expected: str) -> None:
    if not good:
        raise UserError(f"{name} {value} was given, expected {expected}", name)
