"""``python -m bench scores`` at the size of a stamp."""

import json

from click.testing import CliRunner

from bench.__main__ import main
from bench.cpu.scores import WAYS, example, one_threshold
from minispiral.detection.metrics import score_photo


def test_every_way_is_timed_and_counts_what_the_rival_counts() -> None:
    words = ["scores", "--photo", "61", "43", "--repeats", "1", "--json"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["ways"]
    assert list(found) == list(WAYS)
    assert all(value > 0 for one in found.values() for value in one.values())
    values, mask = example(61, 43)
    scores = score_photo("a", values, mask, 0.5, 2)
    counted = scores.correct_pixels + scores.found_pixels
    assert one_threshold(values, mask, 2, False, 0.5) == counted > 0
