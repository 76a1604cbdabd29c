"""The threshold from which a pixel counts as crack: a number, or the best one of a run."""

from pathlib import Path

from minispiral.detection.find import check_threshold
from minispiral.detection.metrics import BEST, Best
from minispiral.errors import UserError
from minispiral.runs.checkpoint import load_progress
from minispiral.runs.trained import checkpoint_of

GIVEN, VALIDATION = "given", "validation"  # where a threshold is from


def doubt_about(source: str, tta: bool) -> str | None:
    """Why a threshold from ``source`` may be wrong, with or without test-time augmentation.

    None where there is no reason.
    """
    if source != VALIDATION or not tta:
        return None
    return (
        "the best threshold of the run was chosen without test-time augmentation, with which "
        "another may be better: that of ODS on the validation photographs, evaluated with it"
    )


def choose_threshold(run: Path | str, threshold: float | Best) -> tuple[float, str]:
    """The number that ``threshold`` means for the network of ``run``, and where it is from.

    ``"best"`` is the threshold of ODS on the validation photographs of the run, as its checkpoint
    holds it: the one with the largest F1 of all their pixels.

    Raises `UserError` for a number that is no probability and for a run without a best threshold.
    """
    if threshold != BEST:
        check_threshold(threshold)
        return float(threshold), GIVEN
    path = checkpoint_of(run)
    found = load_progress(path).get("threshold")
    if found is None:
        raise UserError(
            f"{path} holds no best threshold, since its run had no validation photographs with a "
            "crack, or an earlier version trained it; evaluate it on photographs that it was not "
            "trained on and give the threshold of ODS, a number."
        )
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= 1:
        raise UserError(
            f"{path} holds {found!r:.40} as its best threshold, expected 0 to 1; restore it from a "
            "copy or give a number."
        )
    return float(found), VALIDATION
