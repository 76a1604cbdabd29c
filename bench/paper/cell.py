"""Train and score one cell of a table, in a process of its own: ``python -m bench.paper.cell``.

The job comes as a JSON object on standard input, and progress is reported as JSON objects, one a
line. A cell is finished when its scores on the photographs asked for lie in its run folder.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from bench.paper.joints import JointAlarms, count, find_joints
from minispiral import __version__
from minispiral.data.pairs import find_pairs, read_pair
from minispiral.data.photos import read_mask
from minispiral.detection.metrics import score_photo, summarize
from minispiral.detection.tiling import predict
from minispiral.errors import UserError
from minispiral.files import write_text
from minispiral.kernels.cpu import parallel
from minispiral.runs.checkpoint import load, load_network
from minispiral.runs.folder import checkpoint_to_resume
from minispiral.training.config import FOUND, TrainConfig
from minispiral.training.interrupt import Interrupted
from minispiral.training.loop import train
from minispiral.training.reporter import Reporter

TOLERANCE = 2  # pixels, of the second F1
SECONDS = 0.5  # between two lines about steps


def scores_file(run: Path, dataset: str) -> Path:
    """Where the scores of a run on the photographs of a split are kept: ``scores-test.json``."""
    return run / f"scores-{dataset}.json"


def say(**facts: Any) -> None:
    """Write a line; if nobody reads it any more, stop as on SIGTERM."""
    try:
        print(json.dumps(facts), flush=True)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        signal.raise_signal(signal.SIGTERM)


class Lines(Reporter):
    """Reports steps as lines, at most one every `SECONDS`."""

    def __init__(self) -> None:
        self.said = 0.0

    def message(self, text: str) -> None:
        say(message=text)

    def stepped(self, step: int, loss: float | None, f1: float | None) -> None:
        if time.monotonic() - self.said > SECONDS:
            self.said = time.monotonic()
            say(step=step)


def chosen_checkpoint(run: Path) -> str:
    """The best by validation F1; the last if no validation found any crack."""
    return "best" if load(run / "last.safetensors").progress["best_f1"] else "last"


def score(run: Path, data: Path) -> dict[str, Any]:
    """The scores of a trained run on photographs it was not trained on, and what it took."""
    which = chosen_checkpoint(run)
    network = load_network(run, which)
    last, chosen = load(run / "last.safetensors"), load(run / f"{which}.safetensors")
    joint_masks = find_joints(data)
    photos, within, alarms = [], [], JointAlarms()
    for pair in find_pairs(data):
        photo, crack = read_pair(pair)
        probability = predict(network, photo)
        photos.append(score_photo(pair.name, probability, crack))
        within.append(score_photo(pair.name, probability, crack, tolerance=TOLERANCE))
        if joint_masks is not None:
            joints = read_mask(joint_masks[pair.name])
            alarms += count(probability >= photos[-1].threshold, crack, joints)
    left_out = ("data", "val", *FOUND)  # photographs may move, and what is found follows from init
    config = {name: value for name, value in last.config.items() if name not in left_out}
    return {
        "scores": summarize(photos).as_dict(),
        "f1_within_2_px": summarize(within).f1,
        "false_alarms_on_joints": alarms.joint_rate,
        "false_alarms_elsewhere": alarms.other_rate,
        "checkpoint": which,
        "checkpoint_step": chosen.step,
        "steps": last.step,
        "seconds": last.progress["seconds"],
        "threads": parallel.threads(),
        "version": __version__,
        "config": config,
    }


def main() -> int:
    job = json.load(sys.stdin)
    run, data = Path(job["run"]), Path(job["data"])
    try:
        config = TrainConfig.from_dict(job["config"])
        train(config, run, resume=checkpoint_to_resume(run) is not None, report=Lines())
        write_text(scores_file(run, data.name), json.dumps(score(run, data), indent=2) + "\n")
    except UserError as error:
        say(error=str(error))
        return 1
    except Interrupted as stopped:
        return stopped.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
