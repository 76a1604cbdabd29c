"""The options of a training run, as an object and as JSON."""

import json

import pytest

from minispiral.errors import UserError
from minispiral.training.config import TrainConfig

VERSION_0_1 = {
    "data": "concrete",
    "val": None,
    "network": "spiral",
    "depths": [1, 2],
    "connection": "concat",
    "width": 0.25,
    "init": None,
    "pretrained": None,
    "loss": "focal",
    "focal_alpha": 0.5,
    "focal_gamma": 2.0,
    "patch": 31,
    "batch": 4,
    "patches_per_image": 256,
    "epochs": 200,
    "steps": 6,
    "lr": 0.01,
    "beta1": 0.9,
    "seed": 0,
    "device": "auto",
    "precision": "float32",
    "checkpoint_every": None,
    "validate_every": None,
    "log_every": 20,
}


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig("concrete"),
        TrainConfig("concrete", "others", depths=(3, 3), loss="f1", steps=5),
        TrainConfig(
            "concrete", loss="focal", loss_options={"focal_alpha": 0.5, "focal_gamma": 1.0}
        ),
    ],
)
def test_json_and_back_gives_the_same_options(config: TrainConfig) -> None:
    read = TrainConfig.from_dict(json.loads(json.dumps(config.as_dict())))
    assert read.as_dict() == config.as_dict()
    assert read.loss_options.items() >= config.loss_options.items()


def test_options_of_version_0_1_are_read_and_kept() -> None:
    config = TrainConfig.from_dict(VERSION_0_1)
    assert config.depths == (1, 2)
    assert config.loss_parameters == {"alpha": 0.5, "gamma": 2.0}
    written = config.as_dict()
    assert [name for name in written if name in VERSION_0_1] == list(VERSION_0_1)
    assert written.items() >= VERSION_0_1.items()


def test_options_of_another_loss_are_kept_but_do_not_count() -> None:
    config = TrainConfig.from_dict({**VERSION_0_1, "loss": "pseudo-f1"})
    assert config.loss_parameters == {}
    assert config.as_dict()["focal_alpha"] == 0.5


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"lr": 0.0}, "lr"),
        ({"beta1": 1.0}, "beta1"),
        ({"batch": 0}, "batch"),
        ({"seed": -1}, "seed"),
        ({"network": "spyral"}, "network"),
        ({"loss": "hinge"}, "loss"),
        ({"loss_options": {"focal_alpha": 1.5}}, "focal_alpha"),
        ({"loss_options": {"focal_delta": 1.5}}, None),
    ],
)
def test_an_option_that_is_not_valid_is_named(
    options: dict[str, object], parameter: str | None
) -> None:
    with pytest.raises(UserError) as refused:
        TrainConfig("concrete", **options)
    assert refused.value.parameter == parameter
