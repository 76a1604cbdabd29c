"""The code on the how-to pages runs, in the order of each page and in an empty folder."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.launch import launcher
from tests.small import ROOT, command

PAGES = sorted((ROOT / "docs" / "how-to").glob("*.md"))
BLOCK = re.compile(
    r"(?P<mark><!-- needs (?:a GPU|a cluster|root) -->\n)?"
    r"^```(?P<language>\w+)\n(?P<code>.*?)^```$",
    re.M | re.S,
)

# The same commands at a size that takes seconds; sides are 4 * k - 1.
QUICK = {
    "synth": {"--photos": "2", "--size": "96x96"},
    "train": {
        **{"--depths": "1-2", "--width": "0.06", "--steps": "4", "--patches-per-image": "4"},
        "--warmup": "1",
    },
}


def quick(words: list[str]) -> list[str]:
    """A command line with the options of `QUICK` in the place of its own."""
    words = list(words)
    for option, value in QUICK.get(words[0], {}).items():
        if option in words:
            words[words.index(option) + 1] = value
        else:
            words += [option, value]
    return [*words, "--patch", "31"] if words[0] == "train" else words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    text = page.read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        if block["mark"]:
            continue
        if block["language"] == "python":
            above = "\n" * text.count("\n", 0, block.start("code"))
            exec(compile(above + block["code"], str(page), "exec"), names)
        code = block["code"].replace("\\\n", "") if block["language"] == "sh" else ""
        for line in code.splitlines():
            words = shlex.split(line, comments=True)
            if line.startswith("minispiral "):
                done = command(*quick(words[1:]))
                assert done.exit_code == 0, f"{line}\n{done.output}"
            elif line.startswith("mpiexec ") and (launch := launcher()):
                _, _, processes, _, *words = words
                several = launch(int(processes), "-m", "minispiral", *quick(words), cwd=tmp_path)
                assert several.returncode == 0, f"{line}\n{several.stderr}"


def test_the_pages_hold_code_of_both_kinds() -> None:
    found = {block["language"] for page in PAGES for block in BLOCK.finditer(page.read_text())}
    assert {"python", "sh"} <= found
