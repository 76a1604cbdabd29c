"""The options with which a run is resumed: its own, unless others are given."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minispiral.errors import UserError
from minispiral.runs.checkpoint import load_config
from minispiral.runs.folder import checkpoint_to_resume, read_config
from minispiral.training.config import FOUND, TrainConfig
from minispiral.training.initial import architecture


def resumed_config(run: Path, given: Mapping[str, Any]) -> TrainConfig:
    """The options of the run in the folder ``run``, with those ``given`` in their place.

    They are those of its last start, which ``config.json`` holds, or those of its checkpoint.
    ``epochs`` alone also takes the place of ``steps``. Whether the given ones may differ from the
    run's is for `TrainingState.resume` to say. A folder without a run has those of `new_config`.

    Raises `UserError` without ``data`` if the folder holds no run or the photographs of the run
    are not where they were, for a damaged checkpoint and for values that are not valid.
    """
    checkpoint = checkpoint_to_resume(run)
    saved = {**({} if checkpoint is None else load_config(checkpoint)), **read_config(run)}
    if not saved and "data" not in given:
        raise UserError(
            f"{run} holds no run that could be resumed, and no photographs to begin one were given",
            "data",
        )
    for name in ("data", "val"):
        place = saved.get(name)
        # Of a name that is too long, exists() of a Path raises an exception.
        if isinstance(place, str) and name not in given and not os.path.exists(place):
            raise UserError(
                f"The photographs of the run in {run} are no longer in {place}",
                name,
            )
    if not saved:
        return new_config(given)
    if "epochs" in given:
        saved["steps"] = None
    return _built({**saved, **given}, run)


def new_config(given: Mapping[str, Any]) -> TrainConfig:
    """The options of a new run: those ``given``, and the defaults.

    Options of the network that are not given are those of the trained one in ``init``, if the
    network is to be of its kind.
    """
    trained = architecture(given.get("init"))
    if given.get("network") not in (None, trained.get("network")):
        trained = {}
    return _built({**trained, **given}, given.get("init"))


def _built(options: Mapping[str, Any], run: Path | str | None) -> TrainConfig:
    """The options, some of which ``run`` has recorded."""
    try:
        return TrainConfig.from_dict(options)
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"The options of the run in {run} are damaged ({error}); restore its files from a copy "
            "or train again"
        ) from error


def is_saved(config: TrainConfig, run: Path) -> bool:
    """Whether the run in the folder ``run`` would be resumed with ``config``, were none given."""
    try:
        saved = resumed_config(run, {})
    except UserError:
        return False
    found = {name: getattr(saved, name) for name in FOUND}
    return dataclasses.replace(config, **found).as_dict() == saved.as_dict()
