"""What is found in an array and what is written to files."""

import numpy as np
import pytest
from PIL import Image

from minispiral.detection.find import Finding, find_cracks
from minispiral.detection.output import output_files, write_finding
from minispiral.detection.pictures import DETECTED
from minispiral.detection.tiling import predict
from minispiral.errors import UserError
from minispiral.networks import build


def test_finding_is_the_prediction_above_the_threshold(rng):
    network = build("spiral", depths=(1, 2), width=0.05, rng=rng)
    photo = rng.integers(0, 256, (50, 61, 3), np.uint8)
    probability = predict(network, photo)
    threshold = float(np.median(probability))
    finding = find_cracks(network, photo, threshold)
    np.testing.assert_array_equal(finding.probability, probability)
    np.testing.assert_array_equal(finding.crack, probability >= threshold)
    assert finding.crack_pixels == np.count_nonzero(probability >= threshold)
    assert finding.crack_share == pytest.approx(finding.crack_pixels / (50 * 61))


@pytest.mark.parametrize("threshold", [-0.1, 1.5, np.nan])
def test_a_threshold_that_is_no_probability_is_refused(rng, threshold):
    network = build("spiral", depths=(1,), width=0.05, rng=rng)
    with pytest.raises(UserError, match="threshold") as caught:
        find_cracks(network, np.zeros((9, 9, 3), np.uint8), threshold)
    assert caught.value.parameter == "threshold"


def test_writing_needs_no_network(rng, tmp_path):
    photo = rng.integers(0, 256, (20, 30, 3), np.uint8)
    probability = rng.random((20, 30), np.float32)
    finding = Finding(probability, probability >= 0.9)
    [files] = output_files([tmp_path / "wall.jpg"], tmp_path / "out")
    (tmp_path / "out").mkdir()
    write_finding(files, photo, finding)
    written = {path.name: np.asarray(Image.open(path)) for path in files.values()}
    np.testing.assert_array_equal(written["wall.probability.png"], np.rint(255 * probability))
    np.testing.assert_array_equal(written["wall.mask.png"], 255 * finding.crack)
    painted = written["wall.overlay.jpg"][finding.crack].astype(int)
    assert np.abs(painted - DETECTED).mean() < 60  # JPEG blurs single pixels
