"""What the recipe gains, and how many photographs a network needs: draws and summaries."""

import json
from pathlib import Path

import numpy as np
import pytest

from bench.recipe import ablation, few, trials
from bench.recipe.trials import Trial
from minispiral.data.pairs import find_pairs
from minispiral.data.synth import write_dataset
from minispiral.training.config import TrainConfig


def test_photographs_drawn_are_nested_and_the_seed_s_own(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", 6, (64, 64), 0)

    def names(count: int, seed: int) -> set[str]:
        drawn = few.draw(tmp_path / "data", tmp_path / "drawn", count, seed)
        return {pair.name for pair in find_pairs(drawn)}

    assert [len(names(count, 3)) for count in (2, 4, 6)] == [2, 4, 6]
    assert names(2, 3) < names(4, 3) < names(6, 3)
    assert len({frozenset(names(3, seed)) for seed in range(12)}) > 3
    assert names(4, 3) == names(4, 3)


@pytest.mark.parametrize("options", [*ablation.VARIANTS.values(), *few.STARTS.values()])
def test_every_row_is_a_recipe(options: dict[str, object]) -> None:
    TrainConfig.from_dict({"data": "", **ablation.BASE, **options})


def test_mean_and_spread_over_seeds(tmp_path: Path, rng: np.random.Generator) -> None:
    rows = [Trial("a, 5 photographs", [{}] * 4), Trial("b", [{}] * 4)]
    f1, within = rng.random((2, 2, 4))
    for row, trial in enumerate(rows):
        for seed in range(4):
            run = trials.run_folder(tmp_path, trial, seed)
            run.mkdir()
            scores = {
                "scores": {"f1": f1[row, seed], "average_precision": None},
                "f1_within_2_px": within[row, seed],
                "seconds": 1.0,
                "config": {},
            }
            (run / "scores-test.json").write_text(json.dumps(scores))
    found = trials.collect(rows, tmp_path, "test")
    for row in (0, 1):
        assert found[row]["mean"]["f1"] == pytest.approx(f1[row].mean())
        assert found[row]["spread"]["f1_within_2_px"] == pytest.approx(within[row].std(ddof=1))
        assert found[row]["mean"]["average_precision"] == 0
    trials.show("title", found)
