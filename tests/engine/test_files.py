"""Files are replaced atomically."""

import os

import pytest

from minispiral.errors import UserError
from minispiral.files import write_text


def test_a_failure_while_writing_leaves_the_old_text(tmp_path, monkeypatch):
    path = tmp_path / "config.json"
    write_text(path, "old é")

    def fail(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(KeyboardInterrupt):
        write_text(path, "new")
    assert path.read_text(encoding="utf-8") == "old é"
    assert os.listdir(tmp_path) == [path.name]


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    with pytest.raises(UserError, match="absent"):
        write_text(tmp_path / "absent" / "config.json", "text")
