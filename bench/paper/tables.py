"""Tables 2 to 5 of the paper: what each row trains, and what the paper reports for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from minispiral.networks import PRESETS

SCORES = ("mAP", "F1", "Precision", "Recall")  # columns of Tables 2 to 4, in %


def loss_name(options: Mapping[str, Any]) -> str:
    """The loss among options of training, with the parameter that tells two of a kind apart."""
    loss: str = options["loss"]
    return f"{loss}-{options['focal_alpha']:g}" if loss == "focal" else loss


@dataclass(frozen=True)
class Row:
    """One trained network: its labels, the options that make it, the paper's scores in %.

    ``pretrained`` asks for VGG-16 weights, which the user gives.
    """

    labels: tuple[str, ...]
    options: Mapping[str, Any]
    paper: tuple[float | None, ...]
    pretrained: bool = False

    @property
    def name(self) -> str:
        return " / ".join(self.labels)

    @property
    def key(self) -> str:
        """A folder name that identifies this network and its loss.

        Identical rows of different tables share it and so are trained once.
        """
        o = dict(self.options)
        parts = [o["network"], self.loss]
        if o["network"] == "spiral":
            parts[1:1] = ["".join(map(str, o["depths"])), o["connection"]]
        if "lr" in o:
            parts.append(f"lr{o['lr']:g}")
        return "-".join([*parts, *(["vgg"] if self.pretrained else [])])

    @property
    def loss(self) -> str:
        return loss_name(self.options)

    def with_modules_up_to(self, deepest: int) -> Row:
        """The row without the modules that are deeper; a U-Net is as deep as the deepest left."""
        if self.options["network"] == "hed":  # has no modules
            return self
        depths = self.options.get("depths", PRESETS["increasing"])
        left = tuple(depth for depth in depths if depth <= deepest)
        return replace(self, options={**self.options, "depths": left})

    def at_rate(self, lr: float) -> Row:
        """The row trained with a learning rate of its own."""
        return replace(self, options={**self.options, "lr": lr})


@dataclass(frozen=True)
class Table:
    """A table of the paper: ``headings`` of its rows' labels, and the rows."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[Row, ...]
    scores: tuple[str, ...] = SCORES
    parameters: Mapping[str, float] | None = None  # the paper's, in units of 2**20, by label


def spiral(
    loss: str, depths: tuple[int, ...] = PRESETS["increasing"], connection: str = "concat"
) -> dict[str, Any]:
    """The options of a Spiral-Net."""
    return {"network": "spiral", "depths": depths, "connection": connection, "loss": loss}


FAILED = (0.0, 0.0, 0.0, 0.0)  # "improperly learned to always output labels of negative class"

TABLE2 = Table(
    "Table 2: Spiral-Net of various depth orders, cross-entropy",
    ("architecture", "order of depths"),
    tuple(
        Row(
            (preset.split("-")[0], "-".join(map(str, PRESETS[preset]))),
            spiral("cross-entropy", PRESETS[preset]),
            paper,
        )
        for preset, paper in {
            "increasing": (80.91, 71.76, 86.56, 62.89),
            "decreasing": FAILED,
            "triangle": (78.92, 69.35, 87.33, 59.23),
            "triangle-7": (79.03, 70.82, 85.39, 62.38),
            "uniform-1": (53.67, 43.85, 82.16, 32.06),
            "uniform-2": (77.56, 67.51, 87.29, 57.05),
            "uniform-3": (78.33, 67.99, 88.71, 58.50),
            "uniform-4": (74.77, 66.96, 81.34, 58.79),
            "uniform-5": (72.08, 63.77, 84.22, 55.02),
            "uniform-6": FAILED,
            "uniform-7": FAILED,
        }.items()
    ),
)

TABLE3 = Table(
    "Table 3: Spiral-Net with various skip connections, cross-entropy",
    ("connection",),
    tuple(
        Row((label,), spiral("cross-entropy", connection=connection), paper)
        for label, connection, paper in (
            ("concatenation", "concat", (80.91, 71.76, 86.56, 62.89)),
            ("sum", "sum", (79.16, 71.14, 87.12, 61.46)),
            ("none", "none", FAILED),
        )
    ),
)

NETWORKS: dict[str, dict[str, Any]] = {
    "Spiral-Net": {"network": "spiral", "depths": PRESETS["increasing"], "connection": "concat"},
    "U-Net": {"network": "unet"},
    "HED (fine-tuned)": {"network": "hed"},
    "HED (scratch)": {"network": "hed"},
    "wide U-Net": {"network": "wide-unet"},
}
LOSSES: dict[str, dict[str, Any]] = {
    "(a) cross-entropy": {"loss": "cross-entropy"},
    "(b) balanced": {"loss": "balanced"},
    "(c) focal, alpha 0.25": {"loss": "focal", "focal_alpha": 0.25},
    "(d) focal, alpha 0.5": {"loss": "focal", "focal_alpha": 0.5},
    "(e) F1, Eq. 8": {"loss": "f1"},
    "(f) pseudo-F1, Eq. 11": {"loss": "pseudo-f1"},
}
# By loss, in the order of LOSSES; within it by network, in the order of NETWORKS.
TABLE4_SCORES = (
    (
        (80.91, 71.76, 86.56, 62.89),
        (73.12, 64.78, 78.69, 55.63),
        (63.47, 18.83, 90.83, 11.16),
        (72.47, 61.70, 85.85, 51.61),
    ),
    (
        (80.11, 29.19, 17.48, 97.99),
        (73.02, 21.80, 13.83, 90.83),
        (67.44, 22.51, 12.98, 94.49),
        (72.39, 28.87, 18.66, 92.29),
    ),
    (
        (68.01, 44.20, 91.24, 31.08),
        (63.40, 41.45, 90.46, 28.98),
        (53.86, 0.98, 64.21, 0.50),
        (69.99, 31.09, 95.25, 19.77),
    ),
    (
        (75.77, 65.17, 86.87, 54.46),
        (64.99, 55.54, 82.10, 45.84),
        (56.34, 12.37, 90.94, 7.01),
        (71.22, 57.18, 85.68, 45.98),
    ),
    (
        (68.81, 74.92, 81.90, 69.95),
        (63.06, 68.97, 81.63, 64.85),
        FAILED,
        FAILED,
    ),
    (
        (85.61, 79.04, 78.44, 79.81),
        (77.16, 69.48, 77.67, 68.34),
        (69.02, 62.32, 66.05, 61.14),
        (76.96, 69.00, 70.43, 71.20),
    ),
)

TABLE4 = Table(
    "Table 4: networks and loss functions",
    ("loss", "network"),
    tuple(
        Row(
            (loss, network),
            NETWORKS[network] | LOSSES[loss],
            paper,
            pretrained=network == "HED (fine-tuned)",
        )
        for loss, of_loss in zip(LOSSES, TABLE4_SCORES, strict=True)
        for network, paper in zip(list(NETWORKS)[:4], of_loss, strict=True)
    ),
)

TABLE5 = Table(
    "Table 5: parameters, and scores with pseudo-F1",
    ("network",),
    tuple(
        Row((label,), NETWORKS[network] | {"loss": "pseudo-f1"}, paper)
        for label, network, paper in (
            ("HED", "HED (scratch)", (76.96, 69.00)),
            ("U-Net", "U-Net", (77.16, 69.48)),
            ("Spiral-Net", "Spiral-Net", (85.61, 79.04)),
            ("wide U-Net", "wide U-Net", (77.01, 69.69)),
        )
    ),
    scores=SCORES[:2],
    parameters={"HED": 14.1, "U-Net": 22.4, "Spiral-Net": 39.7, "wide U-Net": 39.9},
)

TABLES = {"table2": TABLE2, "table3": TABLE3, "table4": TABLE4, "table5": TABLE5}
