"""Values from JSON are held to the types of the fields they are for."""

import math
from typing import Any

import pytest

from minispiral.runs.typed import check_types
from minispiral.training.config import TrainConfig
from minispiral.training.state import Progress

SOUND = TrainConfig(data="data").as_dict()
DAMAGED = [
    *(("lr", value) for value in ("0.1", None, [], {}, True, 10**400)),
    *(("batch", value) for value in ("4", 1.5, [4], None, True, 10**30)),
    *(("depths", value) for value in ([1, "2"], 3, None, {}, [[1]], [1.5])),
    *(("steps", value) for value in ("4", [4], 2.5)),
    *(("network", value) for value in (None, 1, ["unet"])),
    *(("data", value) for value in (None, 3, ["data"])),
    *(("focal_alpha", value) for value in ("0.5", None, [0.5])),
]


@pytest.mark.parametrize(("name", "value"), DAMAGED, ids=str)
def test_an_option_of_another_type_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=name if name != "focal_alpha" else "loss_options"):
        TrainConfig.from_dict({**SOUND, name: value})


@pytest.mark.parametrize("change", [{}, {"steps": 7}, {"lr": 1}, {"val": "x"}, {"depths": [3, 1]}])
def test_sound_options_are_taken(change: dict[str, Any]) -> None:
    assert TrainConfig.from_dict({**SOUND, **change}).as_dict() == {**SOUND, **change}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("best_f1", value) for value in ("x", [], True)),
        *(("recorded", value) for value in ("3", None, 1.0)),
        *(("photos", value) for value in ([], {"data": 3}, {1: "x"})),
        *(("digests", value) for value in ({"data": "abc"}, {"data": [1]}, [])),
        *(("seconds", value) for value in ("1", None)),
    ],
    ids=str,
)
def test_progress_of_another_type_is_refused(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=name):
        check_types(Progress, {name: value})


@pytest.mark.parametrize("values", [None, 3, 10**400, "lr", [1], [["lr", 0.1]]], ids=type)
def test_what_is_no_mapping_is_refused(values: Any) -> None:
    with pytest.raises(TypeError, match="Progress"):
        check_types(Progress, values)


def test_sound_progress_is_taken() -> None:
    for f1 in (None, 0.5, 1, math.nan):
        check_types(Progress, {"best_f1": f1, "photos": {"data": "x", "val": None}, "seconds": 2})
