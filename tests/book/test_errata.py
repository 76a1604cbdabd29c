"""The errata: what was wrong stands nowhere any more, and what is said of the paper is so."""

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from minispiral.exercises.catalogue import catalogue
from tests.book.cells import text
from tests.small import ROOT

BOOK = ROOT / "docs" / "book"
ERRATA = (BOOK / "errata.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| \[.+?\]\((\S+)\) \| (.+?) \| (.+?) \|$", re.MULTILINE)
OURS = ROW.findall(ERRATA.partition("## The paper's")[0].replace("\\|", "\0"))


def words(path: Path) -> str:
    """What a page or a chapter says, its lines joined."""
    said = text(path) if path.suffix == ".py" else path.read_text(encoding="utf-8")
    return " ".join(said.split())


@pytest.mark.parametrize(("page", "old", "new"), OURS, ids=lambda part: part[:25])
def test_what_was_wrong_is_gone(page: str, old: str, new: str) -> None:
    said = words((BOOK / page).resolve())
    assert old.replace("\0", "|") not in said
    assert new.replace("\0", "|") in said


def test_the_book_takes_as_long_as_its_chapters() -> None:
    hours = {"an hour": 1, "an hour and a half": Fraction(3, 2), "two hours": 2}
    chapters = sorted(BOOK.glob("[0-9]*.py"))
    times = [re.search(r"It takes about ([\w ]+?)\.", text(chapter)) for chapter in chapters]
    planned = sum(hours[found[1]] for found in times if found)
    assert all(times)
    assert f"Plan {float(planned):g} hours" in words(BOOK / "README.md")
    assert len(catalogue()) == 3 * len(chapters)


# The paper


def tables() -> list[tuple[float, float, float]]:
    """F1, precision and recall of every row of Tables 2 to 4 that is not all 0, in percent."""
    return [
        *((71.76, 86.56, 62.89), (69.35, 87.33, 59.23), (70.82, 85.39, 62.38)),  # Table 2
        *((43.85, 82.16, 32.06), (67.51, 87.29, 57.05), (67.99, 88.71, 58.50)),
        *((66.96, 81.34, 58.79), (63.77, 84.22, 55.02)),
        (71.14, 87.12, 61.46),  # Table 3
        *((64.78, 78.69, 55.63), (18.83, 90.83, 11.16), (61.70, 85.85, 51.61)),  # Table 4a
        *((29.19, 17.48, 97.99), (21.80, 13.83, 90.83), (22.51, 12.98, 94.49)),  # b
        (28.87, 18.66, 92.29),
        *((44.20, 91.24, 31.08), (41.45, 90.46, 28.98), (0.98, 64.21, 0.50)),  # c
        (31.09, 95.25, 19.77),
        *((65.17, 86.87, 54.46), (55.54, 82.10, 45.84), (12.37, 90.94, 7.01)),  # d
        (57.18, 85.68, 45.98),
        *((74.92, 81.90, 69.95), (68.97, 81.63, 64.85)),  # e
        *((79.04, 78.44, 79.81), (69.48, 77.67, 68.34), (62.32, 66.05, 61.14)),  # f
        (69.00, 70.43, 71.20),
    ]


def test_no_mean_f1_lies_above_that_of_the_means() -> None:
    for f1, precision, recall in tables():
        assert f1 <= 2 * precision * recall / (precision + recall) + 0.01


def test_eq_5_follows_only_from_the_corrected_denominator(rng: np.random.Generator) -> None:
    crack = np.arange(50) < rng.integers(1, 49)
    sigma = rng.random(50)
    p, rec = crack.mean(), sigma[crack].mean()
    wanted = sigma[crack].sum() / sigma.sum()
    corrected = rec * p / (rec * p + sigma[~crack].mean() * (1 - p))
    printed = rec * p / (rec * p + (1 - sigma[~crack]).mean() * (1 - p))
    assert np.isclose(corrected, wanted)
    assert not np.isclose(printed, wanted)


def test_what_256_patches_cover() -> None:
    share = 256 * 255**2 / (5472 * 3678)
    assert f"{100 * share:.0f} % of it" in ERRATA
    assert f"{100 * (1 - np.exp(-share)):.0f} % of its pixels" in ERRATA
    assert 256 * 278 % 32 == 0
