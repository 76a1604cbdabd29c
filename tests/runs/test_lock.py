"""A run folder belongs to one process at a time."""

import errno
import os
import subprocess
import sys

import pytest

from minispiral.errors import UserError
from minispiral.runs.lock import lock_run


def test_a_run_folder_belongs_to_one_process(tmp_path):
    run = tmp_path / "some" / "run"
    holder = (
        "import sys; from pathlib import Path; from minispiral.runs.lock import lock_run\n"
        "with lock_run(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"held"
        with pytest.raises(UserError, match="Another process"), lock_run(run):
            pass
        process.kill()
        process.wait()
    with lock_run(run), pytest.raises(UserError), lock_run(run):
        pass
    with lock_run(run):  # free again, and the killed process held it no longer
        pass


def test_a_disk_that_cannot_lock_is_not_taken_for_another_process(tmp_path, monkeypatch):
    def no_locks(file):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("minispiral.runs.lock.lock", no_locks)
    with pytest.raises(UserError, match="cannot lock"), lock_run(tmp_path):
        pass


def test_a_run_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"), lock_run(tmp_path / "file" / "run"):
        pass
