"""Validation: the scores of a network in training on photographs it is not trained on."""

import numpy as np

from minispiral.data.store import PhotoStore
from minispiral.detection.metrics import PhotoScores, Summary, score_photo, summarize
from minispiral.detection.tiling import predict
from minispiral.kernels.cpu import parallel
from minispiral.memory import memory_for
from minispiral.training.interrupt import StopRequest
from minispiral.training.reporter import Reporter
from minispiral.training.state import TrainingState


def validate(
    state: TrainingState, photos: PhotoStore, stop: StopRequest, report: Reporter
) -> Summary | None:
    """The scores on ``photos``; None if a signal asks the run to stop before all are scored.

    The processes of a run take turns with the photographs.

    Raises `UserError` if the network predicts NaN or a photograph needs more memory than there is.
    """

    def check_stop(tiles_done: int, tiles: int) -> None:
        if stop.signum is not None:
            raise _Stopped

    def score(i: int) -> PhotoScores:
        report.validating(i, len(photos))
        pair = photos.pairs[i]
        with memory_for(pair.photo):
            probability = predict(state.judged, photos.photo(i), progress=check_stop)
            if np.isnan(probability).any():  # finite weights can overflow too
                raise state.diverged("probability of crack")
            return score_photo(pair.name, probability, photos.mask(i))

    try:
        return summarize(state.world.collect(len(photos), score))
    except _Stopped:
        return None
    finally:
        parallel.trim()  # training does not reuse buffers of the size of tiles


class _Stopped(Exception):
    """Leaves `predict` when a signal has come."""
