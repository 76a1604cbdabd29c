"""Names that a console cannot show, or would obey, are escaped; nothing is lost.

The commands run as processes, since what can be printed depends on how one was started.
"""

import json
import os
import pty
import re
import shlex
import subprocess
import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from minispiral.cli.printable import encodable, escaped, shell_word
from minispiral.detection.evaluate import evaluate
from tests.small import ROOT, TABLES, TRAINING, make_photo, make_trained, write_pair

pytestmark = pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are bytes")

# A stem and how it is shown where everything can be encoded.
NAMES = {
    "plain": "plain",
    "[red]wall[bold]": "[red]wall[bold]",
    "[link=x]": "[link=x]",
    "brackets[1]\\[2]": "brackets[1]\\[2]",
    ":smile: 10:30": ":smile: 10:30",
    "two\nlines": r"two\nlines",
    "back\rback": r"back\rback",
    "tab\there": r"tab\there",
    "\x1b[31mred\x1b]0;title\x07": r"\x1b[31mred\x1b]0;title\x07",
    "c1\x9b31m": r"c1\x9b31m",
    "gpj\u202egnp": r"gpj\u202egnp",
    "line\u2028end": r"line\u2028end",
    "שלום": "שלום",
    "Bru\u0308cke": "Brücke",
    "x\u0301\u0323": "x\u0323\u0301",
    "桥梁": "桥梁",
    "ﾊｼ": "ﾊｼ",
    "\U0001f9f1 wall": "\U0001f9f1 wall",
    os.fsdecode(b"raw \xff\xfe"): r"raw \udcff\udcfe",
}
CONSOLES = {
    "utf-8": {"PYTHONIOENCODING": "utf-8"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "C": {"LC_ALL": "C"},
    "C without UTF-8": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, ``run``, and a dataset of names of every kind, ``odd``."""
    folder = make_trained(tmp_path_factory.mktemp("trained"))
    for name in NAMES:
        write_pair(folder / "odd", name, *make_photo(np.random.default_rng(), 40, 50))
    return folder


def run(
    *words: object, console: Mapping[str, str] = CONSOLES["utf-8"]
) -> subprocess.CompletedProcess[bytes]:
    """``minispiral words...`` as it runs on ``console``."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LC_")}
    return subprocess.run(
        [sys.executable, "-m", "minispiral", *map(os.fsencode, map(str, words))],
        cwd=ROOT,
        capture_output=True,
        check=False,
        env={**inherited, **console},
    )


def columns(text: str) -> int:
    """How many columns a terminal takes for ``text``, by the standard's properties (UAX 11)."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


@pytest.mark.parametrize("console", CONSOLES)
def test_scores_are_printed_on_every_console(console: str, trained: Path) -> None:
    done = run("evaluate", trained / "run", trained / "odd", console=CONSOLES[console])
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"\x1b" not in done.stdout
    encoding = {"C": "utf-8", "C without UTF-8": "ascii"}.get(console, console)
    table = done.stdout.decode(encoding).splitlines()
    for photo in evaluate(trained / "run", trained / "odd").photos:
        shown = encodable(NAMES_OF[photo.name], encoding)
        [row] = [line for line in table if shown in re.split(r"\s{2,}|\s?\|\s?", line)]
        for score in (photo.average_precision, photo.precision, photo.recall, photo.f1):
            assert f"{score:.3f}" in row
    assert len({columns(line) for line in table if re.search(r"\d\.\d{3}", line)}) == 1


NAMES_OF = {unicodedata.normalize("NFC", name): shown for name, shown in NAMES.items()}


@pytest.mark.parametrize("console", CONSOLES)
def test_detections_are_printed_and_written_on_every_console(
    console: str, trained: Path, tmp_path: Path
) -> None:
    words = ["detect", trained / "run", trained / "odd" / "images", "--out", tmp_path / "桥"]
    done = run(*words, console=CONSOLES[console])
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "桥").iterdir())) == 3 * len(NAMES) + len(TABLES)
    lines = done.stderr.splitlines()
    assert len([line for line in lines if b"crack pixels" in line]) == len(NAMES)
    assert b"\x1b" not in done.stderr
    assert b"19 photographs" in done.stdout
    listed = run(*words, "--json", "--no-measure", console=CONSOLES[console])
    photos = json.loads(listed.stdout)["photos"]
    if console == "C without UTF-8":  # Python itself then keeps bytes of names
        names = [os.fsencode(photo["photo"].encode("ascii", "surrogateescape")) for photo in photos]
    else:
        names = [os.fsencode(photo["photo"]) for photo in photos]
    assert {Path(os.fsdecode(name)).stem for name in names} == set(NAMES)


@pytest.mark.parametrize("console", CONSOLES)
def test_a_refusal_names_the_file_in_one_line(console: str, trained: Path) -> None:
    name = "[red] :smile: \x1b[31m\n\udcff 桥"
    words = ["evaluate", trained / "run", trained / name, "--device", "cpu"]
    done = run(*words, console=CONSOLES[console])
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(b"minispiral: There is no folder ")
    assert b"\x1b" not in line
    encoding = {"C": "utf-8", "C without UTF-8": "ascii"}.get(console, console)
    if console != "C without UTF-8":
        assert encodable(escaped(name), encoding) in line.decode(encoding)


@pytest.mark.parametrize("command", ["evaluate", "detect", "json"])
def test_a_reader_that_goes_away_is_no_error_to_speak_of(
    command: str, trained: Path, tmp_path: Path
) -> None:
    words = {
        "evaluate": ["evaluate", trained / "run", trained / "odd"],
        "detect": ["detect", trained / "run", trained / "odd" / "images", "--out", tmp_path],
        "json": ["evaluate", trained / "run", trained / "odd", "--json"],
    }[command]
    typed = shlex.join([sys.executable, "-m", "minispiral", *map(str, words)])
    done = subprocess.run(f"{typed} | true", shell=True, cwd=ROOT, capture_output=True, check=False)
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    if command == "detect":
        assert len(list(tmp_path.iterdir())) == 3 * len(NAMES) + len(TABLES)
    closed = subprocess.run(f"{typed} >&-", shell=True, cwd=ROOT, capture_output=True, check=False)
    assert closed.returncode == 0
    assert b"Traceback" not in closed.stderr


def test_progress_in_a_terminal_shows_names_as_they_are(trained: Path, tmp_path: Path) -> None:
    reader, writer = pty.openpty()
    words = [sys.executable, "-m", "minispiral", "detect", str(trained / "run")]
    words += [str(trained / "odd" / "images"), "--out", str(tmp_path)]
    process = subprocess.Popen(
        words, cwd=ROOT, stderr=writer, stdout=subprocess.PIPE, env={**os.environ, "TERM": "xterm"}
    )
    os.close(writer)
    output = b""
    while True:
        try:
            chunk = os.read(reader, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        output += chunk
    os.close(reader)
    process.communicate()
    assert process.returncode == 0
    shown = output.decode()
    for name in ("[red]wall[bold]", ":smile: 10:30", r"two\nlines", r"\x1b[31mred", "桥梁"):
        assert name in shown


def test_the_command_that_resumes_can_be_typed_again(trained: Path, tmp_path: Path) -> None:
    for word in [*NAMES, "it's\n", "a b", "$HOME", "'", "\\", "\udcff'\\"]:
        typed = shell_word(word)
        assert typed == encodable(escaped(typed), "utf-8")
        done = subprocess.run(
            ["bash", "-c", f"printf '%s|' {typed}"], capture_output=True, check=True
        )
        assert done.stdout == os.fsencode(word) + b"|"


def test_a_run_of_any_name_is_trained_and_resumed(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "[red] 桥\n\x1b[31m" / os.fsdecode(b"\xff")
    out.parent.mkdir()
    words = ["train", trained / "odd", "--val", trained / "odd", "--out", out, *TRAINING]
    for more in ([], ["--resume", "--steps", 8]):
        done = run(*words, *more, console=CONSOLES["ascii"])
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr
        assert rb"[red] \u6865\n\x1b[31m/\udcff" in done.stdout
    assert (out / "samples").is_dir()


@pytest.mark.parametrize("text", ["plain", "Zoë", "桥", "👩\u200d🔧", "क्\u200dष"])
def test_what_is_text_stays_as_it_is(text: str) -> None:
    assert escaped(text) == encodable(text, "utf-8") == text


def test_every_character_is_shown_in_one_line_and_can_be_read_back() -> None:
    others = np.random.default_rng().integers(0x3000, 0x110000, 5000).tolist()
    for code in (*range(0x3000), *range(0xD7F0, 0xE010), *others):
        shown = escaped(chr(code))
        if shown != chr(code):
            assert shown.isascii()
            assert shown.isprintable()
            assert shown.encode().decode("unicode_escape") == chr(code)
        for encoding in ("ascii", "cp1252", "cp437", "utf-8"):
            encodable(shown, encoding).encode(encoding)
