"""The folder of a run: its checkpoints and its options."""

import pytest

from minispiral.errors import UserError
from minispiral.runs.folder import (
    NotResumable,
    check_own_files,
    check_unchanged,
    checkpoint_to_resume,
)


def test_changed_options_are_all_named(tmp_path):
    old = {"depths": [1, 2], "lr": 1e-4, "steps": 5, "val": None}
    new = {"depths": [1, 2, 3], "lr": 1e-3, "steps": 9, "val": "photos"}
    with pytest.raises(UserError) as caught:
        check_unchanged(tmp_path, old, new, frozenset({"steps"}))
    text = str(caught.value)
    assert "depths was 1,2 and is now 1,2,3" in text
    assert "lr was 0.0001 and is now 0.001" in text
    assert "val was not given and is now photos" in text
    assert "steps" not in text
    assert isinstance(caught.value, NotResumable)
    with pytest.raises(UserError) as caught:
        check_unchanged(tmp_path, old, new, frozenset({"steps"}), shaping=frozenset({"depths"}))
    assert not isinstance(caught.value, NotResumable)
    assert caught.value.parameter == "out"
    check_unchanged(tmp_path, old, {**old, "steps": 9}, frozenset({"steps"}))


def test_the_last_checkpoint_is_resumed_or_else_the_best(tmp_path):
    assert checkpoint_to_resume(tmp_path) is None
    for name in ("best.safetensors", "last.safetensors"):
        (tmp_path / name).touch()
        assert checkpoint_to_resume(tmp_path) == tmp_path / name


@pytest.mark.parametrize("name", ["config.json", "metrics.csv"])
def test_files_that_no_run_wrote_are_named(tmp_path, name):
    check_own_files(tmp_path)
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match=name) as caught:
        check_own_files(tmp_path)
    assert caught.value.parameter == "out"
