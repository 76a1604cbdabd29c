"""Files are replaced atomically."""

import errno
import os
import subprocess
import sys

import pytest

from minispiral.errors import UserError
from minispiral.files import write_text
from tests.small import ROOT


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


WRITER = """
import sys
from pathlib import Path
from minispiral.files import replacing

for turn in range(int(sys.argv[3])):
    with replacing(Path(sys.argv[1])) as file:
        for _ in range(64):
            file.write(sys.argv[2].encode() * 1024)
            file.flush()
"""


def test_writers_of_one_file_take_turns(tmp_path):
    path = tmp_path / "map.png"
    words = [sys.executable, "-c", WRITER, str(path)]
    writers = [subprocess.Popen([*words, letter, "40"], cwd=ROOT) for letter in "abc"]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            seen.add(path.read_bytes())
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert seen <= {letter * 65536 for letter in (b"a", b"b", b"c")}
    assert os.listdir(tmp_path) == [path.name]


def test_what_a_killed_writer_left_is_written_over(tmp_path):
    (tmp_path / ".config.json.part").write_text("much more than what is written in the end")
    write_text(tmp_path / "config.json", "new")
    assert (tmp_path / "config.json").read_text() == "new"
    assert os.listdir(tmp_path) == ["config.json"]


def test_a_disk_without_locks_is_written_to_all_the_same(tmp_path, monkeypatch):
    def no_locks(file, wait=False):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("minispiral.files.lock", no_locks)
    write_text(tmp_path / "config.json", "text")
    assert (tmp_path / "config.json").read_text() == "text"
