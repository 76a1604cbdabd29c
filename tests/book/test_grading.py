"""Answers are judged in a process of their own, and a folder of them is graded."""

import csv
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minispiral.errors import UserError
from minispiral.exercises.catalogue import catalogue, check_answer, task
from minispiral.exercises.grading import answer_sets, as_csv, grade
from minispiral.exercises.hints import HINTS
from minispiral.exercises.trial import judge
from tests.small import ROOT, command, refusal

sys.path.append(str(ROOT / "docs" / "site"))

import tasks

SOLUTION = ROOT / "docs" / "book" / "solutions" / "02_convolution.py"
ZEROS = "def mirror_pad_grad(gy, pad):\n    return gy\n"
SMALL = "def dilated_input_grad(gy, w, out_hw, stride, dilation):\n    return 0\n"


def test_the_tasks_are_those_of_the_book() -> None:
    assert json.loads(tasks.FILE.read_text(encoding="utf-8")) == tasks.tasks(), (
        "run python docs/site/tasks.py"
    )
    for number, exercise in catalogue().items():
        assert f"`{exercise.function}" in task(number)


def test_every_exercise_has_hints_and_a_mark() -> None:
    assert list(HINTS) == list(catalogue())
    assert all(2 <= len(hints) <= 3 for hints in HINTS.values())
    for exercise in catalogue().values():
        (chapter,) = (ROOT / "docs" / "book").glob(f"{int(exercise.number[0]):02d}_*.py")
        mark = "★" * exercise.difficulty
        assert f"### Exercise {exercise.number} {mark}\n" in chapter.read_text(encoding="utf-8")


def test_the_command_prints_the_task_and_hints_in_stages() -> None:
    assert task("2.3") in command("exercise", "2.3").stdout
    two = command("exercise", "2.3", "--hint", "--hint").stdout
    assert two.splitlines() == [f"Hint {k + 1} of 3: {HINTS['2.3'][k]}" for k in range(2)]
    found = json.loads(command("exercise", "4.1", "--hint", "--hint", "--hint", "--json").stdout)
    assert found == {"number": "4.1", "hints": list(HINTS["4.1"]), "more": 0}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def mirror_pad_grad(gy, pad):\n    while True: pass\n", "check took longer than 2 s"),
        ("while True: pass\n", "running the file took longer than 2 s"),
        ("import os\ndef mirror_pad_grad(gy, pad): os._exit(0)\n", "ended the Python process"),
        ("import sys\nsys.exit()\n", "line 2 of answer.py fails with SystemExit"),
        ("x = bytearray(10**12)\n", "line 1 of answer.py fails with MemoryError"),
    ],
)
def test_what_does_not_return_is_ended(source: str, said: str, tmp_path: Path) -> None:
    answer = tmp_path / "answer.py"
    answer.write_text(source)
    ((number, verdict),) = judge(answer, ["2.1"], timeout=2, quiet=True)
    assert number == "2.1"
    assert re.search(said, verdict.wrong or "")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_an_answer_ends_with_the_command_that_checks_it(tmp_path: Path) -> None:
    """However that ends."""
    (tmp_path / "answer.py").write_text(
        "import os\nprint(os.getpid(), flush=True)\nwhile True: pass\n"
    )
    words = [sys.executable, "-m", "minispiral", "exercise", "2.1", tmp_path / "answer.py"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as checking:
        assert checking.stderr is not None
        answer = int(checking.stderr.readline())
        checking.kill()
    for _ in range(300):
        try:
            os.kill(answer, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("the answer is still running")


def test_words_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ann.py").write_text(SMALL)
    for words in (["--hint"], ["2.1", tmp_path / "ann.py", "--hint"]):
        assert command("exercise", *words).exit_code == 2
    for seconds in ("nan", "inf", "0"):
        for words in (["exercise", "2.2", tmp_path / "ann.py"], ["grade", tmp_path]):
            assert "--timeout" in refusal(command(*words, "--timeout", seconds))
    assert "--out" in refusal(command("grade", tmp_path, "--out", tmp_path / "none" / "p.csv"))
    assert "no exercise" in refusal(command("grade", tmp_path, "--exercises", ""))


HARMFUL = f"""
import os, subprocess
attempts = [
    lambda: os.remove(__VICTIM__),
    lambda: open(__VICTIM__, "a"),
    lambda: open({str(SOLUTION)!r}),
    lambda: os.rename("ivy.py", __VICTIM__),
    lambda: os.kill(os.getppid(), 15),
    lambda: subprocess.run(["true"]),
]
refused = 0
for attempt in attempts:
    try:
        attempt()
    except PermissionError:
        refused += 1
os.rename("ivy.py", "mine.py")
open("mine.py", "w").close()
assert refused == len(attempts)
"""


def test_a_folder_is_graded_whatever_the_answers_do(tmp_path: Path) -> None:
    """Right, half, wrong, endless, one that deletes what is beside it, and a folder of files."""
    harmful = HARMFUL.replace("__VICTIM__", repr(str(tmp_path / "ada.py")))
    sources = {
        "ada": SOLUTION.read_text(),
        "bob": ZEROS,
        "cy": "def mirror_pad_grad(gy, pad):\n    while True: pass\n" + SMALL,
        "dee": "import os\nfor name in os.listdir('.'): os.remove(name)\n" + SMALL,
        "eve": "def (:\n",
        "fay": "import os\ndef turned(w, pad): os._exit(1)\n",
        "ivy": harmful + SOLUTION.read_text(),
        "jo": "import os\nfor k in range(3, 9):\n  try: os.write(k, b'1')\n  except OSError: 0\n"
        + SMALL,
        "=gil": re.sub(r"\bturned\b", "other", SOLUTION.read_text()),
    }
    for name, source in sources.items():
        (tmp_path / f"{name}.py").write_text(source)
    (tmp_path / "hal").mkdir()
    (tmp_path / "hal" / "a.py").write_text(ZEROS)
    (tmp_path / "hal.py").write_text(SOLUTION.read_text())
    asked = ["2.1", "2.2", "2.3"]
    graded = {one.name: one for one in grade(tmp_path, asked, timeout=6)}
    for name, source in sources.items():
        assert (tmp_path / f"{name}.py").read_text() == source
    points = {name: one.points() for name, one in graded.items()}
    assert points == {
        "=gil": 3,
        "ada": 6,
        "bob": 0,
        "cy": 0,
        "dee": 0,
        "eve": 0,
        "fay": 0,
        "hal": 6,
        "ivy": 6,
        "jo": 0,
    }
    reasons = {name: one.first_reason() for name, one in graded.items()}
    assert reasons["ada"] == reasons["hal"] == reasons["ivy"] == ""
    assert re.match("2.2: running the file wrote to", reasons["jo"])
    assert re.match("2.1: .* returned the shape", reasons["bob"])
    assert re.match("2.1: the check took longer than 6 s", reasons["cy"])
    assert graded["cy"].verdicts["2.2"].wrong
    assert re.match("2.2: ", reasons["dee"])
    assert re.match("2.1: eve.py, line 1", reasons["eve"])
    assert re.match("2.3: the check ended the Python process", reasons["fay"])
    rows = list(csv.reader(as_csv(list(graded.values())).splitlines()))
    assert rows[0] == ["name", "points", "of", *asked, "first reason"]
    assert rows[2] == ["ada", "6", "6", "1", "1", "1", ""]
    assert rows[1][0] != "=gil"  # no formula for a spreadsheet


def test_the_command_writes_the_table(tmp_path: Path) -> None:
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers" / "ann.py").write_text(SOLUTION.read_text())
    table = tmp_path / "points.csv"
    done = command("grade", tmp_path / "answers", "--exercises", "2.1", "--out", table)
    assert (done.exit_code, done.stdout) == (0, "")
    assert table.read_text() == "name,points,of,2.1,first reason\nann,2,2,1,\n"
    found = json.loads(
        command("grade", tmp_path / "answers", "--exercises", "2.1", "--json").stdout
    )
    assert found == {"answers": [{"name": "ann", "points": 2, "wrong": {"2.1": None}}]}


def test_a_folder_without_answers_is_refused(tmp_path: Path) -> None:
    assert "holds no answers" in refusal(command("grade", tmp_path))
    with pytest.raises(UserError, match="is no folder"):
        answer_sets(tmp_path / "none")
    assert "no exercise 12.7" in refusal(command("grade", tmp_path, "--exercises", "12.7"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (ZEROS, "gy"),
        ("\ndef mirror_pad_grad(gy, pad):\n    return gy / None\n", "line 3 of .*TypeError"),
        ("def mirror_pad_grad(gy, pad:\n", "line 1: .*"),
        ("def mirror_pad(gy, pad): pass\n", "no function mirror_pad_grad"),
        ("x = 1\nx / 0\n", "line 2 of .*ZeroDivisionError"),
        ("mirror_pad_grad = 3\n", "no function mirror_pad_grad"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(source: str, message: str, tmp_path: Path) -> None:
    answer = tmp_path / "answer.py"
    answer.write_text(source)
    with pytest.raises(Exception, match=message):
        check_answer("2.1", answer)
